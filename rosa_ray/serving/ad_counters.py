"""Counter readings of ads, kept between requests.

What a request reads of an ad is the same until the next bucket closes, so that it is read once per ad and bucket. An
event that lands in a bucket already closed, and the age of the cache, throw the readings away. Only ads that requests
asked about take room.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from rosa_ray.arrays import Columns, grown
from rosa_ray.features import VIEWS, Counters, CounterStates, FeatureConfig
from rosa_ray.features.counting import buckets_of, dense_views, read_views
from rosa_ray.features.own_counters import is_of_ads
from rosa_ray.features.views import CATALOGUE_KEYS, IMPRESSION_MEASURES

KEPT_BUCKETS = 4
"""Requests at other times than now, as a replay sends them, need readings of more than one bucket."""

KEPT_ADS = 500_000
"""Ads whose readings are kept at once."""

COST_VIEWS = ("ad_impressions", "campaign_impressions")

ReadCounters = Callable[[str, np.ndarray], CounterStates]


@dataclass
class _Readings:
    """Rows of A ads, valid where `known`: dense (A, F), and the sums that costs are expected from (A, M)."""

    read_at_s: float
    known: np.ndarray
    dense: np.ndarray
    sums: dict[str, np.ndarray]

    @classmethod
    def of(cls, width: int) -> "_Readings":
        """Readings of no ad yet."""
        sums = {view: np.zeros((0, len(IMPRESSION_MEASURES)), np.int64) for view in COST_VIEWS}
        return cls(time.monotonic(), np.zeros(0, bool), np.empty((0, width), np.float32), sums)

    def hold(self, count: int) -> None:
        """Make room for so many ads."""
        if count > len(self.known):
            self.known, self.dense = grown(self.known, count), grown(self.dense, count)
            self.sums = {view: grown(values, count) for view, values in self.sums.items()}


class AdCounters:
    """Dense features and cost sums of ads at the last closed bucket, read by the keys that the catalogue tells.

    Args:
        read: `OnlineStore.read_counters`.
        ttl_s: age at which readings are read again.
        most: ads that are kept; one more starts from nothing.
    """

    def __init__(self, config: FeatureConfig, read: ReadCounters, ttl_s: float, most: int = KEPT_ADS) -> None:
        self.views = tuple(view for view in dense_views(config) if is_of_ads(view))
        self._read, self._ttl_s, self._config, self._most = read, ttl_s, config, most
        self._width = sum(len(view.feature_names) for view in self.views)
        self._clear()

    def read(self, ads: Columns, time_us: int) -> tuple[np.ndarray, CounterStates]:
        """Read N ads at a moment.

        Args:
            ads: `CATALOGUE_KEYS`, int64 (N,) each; an ad that comes again has the same keys.

        Returns:
            Dense features of `self.views`, float32 (N, F), and counters from which `expected_cost` of these ads at
            that moment can be computed.
        """
        rows = self._rows_of(ads)
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

    def _clear(self) -> None:
        self._row_of: dict[int, int] = {}
        self._keys = {name: np.zeros(0, np.int64) for name in CATALOGUE_KEYS}
        self._readings: OrderedDict[int, _Readings] = OrderedDict()

    def _rows_of(self, ads: Columns) -> np.ndarray:
        """Rows of the ads; one whose item, campaign or category changed is read again."""
        if len(self._row_of) + len(ads["ad_key"]) > self._most:
            self._clear()
        asked = ads["ad_key"].tolist()
        rows = np.fromiter(map(self._row_of.get, asked, repeat(-1)), np.int64, len(asked))
        new = np.flatnonzero(rows < 0)
        if len(new):
            for at in new.tolist():
                rows[at] = self._row_of.setdefault(asked[at], len(self._row_of))
            self._keys = {name: grown(values, len(self._row_of)) for name, values in self._keys.items()}
        differ = np.logical_or.reduce([self._keys[name][rows] != ads[name] for name in CATALOGUE_KEYS])
        if differ.any():
            for name, values in self._keys.items():
                values[rows[differ]] = ads[name][differ]
            for readings in self._readings.values():
                readings.hold(len(self._row_of))
                readings.known[rows[differ]] = False
        return rows

    def _last_closed(self, time_us: int) -> int:
        return int(buckets_of(self._config).last_closed(np.array([time_us]))[0])

    def _of_bucket(self, bucket: int) -> _Readings:
        readings = self._readings.pop(bucket, None)
        if readings is None or time.monotonic() - readings.read_at_s > self._ttl_s:
            readings = _Readings.of(self._width)
        readings.hold(len(self._row_of))
        self._readings[bucket] = readings
        while len(self._readings) > KEPT_BUCKETS:
            self._readings.popitem(last=False)
        return readings

    def _fill(self, readings: _Readings, rows: np.ndarray, time_us: int) -> None:
        asked = {name: values[rows] for name, values in self._keys.items()}
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
            entity, first = np.unique(self._keys[VIEWS[view].entity][rows], return_index=True)
            states[view] = Counters(entity, np.full(len(entity), bucket), readings.sums[view][rows[first]])
        return states
