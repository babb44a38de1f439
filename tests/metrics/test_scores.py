import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.metrics import Ranking, chosen_score, greedy_policy


@pytest.mark.parametrize(("kind", "expected"), [("roi", 1.5), ("profit", 1.5), ("roas", 2.5), ("ecpm", 2500.0)])
def test_score_kinds_by_hand(kind, expected):
    # Revenue 0.5 * 0.25 * 20 = 2.5 at a cost of 1.
    assert Ranking(kind).score([0.5], [0.25], [20.0], [1.0]).tolist() == [expected]


def test_profit_and_roi_prefer_different_ads():
    revenue, cost = [10.0, 3.0], [5.0, 1.0]
    assert Ranking("profit").of_revenue(revenue, cost).argmax() == 0
    assert Ranking("roi").of_revenue(revenue, cost).argmax() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("margin", [0.5], [0.5], [1.0], [1.0]), "score kind 'margin' is unknown; choose one of roi, profit"),
        (("roi", [0.5], [0.5], [1.0], [0.0]), "divides by cost, which is 0 in 1 rows"),
        (("roi", [0.5], [0.5], [np.nan], [1.0]), "'value': 1 of 1 values are NaN"),
        (("roi", [1.5], [0.5], [1.0], [1.0]), r"'p_ctr': 1 of 1 values are outside \[0, 1\]"),
        (("profit", [0.5], [0.5], [1.0], [1.0, 2.0]), "differ in length: revenue 1, cost 2"),
    ],
)
def test_scores_refuse_bad_input(arguments, message):
    kind, *columns = arguments
    with pytest.raises(ValueError, match=message):
        Ranking(kind).score(*columns)


def test_dual_asks_theta_of_each_unit_of_cost():
    # Revenues 10 and 3 at costs 5 and 1: the dear ad wins until a unit has to bring (10 - 3) / (5 - 1) = 1.75.
    revenue, cost = [10.0, 3.0], [5.0, 1.0]
    assert Ranking("dual", theta=1.7).of_revenue(revenue, cost).argmax() == 0
    assert Ranking("dual", theta=1.8).of_revenue(revenue, cost).argmax() == 1


def test_the_level_is_of_revenue_alone():
    assert Ranking("profit", level=0.5).of_revenue([10.0], [5.0]).tolist() == [0.0]
    assert Ranking("roi", level=0.5).score([0.5], [0.25], [16.0], [0.5]).tolist() == [1.0]
    assert Ranking("dual", 3.0, 0.5).of_truth == Ranking("dual", 3.0)


@given(st.lists(st.tuples(st.floats(0.001, 100), st.floats(0.001, 100)), min_size=2, max_size=20), st.floats(0.01, 10))
def test_a_level_moves_no_ad_under_a_ratio(amounts, level):
    revenue, cost = (np.array(one) for one in zip(*amounts, strict=True))
    keys = np.zeros(len(revenue), np.int64), np.arange(len(revenue))
    plain, scaled = (Ranking("roas", level=one).of_revenue(revenue, cost) for one in (1.0, level))
    shown = [int(greedy_policy(scores, *keys).argmax()) for scores in (plain, scaled)]
    assert np.isclose(plain[shown[0]], plain[shown[1]], rtol=1e-9)


@pytest.mark.parametrize(
    ("totals", "chosen"),
    [
        ({"revenue": 5.0, "cost": 2.0}, "dual"),
        ({"revenue": 5.0, "cost": 0.0}, "ecpm"),
        ({"revenue": 0.0, "cost": 2.0}, "ctr"),
    ],
)
def test_auto_takes_what_the_log_can_teach(totals, chosen):
    assert chosen_score("auto", totals) == chosen


@pytest.mark.parametrize("kind", ["dual", "profit", "roi", "roas"])
def test_what_divides_or_subtracts_costs_needs_them(kind):
    with pytest.raises(ValueError, match=f"'{kind}' needs costs, and the log has none; give ecpm or auto"):
        chosen_score(kind, {"revenue": 5.0, "cost": 0.0})


def test_figures_of_before_tell_a_ranking_without_numbers():
    assert Ranking.told({"score_kind": "roi"}) == Ranking("roi")
    assert Ranking.told({"score_kind": "dual", "score_theta": 2.0, "score_level": 0.5}) == Ranking("dual", 2.0, 0.5)
