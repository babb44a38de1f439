"""Prices of a day whose requests are all known, against every choice there is."""

from itertools import product

import numpy as np
import pytest

from rosa_ray.evaluation.hindsight import Day, common_price, hindsight_prices


def random_day(seed: int, requests: int = 300, campaigns: int = 4) -> Day:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, requests)
    request = np.repeat(np.arange(requests), sizes)
    cost = rng.exponential(1.0, len(request)) + 0.05
    worth = rng.exponential(3.0, len(request)) - cost
    return Day.of(request, worth, cost, cost, rng.integers(0, campaigns, len(request)))


def test_requests_of_unlike_sizes_are_padded() -> None:
    day = Day.of(np.array([4, 4, 9]), np.array([1.0, 2.0, 3.0]), np.ones(3), np.ones(3), np.array([0, 1, 0]))
    assert day.campaign_RK.tolist() == [[0, 1], [0, -1]]
    assert day.spends(np.zeros(2)).tolist() == [1.0, 1.0]
    assert day.spends(np.array([0.0, 1.5])).tolist() == [2.0, 0.0]
    empty = Day.of(*(np.zeros(0, kind) for kind in (int, float, float, float, int)))
    assert empty.spends(np.zeros(1)).tolist() == [0.0]


@pytest.mark.parametrize("seed", range(5))
def test_every_campaign_keeps_its_budget_and_spends_nearly_all_of_it(seed: int) -> None:
    day = random_day(seed)
    budget = 0.3 * day.spends(np.zeros(4))
    price = hindsight_prices(day, budget)
    spend = day.spends(price)
    assert (price > 0).all()
    # Prices settle round by round, so that one campaign may be an impression off.
    assert (spend <= budget + day.cost_RK.max()).all()
    assert spend.sum() >= budget.sum() - 4 * day.cost_RK.max()


def test_budgets_that_buy_everything_cost_nothing() -> None:
    day = random_day(1)
    assert hindsight_prices(day, 1.001 * day.spends(np.zeros(4))).tolist() == [0.0] * 4
    assert common_price([day], 1e9, 4) == 0.0


def test_nothing_is_worth_a_price_above_all() -> None:
    assert random_day(2).spends(np.full(4, 1e6)).tolist() == [0.0] * 4


def test_no_other_choice_within_the_budgets_brings_more_than_the_prices_allow() -> None:
    """Weak duality (Boyd and Vandenberghe 2004, 5.2.2), over all choices of six small requests."""
    rng = np.random.default_rng(4)
    request, campaign = np.repeat(np.arange(6), 2), np.tile([0, 1], 6)
    cost = rng.uniform(0.5, 1.5, 12)
    worth = rng.exponential(3.0, 12)
    day = Day.of(request, worth, cost, cost, campaign)
    budget = np.array([2.0, 2.0])
    price = hindsight_prices(day, budget)
    beyond = np.maximum(day.worth_RK - price[day.campaign_RK] * day.cost_RK, 0).max(axis=1).sum()
    bound = float(price @ budget) + float(beyond)
    best = 0.0
    for choice in product(range(3), repeat=6):
        rows = [2 * one + which for one, which in enumerate(choice) if which < 2]
        spend = np.bincount(campaign[rows], weights=cost[rows], minlength=2)
        if (spend <= budget).all():
            best = max(best, float(worth[rows].sum()))
    assert best <= bound + 1e-9
    assert best > 0.7 * bound
