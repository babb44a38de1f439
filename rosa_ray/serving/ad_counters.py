"""Counter readings of ads, kept between requests.

What a request reads of an ad is the same until the next bucket closes, so that it is read once per ad and bucket. An
event that lands in a bucket already closed, and the age of the cache, throw the readings away.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rosa_ray.features import VIEWS, AdTable, Counters, CounterStates, FeatureConfig
from rosa_ray.features.counting import buckets_of, dense_views, read_views
from rosa_ray.features.own_counters import is_of_ads
from rosa_ray.features.views import CATALOGUE_KEYS, IMPRESSION_MEASURES

KEPT_BUCKETS = 4
"""Requests at other times than now, as a replay sends them, need readings of more than one bucket."""

COST_VIEWS = ("ad_impressions", "campaign_impressions")

ReadCounters = Callable[[str, np.ndarray], CounterStates]


@dataclass
class _Readings:
    """Rows of A ads, valid where `known`: dense (A, F), and the sums that costs are expected from (A, M)."""

    read_at_s: float
    known: np.ndarray
    dense: np.ndarray
    sums: dict[str, np.ndarray]


class AdCounters:
    """Dense features and cost sums of catalogue ads at the last closed bucket.

    Args:
        ads: the catalogue.
        read: `OnlineStore.read_counters`.
        ttl_s: age at which readings are read again.
    """

    def __init__(self, ads: AdTable, config: FeatureConfig, read: ReadCounters, ttl_s: float) -> None:
        self.views = tuple(view for view in dense_views(config) if is_of_ads(view))
        self._ads, self._read, self._ttl_s, self._config = ads, read, ttl_s, config
        self._width = sum(len(view.feature_names) for view in self.views)
        self._readings: OrderedDict[int, _Readings] = OrderedDict()

    def read(self, rows: np.ndarray, time_us: int) -> tuple[np.ndarray, CounterStates]:
        """Read N catalogue rows at a moment.

        Returns:
            Dense features of `self.views`, float32 (N, F), and counters from which `expected_cost` of these ads at
            that moment can be computed.
        """
        bucket = self._last_closed(time_us)
        readings = self._of_bucket(bucket)
        missing = rows[~readings.known[rows]]
        if len(missing):
            self._fill(readings, missing, time_us)
        return readings.dense[rows], self._cost_states(readings, rows, bucket)

    def forget(self, event_time_us: np.ndarray) -> None:
        """Drop the readings that new events change: those of buckets at or after the events' own."""
        if len(event_time_us):
            first = int(buckets_of(self._config).of(event_time_us.min()))
            for bucket in [bucket for bucket in self._readings if bucket >= first]:
                del self._readings[bucket]

    def _last_closed(self, time_us: int) -> int:
        return int(buckets_of(self._config).last_closed(np.array([time_us]))[0])

    def _of_bucket(self, bucket: int) -> _Readings:
        readings = self._readings.pop(bucket, None)
        if readings is None or time.monotonic() - readings.read_at_s > self._ttl_s:
            count = len(self._ads.ad_key)
            sums = {view: np.zeros((count, len(IMPRESSION_MEASURES)), np.int64) for view in COST_VIEWS}
            dense = np.empty((count, self._width), np.float32)
            readings = _Readings(time.monotonic(), np.zeros(count, bool), dense, sums)
        self._readings[bucket] = readings
        while len(self._readings) > KEPT_BUCKETS:
            self._readings.popitem(last=False)
        return readings

    def _fill(self, readings: _Readings, rows: np.ndarray, time_us: int) -> None:
        asked = {name: getattr(self._ads, name)[rows] for name in CATALOGUE_KEYS}
        states: CounterStates = {}
        for view in dict.fromkeys((*self.views, *(VIEWS[name] for name in COST_VIEWS))):
            states |= self._read(view.name, np.unique(view.keys(asked)))
        moment = np.full(len(rows), time_us)
        readings.dense[rows] = read_views(self.views, states, {**asked, "time_us": moment}, self._config)
        last = buckets_of(self._config).last_closed(moment)
        for name in COST_VIEWS:
            counters = states.get(name) or Counters.empty(len(IMPRESSION_MEASURES))
            readings.sums[name][rows] = counters.read(asked[VIEWS[name].entity], last, (None,))[:, 0]
        readings.known[rows] = True

    def _cost_states(self, readings: _Readings, rows: np.ndarray, bucket: int) -> CounterStates:
        """One sum per entity in place of its buckets: the expected cost reads the whole past up to `bucket`."""
        states = {}
        for view in COST_VIEWS:
            entity, first = np.unique(getattr(self._ads, VIEWS[view].entity)[rows], return_index=True)
            states[view] = Counters(entity, np.full(len(entity), bucket), readings.sums[view][rows[first]])
        return states
