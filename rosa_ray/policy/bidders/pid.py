"""Linear bidding under feedback: the base price rises where a block spends too slowly, and falls where too fast.

Zhang et al., WSDM 2016 (Feedback Control of Real-Time Display Advertising). Every 20th of a block the controller
compares what was paid with an even spend, e = 1 - paid / due, and sets

    price per click = base x exp(P e + I Σe + D Δe).

Base and gains are those that win most expected clicks on the tuning blocks.
"""

import itertools

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.bidders.linear import Linear, scaled
from rosa_ray.policy.replay import Bidder, State, replay, whole_bids

PERIODS = 20
"""Times at which the controller acts in a block."""
_BASES = np.geomspace(0.6, 1.6, 9)
"""Base prices that are tried, in those of `Linear`."""
_GAINS = tuple(itertools.product((0.0, 0.1, 0.3), (0.0, 0.02, 0.06, 0.2), (0.0, 0.1)))
"""P, I and D that are tried."""
_MOST = 3.0
"""Largest change of the logarithm of the price."""


class Pid:
    """Bids base x exp(control) x value.

    Attributes:
        price_per_click: base, in the unit of prices. In a fit one for each trial, (trials, 1), as are the gains.
        gains: P, I and D.
    """

    def __init__(self) -> None:
        self.price_per_click: float | Floats = 0.0
        self.gains: tuple[float, float, float] | Floats = (0.0, 0.0, 0.0)
        self._length, self._budget = 1, 0

    def fit(self, tuning: Auctions, budget: int) -> None:
        """Find the base of `Linear`, then replay the tuning blocks with bases near it and with all gains."""
        self._length, self._budget = tuning.length, budget
        linear = Linear()
        linear.fit(tuning, budget)
        base = linear.base_price / linear.mean_value
        trials = np.array([(base * factor, *gains) for factor in _BASES for gains in _GAINS])
        self.price_per_click, self.gains = trials[:, :1], trials[:, 1:].T[:, :, None]
        won = replay(self, tuning, budget, trials=len(trials)).expected_clicks.sum(axis=1)
        best = trials[won.argmax()].tolist()
        self.price_per_click, self.gains = best[0], (best[1], best[2], best[3])

    def start(self, shape: tuple[int, ...]) -> None:
        self._period = 0
        self._due_from = self._length
        self._left = np.full(shape, self._budget, np.int64)
        self._error, self._sum, self._control = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def bid(self, state: State, value: Floats) -> Ints:
        period = (self._length - state.auctions_left) * PERIODS // self._length
        if period > self._period:
            self._steer(state)
            self._period = period
        return whole_bids(scaled(self.price_per_click * np.exp(self._control), value), state.budget_left)

    def _steer(self, state: State) -> None:
        due = max(self._budget / self._length, 1e-9) * (self._due_from - state.auctions_left)
        error = 1 - (self._left - state.budget_left) / due
        self._sum = self._sum + error
        p, i, d = self.gains
        self._control = np.clip(p * error + i * self._sum + d * (error - self._error), -_MOST, _MOST)
        self._error, self._left, self._due_from = error, state.budget_left, state.auctions_left


def build(seed: int) -> Bidder:
    """A bidder that draws nothing."""
    return Pid()
