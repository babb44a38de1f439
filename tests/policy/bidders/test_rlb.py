"""The dynamic programme of RLB against a search over all bids and all prices that may come."""

import itertools
from functools import cache

import numpy as np
import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.bidders.rlb import Rlb, values_of_rest
from rosa_ray.policy.replay import State, replay

PRICES, CHANCES = (0, 1, 2, 4), (0.125, 0.25, 0.375, 0.25)
"""Chances are sums of powers of two, so that sums of products of few of them are exact."""
MEAN, AUCTIONS, BUDGET = 0.5, 4, 7


@cache
def best(auctions: int, budget: int) -> float:
    """The most that can be expected, by trying every bid against every price."""
    if not auctions or not budget:
        return 0.0
    return max(
        sum(
            chance * (MEAN + best(auctions - 1, budget - price) if price <= bid else best(auctions - 1, budget))
            for price, chance in zip(PRICES, CHANCES, strict=True)
        )
        for bid in range(budget + 1)
    )


def market() -> Auctions:
    """Tuning blocks whose prices have the chances above, and whose mean value is the one above."""
    price = np.repeat(PRICES, [1, 2, 3, 2])
    return Auctions.in_blocks(price, np.tile([0.25, 0.75], 4), np.zeros(8), AUCTIONS)


def fitted() -> Rlb:
    rlb = Rlb()
    rlb.fit(market(), BUDGET)
    return rlb


def test_the_table_is_what_a_search_over_all_bids_finds() -> None:
    table = fitted().value_of_rest
    assert table.shape == (AUCTIONS + 1, BUDGET + 1)
    for auctions, budget in np.ndindex(table.shape):
        assert table[auctions, budget] == best(auctions, budget), (auctions, budget)


def test_playing_all_sequences_of_prices_wins_what_the_table_promises() -> None:
    sequences = np.array(list(itertools.product(PRICES, repeat=AUCTIONS)))
    chance = np.prod(np.array(CHANCES)[np.searchsorted(PRICES, sequences)], axis=1)
    world = Auctions(sequences, np.full(sequences.shape, MEAN), np.zeros(sequences.shape, np.int64))
    outcome = replay(fitted(), world, BUDGET)
    assert chance.sum() == 1
    assert chance @ outcome.expected_clicks == pytest.approx(best(AUCTIONS, BUDGET), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.125, 0.3, 0.5, 2.0])
def test_a_bid_is_the_highest_price_worth_paying(value: float) -> None:
    rlb, left = fitted(), np.arange(BUDGET + 1)
    for auctions_left in range(1, AUCTIONS + 1):
        after = [best(auctions_left - 1, budget) for budget in range(BUDGET + 1)]
        expected = [max(p for p in range(b + 1) if value + after[b - p] - after[b] >= 0) for b in left]
        assert rlb.bid(State(auctions_left, left), np.full(left.shape, value)).tolist() == expected


def test_the_last_auction_is_bid_for_with_all_that_is_left() -> None:
    assert fitted().bid(State(1, np.array([5, 0])), np.array([1e-6, 1.0])).tolist() == [5, 0]


def test_a_table_rises_with_budget_and_with_auctions() -> None:
    rng = np.random.default_rng(0)
    prices = np.unique(rng.integers(1, 90, 60))
    table = values_of_rest(prices, rng.dirichlet(np.ones(prices.size)), 0.013, 50, 400)
    assert (np.diff(table, axis=0) >= 0).all()
    assert (np.diff(table, axis=1) >= 0).all()
    assert table[-1, -1] <= 50 * 0.013


def test_more_than_it_was_fitted_for_is_refused() -> None:
    rlb = fitted()
    for state in (State(AUCTIONS + 1, np.array([1])), State(1, np.array([BUDGET + 1]))):
        with pytest.raises(ValueError, match="rlb was fitted for 4 auctions and a budget of 7"):
            rlb.bid(state, np.array([0.5]))


def test_a_table_that_does_not_fit_into_memory_is_refused_in_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r"rlb needs a table of 37\.3 GiB for 4 auctions and a budget of 1,000,000,000"
    ):
        Rlb().fit(market(), 1_000_000_000)
