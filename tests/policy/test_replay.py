"""Replay of second-price auctions against values computed by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from rosa_ray.arrays import Floats, Ints
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.replay import State, replay


class Listed:
    """Bids the listed prices in turn, in all blocks, within the budget left; notes what it was told."""

    def __init__(self, bids: Sequence[int], capped: bool = True) -> None:
        self.bids, self.capped = bids, capped
        self.seen: list[tuple[int, list[int]]] = []

    def fit(self, tuning: Auctions, budget: int) -> None:
        raise AssertionError("a replay fits nothing")

    def start(self, shape: tuple[int, ...]) -> None:
        self.seen = []

    def bid(self, state: State, value: Floats) -> Ints:
        self.seen.append((state.auctions_left, state.budget_left.tolist()))
        wished = np.full(state.budget_left.shape, self.bids[len(self.seen) - 1])
        return np.minimum(wished, state.budget_left) if self.capped else wished


def market(price: Sequence[Sequence[int]]) -> Auctions:
    shape = np.shape(price)
    return Auctions(np.array(price), np.full(shape, 0.25), np.ones(shape, np.int64))


def test_the_winner_pays_the_market_price_and_the_loser_nothing() -> None:
    outcome = replay(Listed([10, 10, 10]), market([[4, 12, 10], [11, 3, 0]]), 100)
    assert outcome.won.tolist() == [[True, False, True], [False, True, True]]
    assert outcome.spend.tolist() == [14, 3]
    assert outcome.expected_clicks.tolist() == [0.5, 0.5]
    assert outcome.clicks.tolist() == [2, 2]


def test_a_budget_binds_block_by_block() -> None:
    bidder = Listed([9, 9, 9, 9])
    outcome = replay(bidder, market([[8, 5, 2, 0], [1, 1, 1, 1]]), 10)
    # The first block has 2 left after the first auction: 5 is too dear, 2 is not, and then the block is over.
    assert outcome.won.tolist() == [[True, False, True, False], [True] * 4]
    assert outcome.spend.tolist() == [10, 4]
    assert bidder.seen == [(4, [10, 10]), (3, [2, 9]), (2, [2, 8]), (1, [0, 7])]


def test_nothing_is_won_without_a_budget_not_even_for_nothing() -> None:
    outcome = replay(Listed([0, 0]), market([[0, 0]]), 0)
    assert not outcome.won.any()
    assert outcome.expected_clicks.tolist() == [0.0]


def test_a_bid_of_nothing_wins_what_is_free() -> None:
    assert replay(Listed([0, 0]), market([[0, 1]]), 5).won.tolist() == [[True, False]]


def test_trials_stand_side_by_side() -> None:
    class Two(Listed):
        def bid(self, state: State, value: Floats) -> Ints:
            assert state.budget_left.shape == (2, 1)
            return np.minimum([[1], [5]], state.budget_left)

    outcome = replay(Two([]), market([[3, 1, 5]]), 9, trials=2)
    assert outcome.won.tolist() == [[[False, True, False]], [[True, True, True]]]
    assert outcome.spend.tolist() == [[1], [9]]


@pytest.mark.parametrize("bids", [[11, 1], [-1, 1]])
def test_a_bid_outside_of_the_budget_is_refused(bids: list[int]) -> None:
    with pytest.raises(ValueError, match="negative or above the budget left"):
        replay(Listed(bids, capped=False), market([[1, 1]]), 10)


def test_a_bid_that_is_no_whole_number_is_refused() -> None:
    class Halves(Listed):
        def bid(self, state: State, value: Floats) -> Ints:
            return state.budget_left / 2  # type: ignore[return-value]

    with pytest.raises(ValueError, match="not whole numbers"):
        replay(Halves([]), market([[1]]), 10)
