"""The first pass: which ads are ranked where more can be shown than one request ranks.

It is what `rosa_ray.metrics.score` gives when the probabilities come from counters instead of the model: the shares of
clicks and of conversions that the ad had, smoothed by those of its campaign, which are smoothed by the configured
priors, each as if `features.prior_impressions` more had been seen. The value is the ad's price, and the cost is the one
that rankings expect. So it knows nothing of the user.

Counters are read in the background, once a bucket closes, and only where there are more ads than can be ranked. Ads
are sorted anew when their counters, prices or bids change; a request then takes the first of those it may be shown.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from rosa_ray.features import VIEWS, Counters, CounterStates, FeatureConfig, expected_cost
from rosa_ray.features.counting import buckets_of
from rosa_ray.features.live_catalogue import NO_ROW, LiveCatalogue
from rosa_ray.features.views import IMPRESSION_MEASURES
from rosa_ray.metrics import Ranking
from rosa_ray.serving.ad_counters import COST_VIEWS, ReadCounters

CHUNK = 500
"""Ads or campaigns whose counters are read at once."""


FEW = 1000
"""Ads that are put into their places one by one."""


@dataclass
class _Round:
    """Counters of all ads and campaigns up to one closed bucket, while they are read."""

    time_us: int
    bucket: int
    wanted: dict[str, np.ndarray]
    done: dict[str, list[np.ndarray]] = field(default_factory=lambda: {view: [] for view in COST_VIEWS})

    def states(self) -> CounterStates:
        """Sums over the whole past, as counters of one bucket."""
        return {
            view: Counters(keys, np.full(len(keys), self.bucket), np.concatenate(self.done[view]))
            for view, keys in self.wanted.items()
        }


@dataclass(frozen=True)
class _Order:
    """The active ads by falling score and rising key, and what they were sorted by.

    Attributes:
        active: the array of active ads.
        touches, bucket: of the catalogue and of the counters.
        row: of each ad by number, `NO_ROW` of one that is not active, int64 (A,).
        numbers, below, ad_key: of the n active ads in their order; `below` is the negative score.
    """

    active: np.ndarray
    touches: int
    bucket: int
    row: np.ndarray
    numbers: np.ndarray
    below: np.ndarray
    ad_key: np.ndarray

    @classmethod
    def nothing(cls) -> "_Order":
        """The order of no ads."""
        none = np.empty(0, np.int64)
        return cls(none, -1, 0, none, none, np.empty(0), none)


class FirstPass:
    """Ads in the order of the first pass.

    Args:
        most: ads that one request ranks.
    """

    def __init__(self, catalogue: LiveCatalogue, config: FeatureConfig, ranking: Ranking, most: int) -> None:
        self._catalogue, self._config, self._ranking, self._most = catalogue, config, ranking, most
        self._states: CounterStates = {}
        self._time_us, self._bucket = 0, np.iinfo(np.int64).min
        self._round: _Round | None = None
        self._order = _Order.nothing()

    @property
    def counted(self) -> bool:
        """Whether counters were read; before, all ads of one price and bid are alike."""
        return bool(self._states)

    def choose(self, eligible: np.ndarray, time_us: int) -> np.ndarray:
        """The first ads of those that can be shown, at most `most`.

        Args:
            eligible: numbers of ads that are active at the time, int64 (n,).

        Returns:
            Their numbers by falling score, and by ad key where scores are equal.
        """
        asked = np.zeros(len(self._catalogue), bool)
        asked[eligible] = True
        order = self._sorted(time_us)
        chosen: np.ndarray = order[asked[order]][: self._most]
        return chosen

    def step(self, read: ReadCounters, time_us: int, budget_s: float) -> None:
        """Read counters for a while, and at least some, if there is need; what was read counts when all are.

        Args:
            read: `OnlineStore.read_counters`.

        Raises:
            StoreError: the store cannot be read; the next step goes on.
        """
        with self._catalogue.lock:
            numbers = self._catalogue.active(time_us)
            if len(numbers) <= self._most:
                return
            self._sorted(time_us)
            bucket = int(buckets_of(self._config).last_closed(np.array([time_us]))[0])
            if self._round is None and bucket <= self._bucket:
                return
            if self._round is None:
                rows = self._catalogue.rows_at(numbers, time_us)
                keys = {view: getattr(self._catalogue, VIEWS[view].entity)[rows] for view in COST_VIEWS}
                self._round = _Round(time_us, bucket, {view: np.unique(values) for view, values in keys.items()})
        until_s = time.monotonic() + budget_s
        while self._round is not None:
            self._read_chunk(self._round, read)
            if time.monotonic() >= until_s:
                return

    def _read_chunk(self, one: _Round, read: ReadCounters) -> None:
        for view, keys in one.wanted.items():
            start = CHUNK * len(one.done[view])
            if start < len(keys):
                some = keys[start : start + CHUNK]
                counters = read(view, some, one.bucket + 1).get(view) or Counters.empty(len(IMPRESSION_MEASURES))
                last = np.full(len(some), one.bucket)
                one.done[view].append(counters.read(some, last, (None,))[:, 0])
                return
        with self._catalogue.lock:
            self._states, self._time_us, self._bucket = one.states(), one.time_us, one.bucket
        self._round = None

    def _sorted(self, time_us: int) -> np.ndarray:
        """All active ads by falling score. Where few changed, these are put into their places; else all are sorted."""
        catalogue, held = self._catalogue, self._order
        active = catalogue.active(time_us)
        if held.active is active and (held.touches, held.bucket) == (catalogue.touches, self._bucket):
            return held.numbers
        row = np.full(len(catalogue), NO_ROW)
        row[active] = catalogue.rows_at(active, time_us)
        touched = catalogue.touched_since(held.touches) if held.bucket == self._bucket else None
        if touched is None:
            held, changed = _Order.nothing(), row != NO_ROW
        else:
            before = np.full(len(row), NO_ROW)
            before[: len(held.row)] = held.row
            changed = row != before
            changed[touched] = True
            if changed.sum() > FEW:
                held, changed = _Order.nothing(), row != NO_ROW
        self._order = self._put(held, active, row, changed)
        return self._order.numbers

    def _put(self, held: _Order, active: np.ndarray, row: np.ndarray, changed: np.ndarray) -> _Order:
        """Take changed ads out of an order, and put those that are active into their places."""
        stay = ~changed[held.numbers]
        numbers, below, ad_key = held.numbers[stay], held.below[stay], held.ad_key[stay]
        new = np.flatnonzero(changed & (row != NO_ROW))
        new_below, new_key = -self._scores(row[new]), self._catalogue.ad_key[row[new]]
        order = np.lexsort((new_key, new_below))
        new, new_below, new_key = new[order], new_below[order], new_key[order]
        first, stop = (np.searchsorted(below, new_below, side) for side in ("left", "right"))
        spans = zip(first.tolist(), stop.tolist(), new_key.tolist(), strict=True)
        # Between ads of one score it is the key that decides.
        place = [low if low == high else low + int(ad_key[low:high].searchsorted(key)) for low, high, key in spans]
        return _Order(
            active,
            self._catalogue.touches,
            self._bucket,
            row,
            np.insert(numbers, place, new),
            np.insert(below, place, new_below),
            np.insert(ad_key, place, new_key),
        )

    def _scores(self, rows: np.ndarray) -> np.ndarray:
        catalogue, config = self._catalogue, self._config
        ads = {VIEWS[view].entity: getattr(catalogue, VIEWS[view].entity)[rows] for view in COST_VIEWS}
        moment = np.full(len(rows), self._time_us)
        last = buckets_of(config).last_closed(moment)
        ctr, cvr = np.full(len(rows), config.prior_ctr), np.full(len(rows), config.prior_cvr)
        for view in reversed(COST_VIEWS):
            counters = self._states.get(view) or Counters.empty(len(IMPRESSION_MEASURES))
            sums = counters.read(ads[VIEWS[view].entity], last, (None,))[:, 0] / config.units_per_impression
            shown, clicked, bought = sums[:, 0], sums[:, 1], sums[:, 2]
            strength = config.prior_impressions
            ctr = (clicked + strength * ctr) / (shown + strength)
            cvr = (bought + strength * cvr) / (clicked + strength)
        cost = expected_cost(self._states, {**ads, "bid": catalogue.bid[rows], "time_us": moment}, config)
        return self._ranking.score(np.minimum(ctr, 1), np.minimum(cvr, 1), catalogue.price[rows], cost)
