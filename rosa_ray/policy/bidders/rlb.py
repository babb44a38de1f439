"""RLB: the bid that a dynamic programme over (auctions left, budget left) finds best.

Cai et al., WSDM 2017 (Real-Time Bidding by Reinforcement Learning in Display Advertising), section 3. V(t, b) is the
value that is still to be won with t auctions and a budget of b. With m the distribution of market prices and θ̄ the
mean value, both of the tuning auctions,

    V(t, b) = V(t-1, b) + Σ_δ m(δ) max(0, θ̄ + V(t-1, b-δ) - V(t-1, b)),   V(0, b) = V(t, 0) = 0.

The bid is the highest price δ <= b at which winning is worth it: θ(x) + V(t-1, b-δ) - V(t-1, b) >= 0.

This is the paper's recursion: V rises with b, so the prices worth paying are those up to some a(t, b). The table is
exact, not approximated by a network. It takes 8 (T + 1)(budget + 1) bytes: 90 MB for T = 1,000 and a budget of 11,250.
"""

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.errors import ConfigError
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.replay import Bidder, State

MOST_BYTES = 4 << 30


class Rlb:
    """Bids from a table of values. A block may be shorter than those it was fitted for, and its budget smaller.

    Attributes:
        value_of_rest: V, float64 (T + 1, budget + 1).
    """

    def __init__(self) -> None:
        self.value_of_rest: Floats = np.zeros((1, 1))

    def fit(self, tuning: Auctions, budget: int) -> None:
        """Fill the table.

        Raises:
            ConfigError: it would take more than 4 GiB.
        """
        if (size := 8 * (tuning.length + 1) * (budget + 1)) > MOST_BYTES:
            raise ConfigError(
                f"rlb needs a table of {size / (1 << 30):.1f} GiB for {tuning.length:,} auctions and a budget of "
                f"{budget:,}, more than 4; give a smaller --budgets or fewer --auctions"
            )
        prices, counts = np.unique(tuning.price_BT, return_counts=True)
        self.value_of_rest = values_of_rest(
            prices, counts / tuning.price_BT.size, float(tuning.value_BT.mean()), tuning.length, budget
        )

    def start(self, shape: tuple[int, ...]) -> None:
        """Nothing is remembered."""

    def bid(self, state: State, value: Floats) -> Ints:
        """Bid as the table says.

        Raises:
            ValueError: more auctions or more budget are left than it was fitted for.
        """
        length, most = (size - 1 for size in self.value_of_rest.shape)
        if state.auctions_left > length or state.budget_left.max() > most:
            raise ValueError(f"rlb was fitted for {length} auctions and a budget of {most}, and there is more")
        after = self.value_of_rest[state.auctions_left - 1]
        # V rises with the budget, so the least budget to be left with is found by bisection.
        least = np.searchsorted(after, after[state.budget_left] - value)
        return np.asarray(state.budget_left - least, np.int64)


def values_of_rest(prices: Ints, probabilities: Floats, mean_value: float, auctions: int, budget: int) -> Floats:
    """The table V of expected value, float64 (auctions + 1, budget + 1), rising along both axes.

    Args:
        prices: market prices that occur, int64 (n,), rising, >= 0.
        probabilities: of each, (n,), summing to 1.
        mean_value: θ̄, expected clicks of an auction.
        auctions: T.
        budget: in the unit of prices.

    >>> values_of_rest(np.array([1, 3]), np.array([0.5, 0.5]), 1.0, 2, 3).tolist()
    [[0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 1.0], [0.0, 0.75, 1.0, 1.25]]
    """
    table = np.zeros((auctions + 1, budget + 1))
    affordable = prices <= budget
    chances = [
        (int(price), chance) for price, chance in zip(prices[affordable], probabilities[affordable], strict=True)
    ]
    gain = np.empty(budget)
    for t in range(1, auctions + 1):
        before, now = table[t - 1], table[t]
        now[:] = before
        stay = mean_value - before
        for price, chance in chances:
            first = max(price, 1)  # a budget of nothing has ended the block
            worth = np.add(before[first - price : budget + 1 - price], stay[first:], out=gain[: budget + 1 - first])
            np.maximum(worth, 0, out=worth)
            worth *= chance
            now[first:] += worth
        np.maximum.accumulate(now, out=now)  # a rounding error must not hide a step from the bisection
    return table


def build(seed: int) -> Bidder:
    """A bidder that draws nothing."""
    return Rlb()
