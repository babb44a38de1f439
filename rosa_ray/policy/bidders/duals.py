"""Bid value over the shadow price of the budget, and move that price with the spend.

With λ, the expected clicks that one more unit of budget would win, the bid value / λ wins exactly what is worth its
price. λ of the tuning auctions is that of the fractional knapsack over all of them. In a block it follows the spend, by
adaptive pacing (Balseiro and Gur, Management Science 2019) with multiplicative steps: with ρ the budget of an auction,

    log λ ← log λ + ε (paid - ρ) / ρ.
"""

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.bidders.linear import scaled
from rosa_ray.policy.replay import Bidder, State, replay, whole_bids

_RATES = np.array([0.0, *np.geomspace(1e-4, 0.1, 30)])
"""ε that are tried; 0 leaves λ as it is."""
_MOST = 20.0
"""Largest change of log λ, so that its exponential is finite."""


class Duals:
    """Bids value / λ.

    Attributes:
        shadow_price: λ of the tuning auctions, expected clicks per unit of budget; 0 where the budget buys everything.
        rate: ε, the one that wins most expected clicks on the tuning blocks. In a fit one for each trial, (trials, 1).
    """

    def __init__(self) -> None:
        self.shadow_price = 0.0
        self.rate: float | Floats = 0.0
        self._length, self._budget = 1, 0

    def fit(self, tuning: Auctions, budget: int) -> None:
        """Find λ by knapsack, then ε by replay of the tuning blocks."""
        self._length, self._budget = tuning.length, budget
        self.shadow_price = shadow_price(tuning, budget)
        self.rate = _RATES[:, None]
        outcome = replay(self, tuning, budget, trials=_RATES.size)
        self.rate = float(_RATES[outcome.expected_clicks.sum(axis=1).argmax()])

    def start(self, shape: tuple[int, ...]) -> None:
        """Nothing is remembered: what was paid so far is what is missing from the budget."""

    def bid(self, state: State, value: Floats) -> Ints:
        per_auction = max(self._budget / self._length, 1e-9)
        paid = self._budget - state.budget_left
        ahead = paid / per_auction - (self._length - state.auctions_left)
        change = np.clip(self.rate * ahead, -_MOST, _MOST)
        price_per_click = np.exp(-change) / self.shadow_price if self.shadow_price else np.full(change.shape, np.inf)
        return whole_bids(scaled(price_per_click, value), state.budget_left)


def shadow_price(tuning: Auctions, budget: int) -> float:
    """Expected clicks per price of the last auction that the budgets of all blocks together still buy; 0 if all.

    Args:
        budget: of each block, in the unit of prices.

    >>> auctions = Auctions.in_blocks([10, 10, 20, 5], [0.5, 0.1, 0.4, 0.0], [0] * 4, 4)
    >>> [shadow_price(auctions, budget) for budget in (10, 30, 40)]
    [0.05, 0.02, 0.0]
    """
    worthy = tuning.value_BT > 0
    price = tuning.price_BT[worthy].astype(np.float64)
    value = tuning.value_BT[worthy]
    with np.errstate(divide="ignore"):
        ratio = value / price
    order = np.argsort(-ratio, kind="stable")
    bought = int(np.searchsorted(np.cumsum(price[order]), budget * tuning.blocks, side="right"))
    if bought == price.size:
        return 0.0
    return float(ratio[order[max(bought - 1, 0)]])


def build(seed: int) -> Bidder:
    """A bidder that draws nothing."""
    return Duals()
