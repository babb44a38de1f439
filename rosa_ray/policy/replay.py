"""Replay of second-price auctions: a bidder with a budget against market prices that were seen.

A bid wins where it is at least the market price, and pays the market price. A block ends with its last auction, or when
its budget is gone. Blocks do not touch each other, so all of them are replayed at once, auction by auction.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.auctions import Auctions


@dataclass(frozen=True)
class State:
    """What a bidder knows before an auction, of all blocks that it bids in at once.

    Attributes:
        auctions_left: of each block, this one included: T at the first, 1 at the last.
        budget_left: int64 (..., B), >= 0, in the unit of prices.
    """

    auctions_left: int
    budget_left: Ints


class Bidder(Protocol):
    """How much to bid. A bidder is fitted on tuning auctions, and never sees the price of an auction that it bids in.

    It learns what it paid from `budget_left` alone, as a buyer does: prices of lost auctions stay unknown.
    """

    def fit(self, tuning: Auctions, budget: int) -> None:
        """Learn from other auctions of the same market how to spend this budget in a block.

        Args:
            tuning: blocks as long as those to come.
            budget: of each block, >= 0, in the unit of prices.
        """
        ...

    def start(self, shape: tuple[int, ...]) -> None:
        """Forget former blocks: bids for blocks of this shape (..., B) follow, from their first auction on."""
        ...

    def bid(self, state: State, value: Floats) -> Ints:
        """Bid in the next auction of every block.

        Args:
            state: of the blocks, as `start` was told their shape.
            value: expected clicks of this auction, float64, of a shape that broadcasts to that of the blocks.

        Returns:
            int64 prices of the shape of the blocks, from 0 to `state.budget_left`.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """What a bidder got.

    Attributes:
        won: bool (..., B, T).
        expected_clicks: float64 (..., B): values of what was won, summed.
        clicks: int64 (..., B): clicks of what was won.
        spend: int64 (..., B), in the unit of prices, never above the budget.
    """

    won: npt.NDArray[np.bool_]
    expected_clicks: Floats
    clicks: Ints
    spend: Ints


def replay(bidder: Bidder, auctions: Auctions, budget: int, trials: int = 0) -> Outcome:
    """Let a fitted bidder spend a budget in every block.

    Args:
        budget: of each block, >= 0, in the unit of prices.
        trials: replay the blocks so many times side by side, for a bidder that bids otherwise in each. Results then
            have the shape (trials, B). 0 replays once, and results have the shape (B,).

    Raises:
        ValueError: a bid is no integer, negative or above the budget left.

    >>> class Five:
    ...     def fit(self, tuning, budget): ...
    ...     def start(self, shape): ...
    ...     def bid(self, state, value): return np.minimum(5, state.budget_left)
    >>> outcome = replay(Five(), Auctions.in_blocks([3, 6, 4, 1], [0.1] * 4, [1, 1, 0, 1], 4), 7)
    >>> outcome.won.tolist(), outcome.spend.tolist(), outcome.clicks.tolist()
    ([[True, False, True, False]], [7], [1])
    """
    shape = (trials, auctions.blocks) if trials else (auctions.blocks,)
    left = np.full(shape, budget, np.int64)
    won = np.zeros((auctions.length, *shape), bool)
    expected, clicks = np.zeros(shape), np.zeros(shape, np.int64)
    bidder.start(shape)
    # One auction of all blocks lies together in memory, T first: half the time of columns of (B, T).
    price_TB, value_TB, click_TB = (
        np.ascontiguousarray(array.T) for array in (auctions.price_BT, auctions.value_BT, auctions.click_BT)
    )
    for t in range(auctions.length):
        bids = bidder.bid(State(auctions.length - t, left), value_TB[t])
        _require_bids(bids, left)
        won[t] = (bids >= price_TB[t]) & (left > 0)
        left = left - won[t] * price_TB[t]
        expected += won[t] * value_TB[t]
        clicks += won[t] * click_TB[t]
        if not left.any():
            break
    return Outcome(np.moveaxis(won, 0, -1), expected, clicks, budget - left)


def whole_bids(price: Floats, budget_left: Ints) -> Ints:
    """Round wished prices down to whole units within the budget left. An infinite price is all of it.

    Args:
        price: float64, >= 0, of a shape that broadcasts to that of `budget_left`.

    >>> whole_bids(np.array([2.9, np.inf]), np.array([10, 10])).tolist()
    [2, 10]
    """
    return np.minimum(price, budget_left).astype(np.int64)


def _require_bids(bids: Ints, left: Ints) -> None:
    if bids.dtype.kind != "i" or bids.shape != left.shape:
        raise ValueError(f"bids are {bids.dtype} of shape {bids.shape}, not whole numbers of shape {left.shape}")
    if (bids < 0).any() or (bids > left).any():
        raise ValueError("a bid is negative or above the budget left")
