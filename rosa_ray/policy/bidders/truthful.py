"""Bid what a click costs on this market, times the expected clicks: what is best where no budget binds.

In a second-price auction the bid that equals one's own worth cannot be bettered (Vickrey 1961). The worth of a click is
not in the log. So a click is taken to be worth what the market asks for an expected one.
"""

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.replay import Bidder, State, whole_bids


class Truthful:
    """Bids price per expected click x value. Knows no budget, and stops when it is gone."""

    def __init__(self) -> None:
        self.price_per_click = 0.0

    def fit(self, tuning: Auctions, budget: int) -> None:
        """Divide all prices of the tuning auctions by all their expected clicks."""
        expected_clicks = float(tuning.value_BT.sum())
        self.price_per_click = float(tuning.price_BT.sum()) / expected_clicks if expected_clicks else 0.0

    def start(self, shape: tuple[int, ...]) -> None:
        """Nothing is remembered."""

    def bid(self, state: State, value: Floats) -> Ints:
        return whole_bids(self.price_per_click * value, state.budget_left)


def build(seed: int) -> Bidder:
    """A bidder that draws nothing."""
    return Truthful()
