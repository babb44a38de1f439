"""Counter readings of ads, kept between requests.

What a request reads of an ad is the same until the next bucket closes, so that it is read once per ad and bucket. What
has aged is read again in the background and used meanwhile. Readings of the next bucket are made shortly before it is
due. A record that lands in a bucket already closed throws away the readings of its own ad, item and campaign, and no
others. Only ads that requests asked about take room.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import numpy as np

from rosa_ray.arrays import Columns, grown
from rosa_ray.features import VIEWS, Counters, CounterStates, FeatureConfig
from rosa_ray.features.counting import buckets_of, dense_views, read_views, window_start
from rosa_ray.features.own_counters import is_of_ads
from rosa_ray.features.views import CATALOGUE_KEYS, IMPRESSION_MEASURES, View
from rosa_ray.serving.plausible import plausible_counters
from rosa_ray.serving.refresher import Later, NotHeldError
from rosa_ray.units import SECOND_US

KEPT_BUCKETS = 4
"""Requests at other times than now, as a replay sends them, need readings of more than one bucket."""

KEPT_ADS = 500_000
"""Ads whose readings are kept at once."""

AHEAD_S = 20.0
"""So long before a bucket is due, ads that are asked about are read for it."""

COST_VIEWS = ("ad_impressions", "campaign_impressions")

NEVER_S = float("-inf")

ReadCounters = Callable[[str, np.ndarray, int], CounterStates]
"""`OnlineStore.read_counters`: of the buckets before the given one a sum is enough."""


@dataclass
class AdReadings:
    """What was read of N ads.

    Attributes:
        read_at_s: when, (N,); -inf where nothing was.
        dense: float32 (N, F).
        sums: int64 (N, M) by cost view, over the whole past.
        odd: bool (N,), something impossible was read as missing.
    """

    read_at_s: np.ndarray
    dense: np.ndarray
    sums: dict[str, np.ndarray]
    odd: np.ndarray

    @classmethod
    def nothing(cls, count: int, width: int) -> "AdReadings":
        """Readings of N ads of which nothing was read."""
        sums = {view: np.zeros((count, len(IMPRESSION_MEASURES)), np.int64) for view in COST_VIEWS}
        never = np.full(count, NEVER_S)
        return cls(never, np.empty((count, width), np.float32), sums, np.zeros(count, bool))

    def hold(self, count: int) -> None:
        """Make room for so many ads."""
        held = len(self.read_at_s)
        if count > held:
            self.read_at_s, self.dense, self.odd = (
                grown(values, count) for values in (self.read_at_s, self.dense, self.odd)
            )
            self.read_at_s[held:] = NEVER_S
            self.sums = {view: grown(values, count) for view, values in self.sums.items()}

    def take(self, rows: np.ndarray) -> "AdReadings":
        """A copy of some rows."""
        sums = {view: values[rows] for view, values in self.sums.items()}
        return AdReadings(self.read_at_s[rows], self.dense[rows], sums, self.odd[rows])

    def put(self, rows: np.ndarray, read: "AdReadings") -> None:
        """Replace some rows."""
        self.read_at_s[rows], self.dense[rows], self.odd[rows] = read.read_at_s, read.dense, read.odd
        for view, values in self.sums.items():
            values[rows] = read.sums[view]


class AdCounters:
    """Dense features and cost sums of ads at the last closed bucket, read by the keys that the catalogue tells.

    Safe in several threads. A thread that lacks readings asks the store for these alone; the others go on.

    Args:
        read: `OnlineStore.read_counters`.
        ttl_s: age at which readings are read again.
        stale_s: for so long after that age they are used, while they are read again in the background.
        most: ads that are kept; one more starts from nothing.
    """

    def __init__(
        self,
        config: FeatureConfig,
        read: ReadCounters,
        ttl_s: float,
        stale_s: float = 0.0,
        most: int = KEPT_ADS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.views = tuple(view for view in dense_views(config) if is_of_ads(view))
        self._asked: tuple[View, ...] = tuple(dict.fromkeys((*self.views, *(VIEWS[name] for name in COST_VIEWS))))
        self._read, self._ttl_s, self._stale_s, self._most = read, ttl_s, stale_s, most
        self._config, self._clock = config, clock
        self._width = sum(len(view.feature_names) for view in self.views)
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._changes = 0
        self._clear()

    def read(
        self, ads: Columns, time_us: int, later: Later | None = None, wait: bool = True
    ) -> tuple[np.ndarray, CounterStates, bool]:
        """Read N ads at a moment.

        Args:
            ads: `CATALOGUE_KEYS`, int64 (N,) each.
            later: takes what can be read again in the background; without it all of that is read at once.
            wait: False does not ask the store.

        Returns:
            Dense features of `self.views`, float32 (N, F); counters from which `expected_cost` of these ads at that
            moment can be computed; and whether something impossible was read as missing.

        Raises:
            NotHeldError: the store would have to be asked.
        """
        bucket, oldest_s = self._last_closed(time_us), self._ttl_s + (self._stale_s if later else 0.0)
        found = self._held(ads, bucket)
        if (self._age_s(found) > oldest_s).any():
            if not wait:
                raise NotHeldError
            with self._reading:
                found = self._held(ads, bucket)
                missing = np.flatnonzero(self._age_s(found) > oldest_s)
                if len(missing):
                    found.put(missing, self._load(_pick(ads, missing), bucket))
        if later:
            self._read_later(ads, bucket, np.flatnonzero(self._age_s(found) > self._ttl_s), later)
            self._read_ahead(ads, bucket, time_us, later)
        return self._answer(ads, found, bucket)

    def read_held(self, ads: Columns, time_us: int) -> tuple[np.ndarray, CounterStates, bool]:
        """The same without the store, from readings of any age and the newest bucket; else as of an ad never shown."""
        bucket = self._last_closed(time_us)
        found = self._held(ads, bucket)
        for older in sorted((held for held in list(self._readings) if held < bucket), reverse=True):
            missing = np.flatnonzero(found.read_at_s == NEVER_S)
            if len(missing):
                found.put(missing, self._held(_pick(ads, missing), older))
        missing = np.flatnonzero(found.read_at_s == NEVER_S)
        found.put(missing, self._compute({}, _pick(ads, missing), bucket))
        return self._answer(ads, found, bucket)

    def forget(self, changed: CounterStates) -> None:
        """Drop the readings that new records change.

        Args:
            changed: the records, counted by `fold_records`.
        """
        with self._lock:
            newest = max(self._readings, default=None)
            if newest is None or not any(
                len(counters.bucket) and counters.bucket.min() <= newest for counters in changed.values()
            ):
                return
            self._changes += 1
            for view in self._asked:
                if view.name in changed:
                    self._forget_view(view, changed[view.name])

    def _forget_view(self, view: View, changed: Counters) -> None:
        keys = view.keys({name: values[: len(self._row_of)] for name, values in self._keys.items()})
        for bucket, readings in self._readings.items():
            entities = np.unique(changed.entity_key[changed.bucket <= bucket])
            if len(entities):
                rows = np.flatnonzero(np.isin(keys, entities))
                readings.hold(len(self._row_of))
                readings.read_at_s[rows] = NEVER_S

    def _clear(self) -> None:
        self._row_of: dict[int, int] = {}
        self._keys = {name: np.zeros(0, np.int64) for name in CATALOGUE_KEYS}
        self._readings: OrderedDict[int, AdReadings] = OrderedDict()

    def _rows_of(self, ads: Columns) -> np.ndarray:
        """Rows of the ads; one whose item, campaign or category changed is read again."""
        if len(self._row_of) + len(ads["ad_key"]) > self._most:
            self._clear()
        asked = ads["ad_key"].tolist()
        rows = np.fromiter(map(self._row_of.get, asked, repeat(-1)), np.int64, len(asked))
        new = np.flatnonzero(rows < 0)
        if len(new):
            distinct, place = np.unique(ads["ad_key"][new], return_inverse=True)
            rows[new] = len(self._row_of) + place
            self._row_of |= zip(
                distinct.tolist(), range(len(self._row_of), len(self._row_of) + len(distinct)), strict=True
            )
            self._keys = {name: grown(values, len(self._row_of)) for name, values in self._keys.items()}
        differ = np.logical_or.reduce([self._keys[name][rows] != ads[name] for name in CATALOGUE_KEYS])
        if differ.any():
            for name, values in self._keys.items():
                values[rows[differ]] = ads[name][differ]
            for readings in self._readings.values():
                readings.hold(len(self._row_of))
                readings.read_at_s[rows[differ]] = NEVER_S
        return rows

    def _last_closed(self, time_us: int) -> int:
        return int(buckets_of(self._config).last_closed(np.array([time_us]))[0])

    def _age_s(self, found: AdReadings) -> np.ndarray:
        age_s: np.ndarray = self._clock() - found.read_at_s
        return age_s

    def _held(self, ads: Columns, bucket: int) -> AdReadings:
        """A copy of what is held of the ads at a bucket."""
        with self._lock:
            rows = self._rows_of(ads)
            readings = self._readings.pop(bucket, None) or AdReadings.nothing(0, self._width)
            readings.hold(len(self._row_of))
            self._readings[bucket] = readings
            while len(self._readings) > KEPT_BUCKETS:
                self._readings.popitem(last=False)
            return readings.take(rows)

    def _load(self, ads: Columns, bucket: int) -> AdReadings:
        """Read ads from the store and keep the readings; those that records changed meanwhile only for this request."""
        changes, states = self._changes, CounterStates()
        for view in self._asked:
            since = window_start(view, bucket, self._config)
            states |= self._read(view.name, np.unique(view.keys(ads)), since)
        read = self._compute(states, ads, bucket)
        with self._lock:
            rows = self._rows_of(ads)
            readings = self._readings.get(bucket)
            if readings is not None and changes == self._changes:
                readings.hold(len(self._row_of))
                readings.put(rows, read)
        return read

    def _compute(self, states: CounterStates, ads: Columns, bucket: int) -> AdReadings:
        states, impossible = plausible_counters(states)
        last = np.full(len(ads["ad_key"]), bucket)
        read = AdReadings.nothing(len(last), self._width)
        read.read_at_s[:] = self._clock()
        moment = np.full(len(last), buckets_of(self._config).closes_us(bucket))
        read.dense[:] = read_views(self.views, states, {**ads, "time_us": moment}, self._config)
        for name in COST_VIEWS:
            counters = states.get(name) or Counters.empty(len(IMPRESSION_MEASURES))
            read.sums[name][:] = counters.read(ads[VIEWS[name].entity], last, (None,))[:, 0]
        for view in self._asked:
            if view.name in impossible:
                read.odd |= np.isin(view.keys(ads), impossible[view.name])
        return read

    def _read_later(self, ads: Columns, bucket: int, rows: np.ndarray, later: Later) -> None:
        if len(rows):
            later(("ads", bucket), partial(self._load, _pick(ads, rows), bucket))

    def _read_ahead(self, ads: Columns, bucket: int, time_us: int, later: Later) -> None:
        ahead = self._last_closed(time_us + round(min(AHEAD_S, self._ttl_s / 2) * SECOND_US))
        if ahead > bucket:
            self._read_later(ads, ahead, np.flatnonzero(self._age_s(self._held(ads, ahead)) > self._ttl_s), later)

    def _answer(self, ads: Columns, found: AdReadings, bucket: int) -> tuple[np.ndarray, CounterStates, bool]:
        """With one sum per entity in place of its buckets: the expected cost reads the whole past up to `bucket`."""
        states = {}
        for view in COST_VIEWS:
            entity, first = np.unique(ads[VIEWS[view].entity], return_index=True)
            states[view] = Counters(entity, np.full(len(entity), bucket), found.sums[view][first])
        return found.dense, states, bool(found.odd.any())


def _pick(ads: Columns, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: ads[name][rows] for name in CATALOGUE_KEYS}
