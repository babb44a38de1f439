"""Thresholds and prices on worlds whose best answer is known, and throttling that follows the spend."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from rosa_ray.arena.budgeted import Hindsight, Pacing, Threshold, dual_prices
from rosa_ray.arena.policies import Known
from rosa_ray.arena.slates import NONE
from rosa_ray.policy.slate import Shown
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US
from tests.arena.worlds import slates


def known(budget, made=None, **more) -> Known:
    return Known(0, np.asarray(budget, float), slates([[1.0]], [[1.0]]) if made is None else made, **more)


def test_the_threshold_lets_through_what_the_budgets_pay():
    ratios = np.array([8.0, 6.0, 5.0, 3.0, 2.0, 0.5])
    made = slates(ratios[:, None], np.ones((6, 1)))
    policy = Threshold()
    policy.fit(known([2.0, 1.0], made))
    assert 3.0 <= policy.theta < 5.0
    assert (policy.choose(made) != NONE).tolist() == [True, True, True, False, False, False]


def test_without_a_tight_budget_the_threshold_is_profit():
    made = slates([[3.0], [0.5]], np.ones((2, 1)))
    policy = Threshold()
    policy.fit(known([np.inf], made))
    assert policy.theta == 1.0
    assert policy.choose(made).tolist() == [0, NONE]


def test_hindsight_finds_what_trying_everything_finds():
    rng = np.random.default_rng(5)
    revenue, cost = rng.uniform(1, 9, (7, 2)), np.ones((7, 2))
    made = slates(revenue, cost, campaign_NK=np.tile([0, 1], (7, 1)))
    told = known([2.0, 1.0], true_requests=made)
    most = max(
        sum(revenue[n, slot] - 1 for n, slot in enumerate(choice) if slot >= 0)
        for choice in product((-1, 0, 1), repeat=7)
        if choice.count(0) <= 2 and choice.count(1) <= 1
    )
    policy = Hindsight()
    policy.fit(told)
    assert most <= policy.bound + 1e-9
    assert policy.bound == pytest.approx(most, rel=0.02)
    chosen = policy.choose(made)
    assert sum(revenue[n, slot] - 1 for n, slot in enumerate(chosen) if slot >= 0) == pytest.approx(most, rel=0.15)


def test_prices_differ_by_day_and_are_1_where_budgets_suffice():
    revenue = np.r_[np.linspace(2, 11, 10), np.linspace(2, 11, 10)][:, None]
    time_us = np.r_[np.arange(10), DAY_US + np.arange(10)]
    made = slates(revenue, np.ones((20, 1)), time_us=time_us, campaign_NK=np.zeros((20, 1), int))
    made = replace(made, win_NK=np.r_[np.ones(10), np.full(10, 0.2)][:, None])
    prices, _ = dual_prices(known([3.0], true_requests=made), made)
    assert 8 < prices[0, 0] < 10
    assert prices[1, 0] == 1.0
    assert dual_prices(known([np.inf], true_requests=made), made)[0].tolist() == [[1.0], [1.0]]


def test_hindsight_without_the_requests_says_so():
    with pytest.raises(ValueError, match="hindsight needs the requests of all days"):
        Hindsight().fit(known([1.0]))


def told_of(cost: float, time_us: int) -> Shown:
    one = np.zeros(1, int)
    return Shown(one + time_us, one, one, one, np.array([cost]), np.zeros(1), np.zeros(1, bool))


def at(time_us: int):
    return slates(np.full((1000, 1), 2.0), np.ones((1000, 1)), time_us=np.full(1000, time_us))


def test_a_campaign_ahead_of_its_plan_is_shown_less_and_one_behind_more():
    policy = Pacing(seed=1)
    policy.fit(known([100.0]))
    policy.choose(at(0))
    assert policy.share_M.tolist() == [0.1]
    for step in range(1, 13):
        policy.choose(at(step * 5 * MINUTE_US))
    assert policy.share_M[0] == pytest.approx(0.1 * 1.1**12)
    policy.tell(told_of(90.0, HOUR_US))
    shown = policy.choose(at(2 * HOUR_US)) != NONE
    assert policy.share_M[0] == pytest.approx(0.1 * 1.1**12 * 0.9)
    assert shown.mean() == pytest.approx(policy.share_M[0], abs=0.05)
    policy.choose(at(DAY_US))
    assert policy.share_M.tolist() == [0.1]


def test_without_a_budget_nothing_is_throttled():
    policy = Pacing()
    policy.fit(known([np.inf]))
    assert (policy.choose(at(HOUR_US)) == 0).all()
