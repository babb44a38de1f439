import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.metrics import (
    PolicyValue,
    Ranking,
    best_roi_policy,
    covered_share,
    greedy_policy,
    revenue_index,
    roi_gain,
    uniform_policy,
)

candidates = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=8)


def _columns(table):
    requests, revenue, cost = (np.array(column) for column in zip(*table, strict=True))
    return requests, revenue / 10, cost / 10, np.arange(requests.size)


@given(candidates, st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_greedy_shows_one_top_ad_a_request_whatever_the_row_order(table, seed):
    requests, revenue, _, ties = _columns(table)
    policy = greedy_policy(revenue, requests, ties)
    for request in set(requests.tolist()):
        shown = [(-revenue[i], ties[i]) for i in range(requests.size) if requests[i] == request]
        chosen = [i for i in np.flatnonzero(policy) if requests[i] == request]
        assert [(-revenue[i], ties[i]) for i in chosen] == [min(shown)]
    order = np.random.default_rng(seed).permutation(requests.size)
    np.testing.assert_array_equal(greedy_policy(revenue[order], requests[order], ties[order]), policy[order])


@given(candidates)
@settings(max_examples=30, deadline=None)
def test_uniform_policy_is_the_mean_over_all_choices(table):
    requests, revenue, cost, _ = _columns(table)
    groups = [np.flatnonzero(requests == request) for request in np.unique(requests)]
    choices = [list(choice) for choice in itertools.product(*groups)]
    value = PolicyValue().update(uniform_policy(requests), revenue, cost)
    assert value.revenue == pytest.approx(np.mean([revenue[choice].sum() for choice in choices]))
    assert value.cost == pytest.approx(np.mean([cost[choice].sum() for choice in choices]))
    assert value.compute()["requests"] == len(groups)


@given(candidates)
@settings(max_examples=40, deadline=None)
def test_best_roi_equals_trying_every_combination(table):
    requests, revenue, cost, ties = _columns(table)
    groups = [np.flatnonzero(requests == request) for request in np.unique(requests)]
    ratios = [revenue[list(c)].sum() / cost[list(c)].sum() for c in itertools.product(*groups)]
    policy = best_roi_policy(revenue, cost, requests, ties)
    assert PolicyValue().update(policy, revenue, cost).roas == pytest.approx(max(ratios))
    assert policy.sum() == len(groups)


def test_best_aggregate_roi_beats_the_best_ratio_of_each_request():
    # Request 2: the ratio 10 of the small ad beats the 5 of the large one, but beside request 1 the large one wins.
    revenue, cost = [10.0, 1.0, 50.0], [10.0, 0.1, 10.0]
    requests, ties = [1, 2, 2], [1, 2, 3]
    by_ratio = PolicyValue().update(
        greedy_policy(Ranking("roi").of_revenue(revenue, cost), requests, ties), revenue, cost
    )
    best = PolicyValue().update(best_roi_policy(revenue, cost, requests, ties), revenue, cost)
    assert by_ratio.roas == pytest.approx(11 / 10.1)
    assert best.roas == pytest.approx(60 / 20)


def test_roi_is_a_ratio_of_sums_and_merges():
    value = PolicyValue().update([1.0], [10.0], [1.0]).merge(PolicyValue().update([1.0], [0.0], [9.0]))
    assert value.compute() == {"requests": 2, "revenue": 10.0, "cost": 10.0, "profit": 0.0, "roi": 0.0, "roas": 1.0}


def test_nothing_spent_has_no_roi():
    value = PolicyValue()
    assert (value.roi, value.roas, value.profit) == (None, None, 0.0)


def test_free_ads_make_the_best_roi_unbounded():
    with pytest.raises(ValueError, match="unbounded: cost is 0 in 1 rows"):
        best_roi_policy([1.0], [0.0], [1], [1])


def test_indices_of_the_paper():
    assert roi_gain(2.692, 2.0) == pytest.approx(134.6)
    assert revenue_index(3.0, 2.0) == 1.5
    assert (roi_gain(None, 2.0), roi_gain(2.0, 0.0), revenue_index(1.0, 0.0)) == (None, None, None)
    assert covered_share(0.5, 0.0, 2.0) == 0.25
    assert covered_share(0.5, 1.0, 1.0) is None
    assert covered_share(None, 1.0, 2.0) is None


def test_no_rows_make_an_empty_policy():
    empty = np.zeros(0, np.int64)
    assert greedy_policy(empty, empty, empty).size == uniform_policy(empty).size == 0
    assert best_roi_policy(empty, empty, empty, empty).size == 0
