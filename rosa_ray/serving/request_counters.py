"""Readings of own counters that an ad alone does not decide, kept between requests.

A counter by ad and placement, say, depends on the request too. Its readings are kept by entity: the same entity reads
the same until the next bucket closes. As with those of ads, what has aged is read again in the background, and a record
that lands in a bucket already closed throws away the readings of its own entities.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import CounterStates, FeatureConfig
from rosa_ray.features.counting import buckets_of, read_entities, window_start
from rosa_ray.features.own_counters import is_of_ads, own_views
from rosa_ray.features.views import CATALOGUE_KEYS, View
from rosa_ray.schema import MISSING_KEY
from rosa_ray.schema.own_columns import ENTITIES, prefix_of
from rosa_ray.serving.ad_counters import AHEAD_S, KEPT_BUCKETS, NEVER_S, ReadCounters
from rosa_ray.serving.plausible import plausible_counters
from rosa_ray.serving.refresher import Later, NotHeldError
from rosa_ray.units import SECOND_US

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


class _Reading(NamedTuple):
    """Dense features (F,) of one entity, when they were read, and whether something impossible is missing."""

    read_at_s: float
    dense: np.ndarray
    odd: bool


_Name = tuple[str, int]
_Rows = OrderedDict[_Name, _Reading]
"""Readings of one bucket by view and entity, the one asked about last at the end."""


class RequestCounters:
    """Dense features of own counters at the last closed bucket. Safe in several threads.

    Args:
        read: `OnlineStore.read_counters`.
        ttl_s: age at which readings are read again.
        stale_s: for so long after that age they are used, while they are read again in the background.
        most: readings kept of a bucket.
    """

    def __init__(
        self,
        config: FeatureConfig,
        read: ReadCounters,
        ttl_s: float,
        stale_s: float = 0.0,
        most: int = KEPT_READINGS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        own = own_views(config.counters)
        self.views = tuple(view for view in own if not is_of_ads(view) and view.entity != "user_key")
        self._config, self._read, self._ttl_s, self._stale_s, self._most = config, read, ttl_s, stale_s, most
        self._clock = clock
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._changes = 0
        self._buckets: OrderedDict[int, _Rows] = OrderedDict()

    def read(
        self, columns: Columns, time_us: int, later: Later | None = None, wait: bool = True
    ) -> tuple[np.ndarray, bool]:
        """Read N candidates at a moment.

        Args:
            columns: keys of the candidates, int64 (N,); what is absent is missing.
            later: takes what can be read again in the background; without it all of that is read at once.
            wait: False does not ask the store.

        Returns:
            Dense features of `views`, side by side, float32 (N, F), and whether something impossible was read as
            missing.

        Raises:
            NotHeldError: the store would have to be asked.
        """
        bucket, oldest_s = self._last_closed(time_us), self._ttl_s + (self._stale_s if later else 0.0)
        blocks, odd = [], False
        for view in self.views:
            distinct, place = self._keys(view, columns)
            found = self._held(view, distinct, bucket)
            if len(self._older(found, oldest_s)):
                if not wait:
                    raise NotHeldError
                with self._reading:
                    found = self._held(view, distinct, bucket)
                    missing = self._older(found, oldest_s)
                    found |= zip(missing, self._load(view, distinct[missing], bucket), strict=True)
            if later:
                self._read_later(view, distinct[self._older(found, self._ttl_s)], bucket, later)
                self._read_ahead(view, distinct, bucket, time_us, later)
            blocks.append(np.stack([found[at].dense for at in range(len(distinct))])[place])
            odd |= any(reading.odd for reading in found.values())
        return np.concatenate(blocks, axis=1), odd

    def read_held(self, columns: Columns, time_us: int) -> tuple[np.ndarray, bool]:
        """The same without the store, from readings of any age; of what is not held nothing is known."""
        bucket, blocks, odd = self._last_closed(time_us), [], False
        for view in self.views:
            distinct, place = self._keys(view, columns)
            found = self._held(view, distinct, bucket)
            missing = self._older(found, float("inf"))
            found |= zip(missing, self._compute(view, {}, distinct[missing], bucket), strict=True)
            blocks.append(np.stack([found[at].dense for at in range(len(distinct))])[place])
            odd |= any(reading.odd for reading in found.values())
        return np.concatenate(blocks, axis=1), odd

    def forget(self, changed: CounterStates) -> None:
        """Drop the readings that new records change.

        Args:
            changed: the records, counted by `fold_records`.
        """
        with self._lock:
            self._changes += 1
            for view in self.views:
                counters = changed.get(view.name)
                for bucket, rows in self._buckets.items():
                    if counters is not None:
                        for key in np.unique(counters.entity_key[counters.bucket <= bucket]).tolist():
                            rows.pop((view.name, key), None)

    def _keys(self, view: View, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
        missing = np.full(len(columns["ad_key"]), MISSING_KEY)
        keys = view.keys({name: columns.get(name, missing) for name in view.parts})
        distinct, place = np.unique(keys, return_inverse=True)
        return distinct, place

    def _last_closed(self, time_us: int) -> int:
        return int(buckets_of(self._config).last_closed(np.array([time_us]))[0])

    def _held(self, view: View, keys: np.ndarray, bucket: int) -> dict[int, _Reading]:
        """What is held of some entities, by their place in `keys`."""
        found = {}
        with self._lock:
            rows = self._of_bucket(bucket)
            for at, key in enumerate(keys.tolist()):
                if (view.name, key) in rows:
                    rows.move_to_end((view.name, key))
                    found[at] = rows[view.name, key]
                else:
                    found[at] = _Reading(NEVER_S, np.empty(0, np.float32), False)
        return found

    def _of_bucket(self, bucket: int) -> _Rows:
        rows = self._buckets.pop(bucket, None) or _Rows()
        self._buckets[bucket] = rows
        while len(self._buckets) > KEPT_BUCKETS:
            self._buckets.popitem(last=False)
        return rows

    def _older(self, found: dict[int, _Reading], age_s: float) -> np.ndarray:
        before_s = self._clock() - age_s
        old = [at for at, reading in found.items() if reading.read_at_s < before_s or reading.read_at_s == NEVER_S]
        return np.array(old, np.int64)

    def _load(self, view: View, keys: np.ndarray, bucket: int) -> list[_Reading]:
        """Read entities from the store and keep the readings; those that records changed only for this request."""
        if not len(keys):
            return []
        changes = self._changes
        since = window_start(view, bucket, self._config)
        read = self._compute(view, self._read(view.name, keys[keys != MISSING_KEY], since), keys, bucket)
        with self._lock:
            if changes == self._changes:
                rows = self._of_bucket(bucket)
                rows.update(zip(((view.name, key) for key in keys.tolist()), read, strict=True))
                while len(rows) > self._most:
                    rows.popitem(last=False)
        return read

    def _compute(self, view: View, states: CounterStates, keys: np.ndarray, bucket: int) -> list[_Reading]:
        states, impossible = plausible_counters(states)
        dense = read_entities(view, states, keys, np.full(len(keys), bucket), self._config)
        odd = np.isin(keys, impossible.get(view.name, np.empty(0, np.int64)))
        now_s = self._clock()
        return [_Reading(now_s, row, is_odd) for row, is_odd in zip(dense, odd.tolist(), strict=True)]

    def _read_later(self, view: View, keys: np.ndarray, bucket: int, later: Later) -> None:
        if len(keys):
            later((view.name, bucket), partial(self._load, view, keys, bucket))

    def _read_ahead(self, view: View, keys: np.ndarray, bucket: int, time_us: int, later: Later) -> None:
        ahead = self._last_closed(time_us + round(min(AHEAD_S, self._ttl_s / 2) * SECOND_US))
        if ahead > bucket:
            old = self._older(self._held(view, keys, ahead), self._ttl_s)
            self._read_later(view, keys[old], ahead, later)
