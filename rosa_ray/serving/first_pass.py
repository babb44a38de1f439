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
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.features.views import IMPRESSION_MEASURES
from rosa_ray.metrics import ScoreKind, score
from rosa_ray.serving.ad_counters import COST_VIEWS, ReadCounters

CHUNK = 500
"""Ads or campaigns whose counters are read at once."""


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
    """Numbers of the active ads by falling score, and what they were sorted by."""

    active: np.ndarray
    changed: int
    bucket: int
    numbers: np.ndarray


class FirstPass:
    """Ads in the order of the first pass.

    Args:
        most: ads that one request ranks.
    """

    def __init__(self, catalogue: LiveCatalogue, config: FeatureConfig, kind: ScoreKind, most: int) -> None:
        self._catalogue, self._config, self._kind, self._most = catalogue, config, kind, most
        self._states: CounterStates = {}
        self._time_us, self._bucket = 0, np.iinfo(np.int64).min
        self._round: _Round | None = None
        self._order = _Order(np.empty(0, np.int64), -1, 0, np.empty(0, np.int64))

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
                counters = read(view, some).get(view) or Counters.empty(len(IMPRESSION_MEASURES))
                last = np.full(len(some), one.bucket)
                one.done[view].append(counters.read(some, last, (None,))[:, 0])
                return
        with self._catalogue.lock:
            self._states, self._time_us, self._bucket = one.states(), one.time_us, one.bucket
        self._round = None

    def _sorted(self, time_us: int) -> np.ndarray:
        """All active ads by falling score; sorted again where ads or counters changed."""
        numbers = self._catalogue.active(time_us)
        held, changed = self._order, self._catalogue.changed
        # The active ads are one array as long as none begins, changes or ends.
        if held.active is not numbers or (held.changed, held.bucket) != (changed, self._bucket):
            rows = self._catalogue.rows_at(numbers, time_us)
            order = np.lexsort((self._catalogue.ad_key[rows], -self._scores(rows)))
            held = self._order = _Order(numbers, changed, self._bucket, numbers[order])
        return held.numbers

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
        return score(self._kind, np.minimum(ctr, 1), np.minimum(cvr, 1), catalogue.price[rows], cost)
