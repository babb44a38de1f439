"""Linear bidding: a base price times how much better than the average an impression is.

Perlich et al., KDD 2012. The base price is the one that wins most expected clicks on the tuning blocks with this
budget. It is the rival that every other bidder is measured against.
"""

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.replay import Bidder, State, replay, whole_bids

_SMALLEST, _LARGEST, _STEPS = 0.05, 50.0, 400
"""Base prices that are tried, in mean market prices. Neighbours lie 1.7 % apart."""


class Linear:
    """Bids base price x value / mean value of the tuning auctions.

    Attributes:
        base_price: what an average impression is bid for; infinite where the budget buys everything.
        mean_value: of the tuning auctions.
    """

    def __init__(self) -> None:
        self.base_price: float = 0.0
        self.mean_value = 1.0

    def fit(self, tuning: Auctions, budget: int) -> None:
        """Replay the tuning blocks with every base price of a grid, and keep the best."""
        self.mean_value = mean_value(tuning)
        bases = base_prices(tuning)
        outcome = replay(_Scaled(bases[:, None] / self.mean_value), tuning, budget, trials=bases.size)
        won = outcome.expected_clicks.sum(axis=1)
        self.base_price = float(bases[won == won.max()][-1])  # of equals the highest: it buys all where budgets allow

    def start(self, shape: tuple[int, ...]) -> None:
        """Nothing is remembered."""

    def bid(self, state: State, value: Floats) -> Ints:
        return whole_bids(scaled(self.base_price / self.mean_value, value), state.budget_left)


class _Scaled:
    """Prices per expected click, one for each trial: (trials, 1)."""

    def __init__(self, price_per_click: Floats) -> None:
        self.price_per_click = price_per_click

    def fit(self, tuning: Auctions, budget: int) -> None:
        """Nothing is learned."""

    def start(self, shape: tuple[int, ...]) -> None:
        """Nothing is remembered."""

    def bid(self, state: State, value: Floats) -> Ints:
        return whole_bids(scaled(self.price_per_click, value), state.budget_left)


def scaled(price_per_click: float | Floats, value: Floats) -> Floats:
    """A price per expected click times values; an infinite one pays nothing for what is worth nothing.

    >>> scaled(np.inf, np.array([0.0, 0.1])).tolist()
    [0.0, inf]
    """
    with np.errstate(invalid="ignore"):
        return np.where(value > 0, price_per_click * value, 0.0)


def mean_value(tuning: Auctions) -> float:
    """Mean value of auctions, and 1 where none has any, so that it divides.

    >>> mean_value(Auctions.in_blocks([1], [0.0], [0], 1))
    1.0
    """
    return float(tuning.value_BT.mean()) or 1.0


def base_prices(tuning: Auctions) -> Floats:
    """Base prices to try, rising: a grid in mean market prices, and an infinite one that bids all there is.

    >>> prices = base_prices(Auctions.in_blocks([40, 60], [0.1, 0.1], [0, 0], 1))
    >>> prices[[0, -1]].tolist()
    [2.5, inf]
    """
    mean_price = max(float(tuning.price_BT.mean()), 1.0)
    return np.append(np.geomspace(_SMALLEST, _LARGEST, _STEPS) * mean_price, np.inf)


def build(seed: int) -> Bidder:
    """A bidder that draws nothing."""
    return Linear()
