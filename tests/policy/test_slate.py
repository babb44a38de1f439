"""Candidates of a request, and what steps make of them."""

from dataclasses import replace

import numpy as np

from rosa_ray.policy.slate import Slate, run_chain


def slate(*scores: float) -> Slate:
    n = len(scores)
    keys = np.arange(n)
    return Slate(
        time_us=0,
        request_key=1,
        user_key=2,
        ad_key=keys[::-1],
        campaign_key=keys,
        category_key=keys,
        p_ctr=np.full(n, 0.1),
        p_cvr=np.full(n, 0.1),
        revenue=np.full(n, 2.0),
        cost=np.full(n, 1.0),
        score=np.array(scores),
        shown=np.ones(n, bool),
    )


class Drop:
    def __init__(self, *places: int) -> None:
        self.places, self.asked = list(places), 0

    def apply(self, slate: Slate) -> Slate:
        self.asked += 1
        return slate.without(np.isin(np.arange(len(slate.score)), self.places), "drop", {"ads": len(self.places)})


def test_equal_scores_go_by_ad_key() -> None:
    assert slate(1.0, 3.0, 3.0).order.tolist() == [2, 1, 0]


def test_what_is_dropped_is_not_in_order_and_is_said() -> None:
    left = run_chain([Drop(1)], slate(1.0, 3.0, 2.0))
    assert left.order.tolist() == [2, 0]
    assert left.said == {"drop": {"ads": 1}}
    assert left.first_propensity == 1.0


def test_a_step_that_drops_nothing_says_nothing() -> None:
    before = slate(1.0, 2.0)
    assert run_chain([Drop()], before) is before


def test_no_step_is_asked_once_nothing_is_left() -> None:
    last = Drop(0)
    left = run_chain([Drop(0, 1), last], slate(1.0, 2.0))
    assert (left.order.size, left.first_propensity, last.asked) == (0, 0.0, 0)


def test_a_drawn_choice_tells_its_chance() -> None:
    drawn = replace(slate(1.0, 2.0), propensity=np.array([0.25, 0.75]))
    assert drawn.first_propensity == 0.75


def test_scores_change_in_a_copy() -> None:
    before = slate(1.0, 2.0)
    after = before.with_score(-before.score, "turn", "turned")
    assert (after.order.tolist(), before.order.tolist()) == ([0, 1], [1, 0])
    assert after.said == {"turn": "turned"}


def test_a_drawn_candidate_is_first_as_long_as_it_is_shown() -> None:
    drawn = replace(slate(1.0, 3.0, 2.0), drawn=0, propensity=np.array([0.1, 0.8, 0.1]))
    assert (drawn.order.tolist(), drawn.first_propensity) == ([0, 1, 2], 0.1)
    assert drawn.without(np.array([True, False, False]), "floor", "low").order.tolist() == [1, 2]
