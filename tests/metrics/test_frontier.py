import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.metrics import THETAS, Frontier, Ranking, greedy_policy

ONE = int(np.abs(THETAS - 1.0).argmin())
candidates = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=12)


def columns(table):
    requests, revenue, cost = (np.array(column) for column in zip(*table, strict=True))
    return revenue / 10, cost / 10, requests, np.arange(requests.size)[::-1]


@given(candidates)
@settings(max_examples=50, deadline=None)
def test_it_sums_what_the_greedy_policy_shows(table):
    revenue, cost, requests, ties = columns(table)
    found = Frontier().update(revenue, cost, requests, ties)
    for at in (0, ONE, ONE + 10, len(THETAS) - 1):
        policy = greedy_policy(Ranking("dual", theta=float(THETAS[at])).of_revenue(revenue, cost), requests, ties)
        assert found.revenue[at] == pytest.approx(policy @ revenue)
        assert found.cost[at] == pytest.approx(policy @ cost)
    assert found.requests == len(set(requests.tolist()))


@given(candidates)
@settings(max_examples=50, deadline=None)
def test_no_choice_of_ads_profits_more_than_theta_1(table):
    revenue, cost, requests, ties = columns(table)
    groups = [np.flatnonzero(requests == request) for request in np.unique(requests)]
    best = max(sum(revenue[row] - cost[row] for row in choice) for choice in itertools.product(*groups))
    assert Frontier().update(revenue, cost, requests, ties).profit[ONE] == pytest.approx(best)


@given(candidates, candidates)
@settings(max_examples=30, deadline=None)
def test_parts_of_requests_add_up(one, other):
    parts = [columns(one), columns([(request + 4, *rest) for request, *rest in other])]
    whole = Frontier().update(*(np.concatenate(pair) for pair in zip(*parts, strict=True)))
    merged = Frontier().update(*parts[0]).merge(Frontier().update(*parts[1]))
    assert whole.requests == merged.requests
    np.testing.assert_allclose(whole.profit, merged.profit, atol=1e-9)


def test_theta_is_the_highest_that_keeps_the_profit():
    # Profits 20 (dear ad) and 8 (cheap ad): the cheap one is shown above theta = (30 - 9) / (10 - 1) = 2.33.
    found = Frontier().update([9.0, 30.0], [1.0, 10.0], [7, 7], [1, 2])
    kept = found.theta(0.95)
    assert 2.1 < kept < 2.34
    assert found.theta(0.4) == THETAS[-1]
    assert found.theta(1.0) == kept


@pytest.mark.parametrize("rows", [([], []), ([1.0], [2.0]), ([1.0], [0.0])])
def test_theta_is_1_where_nothing_can_be_said(rows):
    revenue, cost = rows
    assert Frontier().update(revenue, cost, np.arange(len(cost)), np.arange(len(cost))).theta(0.95) == 1.0


def test_it_sums_other_amounts_of_the_chosen_ads():
    found = Frontier().update([9.0, 30.0], [1.0, 10.0], [7, 7], [1, 2], earned=[5.0, 6.0], spent=[2.0, 3.0])
    assert (found.revenue[ONE], found.cost[ONE]) == (6.0, 3.0)
    assert (found.revenue[-1], found.cost[-1]) == (5.0, 2.0)
