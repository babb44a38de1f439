"""Mcpc: never pay more for an expected click than the market asked for a click that happened.

After Zhang et al., KDD 2014 (Optimal Real-Time Bidding for Display Advertising, section 5.3): the most that a click may
cost is what the tuning auctions cost over the clicks that they had. Where blocks were chosen for their clicks, as the
shared iPinYou ones were, this number is too low.
"""

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.replay import Bidder, State, whole_bids


class Mcpc:
    """Bids the most a click may cost x value."""

    def __init__(self) -> None:
        self.most_per_click = 0.0

    def fit(self, tuning: Auctions, budget: int) -> None:
        """Divide all prices of the tuning auctions by their clicks. Without a click the bound is all that they cost."""
        self.most_per_click = float(tuning.price_BT.sum()) / max(int(tuning.click_BT.sum()), 1)

    def start(self, shape: tuple[int, ...]) -> None:
        """Nothing is remembered."""

    def bid(self, state: State, value: Floats) -> Ints:
        return whole_bids(self.most_per_click * value, state.budget_left)


def build(seed: int) -> Bidder:
    """A bidder that draws nothing."""
    return Mcpc()
