"""What every bidder keeps. A new one is found by the name of its file."""

import numpy as np
import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.bidders import bidder_names, build_bidder, hourly_dqn
from rosa_ray.policy.replay import Bidder, State, replay
from tests.policy.markets import constant_market, market

BOUND_BY_WORTH = ("mcpc", "truthful")
"""They pay what a click is worth and no more, whatever the budget."""

every_bidder = pytest.mark.parametrize("name", bidder_names())


@pytest.fixture(autouse=True)
def _learn_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hourly_dqn, "EPISODES", 4)


def fitted(name: str, tuning: Auctions, budget: int, seed: int = 1) -> Bidder:
    bidder = build_bidder(name, seed)
    bidder.fit(tuning, budget)
    return bidder


def test_the_bidders_of_the_folder() -> None:
    assert bidder_names() == ["duals", "hourly_dqn", "linear", "mcpc", "pid", "rlb", "truthful"]


def test_an_unknown_bidder_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="--bidders has 'rbl'; known bidders are duals, hourly_dqn, linear"):
        build_bidder("rbl")


@every_bidder
def test_a_bid_is_a_whole_price_within_whatever_budget_is_left(name: str) -> None:
    budget = 150
    bidder = fitted(name, market(), budget)
    for auctions_left in (60, 59, 31, 2, 1):
        left = np.arange(budget + 1)
        for value in (0.0, 1e-9, 0.01, 0.9):
            bidder.start(left.shape)
            bids = bidder.bid(State(auctions_left, left), np.full(left.shape, value))
            assert bids.dtype == np.int64
            assert bids.shape == left.shape
            assert (bids >= 0).all()
            assert (bids <= left).all()


@every_bidder
def test_one_value_serves_all_blocks(name: str) -> None:
    bidder, left = fitted(name, market(), 150), np.array([[150, 90, 3], [20, 0, 149]])
    bidder.start(left.shape)
    one = bidder.bid(State(60, left), np.float64(0.02))  # type: ignore[arg-type]
    bidder.start(left.shape)
    assert one.tolist() == bidder.bid(State(60, left), np.full(left.shape, 0.02)).tolist()


@every_bidder
def test_equal_seeds_spend_alike(name: str) -> None:
    tuning, test = market(24).halves()
    first, second = (replay(fitted(name, tuning, 200, seed=5), test, 200) for _ in range(2))
    assert first.won.tolist() == second.won.tolist()
    assert 0 < first.spend.sum() <= 200 * test.blocks


@every_bidder
def test_a_replay_does_not_remember_the_one_before(name: str) -> None:
    bidder, test = fitted(name, market(), 200), market(seed=7)
    assert replay(bidder, test, 200).won.tolist() == replay(bidder, test, 200).won.tolist()


@every_bidder
def test_blocks_do_not_touch_each_other(name: str) -> None:
    bidder, test = fitted(name, market(), 200), market(seed=7)
    alone = [
        replay(bidder, Auctions(*(array[[b]] for array in (test.price_BT, test.value_BT, test.click_BT))), 200)
        for b in range(test.blocks)
    ]
    assert [outcome.won[0].tolist() for outcome in alone] == replay(bidder, test, 200).won.tolist()


@every_bidder
def test_where_all_prices_are_one_each_win_costs_it(name: str) -> None:
    blocks = constant_market(7)
    outcome = replay(fitted(name, blocks, 70), blocks, 70)
    assert outcome.spend.tolist() == (7 * outcome.won.sum(axis=-1)).tolist()
    assert outcome.won.sum(axis=-1).max() <= 10


@every_bidder
def test_an_empty_budget_wins_nothing(name: str) -> None:
    bidder = fitted(name, market(), 0)
    outcome = replay(bidder, market(seed=7), 0)
    assert not outcome.won.any()
    assert not outcome.spend.any()


@every_bidder
def test_values_of_nothing_break_nobody(name: str) -> None:
    worthless = Auctions.in_blocks(np.arange(1, 41), np.zeros(40), np.zeros(40), 10)
    assert not replay(fitted(name, worthless, 30), worthless, 30).expected_clicks.any()


@pytest.mark.parametrize("name", [name for name in bidder_names() if name not in BOUND_BY_WORTH])
def test_a_budget_that_buys_everything_wins_all_that_has_a_value(name: str) -> None:
    tuning, test = market(6, 30), market(6, 30, seed=7)
    budget = 30 * 200
    assert replay(fitted(name, tuning, budget), test, budget).won.all()


@pytest.mark.parametrize("name", ["pid", "duals", "rlb"])
def test_a_bidder_that_follows_its_budget_wins_more_than_linear(name: str) -> None:
    tuning, test = market(60, 200).halves()
    budget = tuning.budget(1 / 8)
    won, by_linear = (
        replay(fitted(each, tuning, budget), test, budget).expected_clicks.sum() for each in (name, "linear")
    )
    assert won > 1.02 * by_linear
