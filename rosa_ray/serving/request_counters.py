"""Readings of own counters that an ad alone does not decide, kept between requests.

A counter by ad and placement, say, depends on the request too. Its readings are kept by entity: the same entity reads
the same until the next bucket closes. As with those of ads, a record that lands in a bucket already closed throws
readings away, and so does their age.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import CounterStates, FeatureConfig
from rosa_ray.features.counting import buckets_of, read_entities
from rosa_ray.features.own_counters import is_of_ads, own_views
from rosa_ray.features.views import CATALOGUE_KEYS, View
from rosa_ray.schema import MISSING_KEY
from rosa_ray.schema.own_columns import ENTITIES, prefix_of
from rosa_ray.serving.ad_counters import KEPT_BUCKETS, ReadCounters

KEPT_READINGS = 50_000
"""Readings of one bucket; those not asked about for longest go first."""


def asked_columns(config: FeatureConfig) -> tuple[str, ...]:
    """Key columns that a request has to say for own counters; those of its user, items and ads are known.

    >>> asked_columns(FeatureConfig())
    ()
    """
    known = {*CATALOGUE_KEYS, "user_key"}
    names = dict.fromkeys(name for view in own_views(config.counters) for name in view.parts)
    return tuple(name for name in names if name not in known and prefix_of(name) not in ENTITIES)


@dataclass
class _Readings:
    """Of one bucket: dense features (F,) by view and entity, the one asked about last at the end."""

    read_at_s: float = field(default_factory=time.monotonic)
    rows: OrderedDict[tuple[str, int], np.ndarray] = field(default_factory=OrderedDict)


class RequestCounters:
    """Dense features of own counters at the last closed bucket.

    Args:
        read: `OnlineStore.read_counters`.
        ttl_s: age at which readings are read again.
        most: readings kept of a bucket.
    """

    def __init__(self, config: FeatureConfig, read: ReadCounters, ttl_s: float, most: int = KEPT_READINGS) -> None:
        own = own_views(config.counters)
        self.views = tuple(view for view in own if not is_of_ads(view) and view.entity != "user_key")
        self._config, self._read, self._ttl_s, self._most = config, read, ttl_s, most
        self._buckets: OrderedDict[int, _Readings] = OrderedDict()

    def read(self, columns: Columns, time_us: int) -> np.ndarray:
        """Read N candidates at a moment.

        Args:
            columns: keys of the candidates, int64 (N,); what is absent is missing.

        Returns:
            Dense features of `views`, side by side, float32 (N, F).
        """
        bucket = int(buckets_of(self._config).last_closed(np.array([time_us]))[0])
        readings = self._of_bucket(bucket)
        missing = np.full(len(columns["ad_key"]), MISSING_KEY)
        blocks = []
        for view in self.views:
            keys = view.keys({name: columns.get(name, missing) for name in view.parts})
            blocks.append(self._read_view(readings, view, keys, bucket))
        while len(readings.rows) > self._most:
            readings.rows.popitem(last=False)
        return np.concatenate(blocks, axis=1)

    def forget(self, event_time_us: np.ndarray) -> None:
        """Drop the readings that new records change: those of buckets at or after the records' own."""
        if self.views and len(event_time_us):
            first = int(buckets_of(self._config).of(event_time_us.min()))
            for bucket in [bucket for bucket in self._buckets if bucket >= first]:
                del self._buckets[bucket]

    def _of_bucket(self, bucket: int) -> _Readings:
        readings = self._buckets.pop(bucket, None)
        if readings is None or time.monotonic() - readings.read_at_s > self._ttl_s:
            readings = _Readings()
        self._buckets[bucket] = readings
        while len(self._buckets) > KEPT_BUCKETS:
            self._buckets.popitem(last=False)
        return readings

    def _read_view(self, readings: _Readings, view: View, keys: np.ndarray, bucket: int) -> np.ndarray:
        distinct, place = np.unique(keys, return_inverse=True)
        names = [(view.name, key) for key in distinct.tolist()]
        new = np.array([at for at, name in enumerate(names) if name not in readings.rows], np.int64)
        if len(new):
            wanted = distinct[new]
            states: CounterStates = self._read(view.name, wanted[wanted != MISSING_KEY])
            dense = read_entities(view, states, wanted, np.full(len(new), bucket), self._config)
            readings.rows.update(zip((names[at] for at in new.tolist()), dense, strict=True))
        for name in names:
            readings.rows.move_to_end(name)
        found: np.ndarray = np.stack([readings.rows[name] for name in names])[place]
        return found
