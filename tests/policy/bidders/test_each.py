"""What each bidder does of its own, on markets where the answer is known."""

import numpy as np
import pytest

from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.bidders.duals import Duals, shadow_price
from rosa_ray.policy.bidders.hourly_dqn import FACTORS, HourlyDqn
from rosa_ray.policy.bidders.linear import Linear
from rosa_ray.policy.bidders.mcpc import Mcpc
from rosa_ray.policy.bidders.pid import Pid
from rosa_ray.policy.bidders.truthful import Truthful
from rosa_ray.policy.replay import State, replay
from tests.policy.markets import market

BLOCKS = Auctions.in_blocks([10, 20, 30, 40], [0.1, 0.2, 0.3, 0.4], [1, 0, 1, 0], 2)


def one(value: float, left: int = 1000, auctions_left: int = 2) -> tuple[State, np.ndarray]:
    return State(auctions_left, np.array([left])), np.array([value])


def test_truthful_bids_what_an_expected_click_costs() -> None:
    bidder = Truthful()
    bidder.fit(BLOCKS, 10)
    assert bidder.price_per_click == pytest.approx(100)
    assert bidder.bid(*one(0.255)).tolist() == [25]


def test_mcpc_bids_what_a_click_that_happened_costs() -> None:
    bidder = Mcpc()
    bidder.fit(BLOCKS, 10)
    assert bidder.most_per_click == 50
    assert bidder.bid(*one(0.5)).tolist() == [25]
    assert bidder.bid(*one(0.5, left=7)).tolist() == [7]


def test_linear_takes_the_base_that_wins_most_of_all_it_tries() -> None:
    tuning = market()
    bidder = Linear()
    bidder.fit(tuning, 150)
    won = replay(bidder, tuning, 150).expected_clicks.sum()
    for factor in (0.5, 0.8, 0.95, 1.05, 1.3, 2.0):
        other = Linear()
        other.base_price, other.mean_value = factor * bidder.base_price, bidder.mean_value
        assert replay(other, tuning, 150).expected_clicks.sum() <= won


def test_the_shadow_price_spends_the_budget_of_all_blocks() -> None:
    tuning = market(40)
    price = shadow_price(tuning, 150)
    bought = tuning.value_BT / tuning.price_BT >= price
    spend = tuning.price_BT[bought].sum() / tuning.blocks
    assert spend == pytest.approx(150, rel=0.02)


def test_duals_bid_less_after_spending_too_fast() -> None:
    bidder = Duals()
    bidder.fit(market(), 120)
    bidder.rate = 0.05
    slow, even, fast = bidder.bid(State(30, np.array([100, 60, 30])), np.full(3, 5e-3)).tolist()
    assert slow > even > fast > 0


def test_pid_raises_the_price_of_a_block_that_spends_too_slowly() -> None:
    bidder = Pid()
    bidder.fit(market(), 1200)
    bidder.gains = (0.3, 0.0, 0.0)
    bidder.start((2,))
    value = np.full(2, 5e-3)
    first = bidder.bid(State(60, np.array([1200, 1200])), value)
    unspent, overspent = bidder.bid(State(57, np.array([1200, 900])), value).tolist()
    assert first[0] == first[1]
    assert unspent > first[0] > overspent > 0


def test_the_network_changes_its_factor_once_a_period() -> None:
    bidder = HourlyDqn(seed=2)
    bidder.fit(market(6, 40), 300)
    bidder.start((1,))
    bids = [int(bidder.bid(*one(5e-3, left=300, auctions_left=left))[0]) for left in range(40, 0, -1)]
    pairs = np.array(bids).reshape(20, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()
    per_click = bidder.linear.base_price / bidder.linear.mean_value
    assert set(bids) <= {int(min(factor * per_click * 5e-3, 300)) for factor in FACTORS}


def test_another_seed_may_bid_otherwise_but_as_well_as_half_of_linear() -> None:
    tuning, test = market(24).halves()
    linear = Linear()
    linear.fit(tuning, 200)
    least = replay(linear, test, 200).expected_clicks.sum() / 2
    for seed in (1, 2):
        bidder = HourlyDqn(seed)
        bidder.fit(tuning, 200)
        assert replay(bidder, test, 200).expected_clicks.sum() > least
