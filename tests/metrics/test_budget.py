import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.metrics import random_at_budgets, serving_curve

# Request 1 offers its second ad (score 4), request 2 its only one (5), request 3 its first (1).
SCORES = [2.0, 4.0, 5.0, 1.0, 0.5]
REVENUE = [9.0, 6.0, 10.0, 1.0, 50.0]
COST = [1.0, 3.0, 2.0, 4.0, 1.0]
REQUESTS = [1, 1, 2, 3, 3]
KEYS = [11, 12, 13, 14, 15]


@pytest.fixture
def curve():
    return serving_curve(SCORES, REVENUE, COST, REQUESTS, KEYS)


def test_requests_are_served_best_score_first(curve):
    assert curve.score.tolist() == [5.0, 4.0, 1.0]
    assert curve.revenue.tolist() == [10.0, 16.0, 17.0]
    assert curve.cost.tolist() == [2.0, 5.0, 9.0]


def test_the_last_request_is_served_in_part(curve):
    rows = curve.at_budgets([0.0, 1.0, 2.0, 3.5, 9.0, 20.0])
    assert [row["requests"] for row in rows] == [0.0, 0.5, 1.0, 1.5, 3.0, 3.0]
    assert [row["revenue"] for row in rows] == [0.0, 5.0, 10.0, 13.0, 17.0, 17.0]
    assert [row["cost"] for row in rows] == [0.0, 1.0, 2.0, 3.5, 9.0, 9.0]
    assert [row["budget"] for row in rows] == [0.0, 1.0, 2.0, 3.5, 9.0, 20.0]
    assert rows[0]["roi"] is None
    assert rows[3]["roi"] == pytest.approx(13 / 3.5 - 1)


def test_thresholds_serve_the_scores_that_reach_them(curve):
    rows = curve.at_thresholds([6.0, 5.0, 4.5, 1.0])
    assert [row["requests"] for row in rows] == [0.0, 1.0, 1.0, 3.0]
    assert [row["share"] for row in rows] == pytest.approx([0.0, 1 / 3, 1 / 3, 1.0])
    assert [row["roi"] for row in rows] == [None, 4.0, 4.0, pytest.approx(17 / 9 - 1)]


def test_thresholds_of_shares_serve_at_least_those(curve):
    assert curve.thresholds([0.1, 0.34, 1.0]).tolist() == [5.0, 4.0, 1.0]
    assert serving_curve([], [], [], np.zeros(0, int), np.zeros(0, int)).thresholds([0.5]).size == 0


def test_random_choice_earns_in_proportion():
    rows = random_at_budgets(4, 6.0, 3.0, [0.0, 1.5, 9.0])
    assert [row["revenue"] for row in rows] == [0.0, 3.0, 6.0]
    assert [row["cost"] for row in rows] == [0.0, 1.5, 3.0]
    assert [row["roi"] for row in rows] == [None, 1.0, 1.0]


@given(st.integers(0, 2**16), st.floats(0.0, 1.2))
@settings(max_examples=30, deadline=None)
def test_a_budget_equals_serving_one_request_after_the_other(seed, fraction):
    rng = np.random.default_rng(seed)
    requests, keys = np.repeat(np.arange(8), 3), rng.permutation(24)
    scores, revenue, cost = rng.integers(0, 4, 24), rng.exponential(2, 24), rng.uniform(0.1, 1, 24)
    tops = [min(np.flatnonzero(requests == one), key=lambda row: (-scores[row], keys[row])) for one in range(8)]
    tops.sort(key=lambda row: (-scores[row], keys[row]))
    budget = left = fraction * cost[tops].sum()
    earned = 0.0
    for row in tops:
        part = min(left / cost[row], 1.0)
        earned, left = earned + part * revenue[row], left - part * cost[row]
    order = rng.permutation(24)
    curve = serving_curve(scores[order], revenue[order], cost[order], requests[order], keys[order])
    assert curve.at_budgets([budget])[0]["revenue"] == pytest.approx(earned)


def test_bad_input_is_named(curve):
    with pytest.raises(ValueError, match="'budgets': 1 of 1 values are negative"):
        curve.at_budgets([-1.0])
    with pytest.raises(ValueError, match="'cost': 1 of 5 values are NaN"):
        serving_curve(SCORES, REVENUE, [np.nan, *COST[1:]], REQUESTS, KEYS)
