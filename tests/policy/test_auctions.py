"""Blocks of auctions: how a log is cut, halved and given budgets."""

from fractions import Fraction

import numpy as np
import pytest

from rosa_ray.policy.auctions import Auctions


def auctions(n: int = 10, length: int = 2) -> Auctions:
    return Auctions.in_blocks(np.arange(n), np.full(n, 0.5), np.zeros(n), length)


def test_a_rest_that_fills_no_block_is_left_out() -> None:
    cut = auctions(11, 4)
    assert cut.price_BT.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (cut.blocks, cut.length) == (2, 4)


def test_halves_share_no_block() -> None:
    tuning, test = auctions(10, 2).halves()
    assert tuning.price_BT.tolist() == [[0, 1], [2, 3]]
    assert test.price_BT.tolist() == [[4, 5], [6, 7], [8, 9]]


def test_one_block_cannot_be_halved() -> None:
    with pytest.raises(ValueError, match="one block cannot be halved"):
        auctions(2, 2).halves()


def test_a_budget_is_a_share_of_a_block_at_the_mean_price() -> None:
    blocks = auctions(10, 2)  # mean price 4.5, so a block costs 9
    assert [blocks.budget(share) for share in (Fraction(1, 3), Fraction(1, 8), 1, 2.5)] == [3, 1, 9, 22]


@pytest.mark.parametrize(
    ("price", "value", "message"),
    [
        ([-1, 1], [0.1, 0.1], "finite and not negative"),
        ([1, 1], [0.1, np.nan], "finite and not negative"),
        ([1, 1], [0.1, -0.1], "finite and not negative"),
        ([], [], "no auctions"),
    ],
)
def test_what_is_no_market_is_refused(price: list[int], value: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Auctions.in_blocks(price, value, np.zeros(len(price)), 1)


def test_arrays_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="need one shape"):
        Auctions(np.zeros((1, 2), np.int64), np.zeros((1, 3)), np.zeros((1, 2), np.int64))
