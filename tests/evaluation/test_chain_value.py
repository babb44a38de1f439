"""What a chain shows of logged candidates, and what that is worth."""

import numpy as np
import pytest

from rosa_ray.evaluation.chain_value import value_chain
from rosa_ray.metrics import Ranking
from rosa_ray.policy.slate import Shown, Slate, Step
from rosa_ray.policy.steps import explore, floor, frequency_cap
from rosa_ray.policy.steps.budget import Campaign, Config, Rule
from tests.policy.slates import DAY_US, HOUR_US, at

CANDIDATES = {
    "user_key": np.array([7, 7, 7, 7, 8, 8]),
    "request_key": np.array([2, 2, 1, 1, 3, 3]),
    "impression_key": np.array([4, 3, 2, 1, 6, 5]),
    "campaign_key": np.array([1, 2, 1, 2, 1, 2]),
    "ad_key": np.array([11, 12, 11, 12, 11, 12]),
    "time_us": at() + HOUR_US * np.array([2, 2, 1, 1, 3, 3]),
    "p_ctr": np.full(6, 0.5),
    "p_cvr": np.full(6, 0.5),
    "value": np.array([40.0, 36.0, 40.0, 36.0, 40.0, 8.0]),
    "expected_cost": np.full(6, 4.0),
}
TRUTH = {"expected_revenue": np.array([9.0, 8.0, 7.0, 6.0, 5.0, 1.0]), "expected_cost": np.full(6, 4.0)}


class Told(Step):
    """Remembers what it was asked and told."""

    def __init__(self) -> None:
        self.asked: list[Slate] = []
        self.told: list[Shown] = []

    def apply(self, slate: Slate) -> Slate:
        self.asked.append(slate)
        return slate

    def tell(self, shown: Shown) -> None:
        self.told.append(shown)


def test_without_steps_the_best_by_score_is_shown_in_order_of_time() -> None:
    walk = value_chain(CANDIDATES, TRUTH, [])
    assert walk.first.tolist() == [3, 1, 5]
    assert walk.row.tolist() == [2, 0, 4]
    assert (walk.value.revenue, walk.value.cost, walk.value.requests) == (21.0, 12.0, 3.0)
    assert walk.propensity.tolist() == [1.0, 1.0, 1.0]


def test_a_step_sees_expectations_of_the_model_and_is_told_those_of_the_truth() -> None:
    step = Told()
    value_chain(CANDIDATES, TRUTH, [step], Ranking("dual", 2.0, 0.5))  # type: ignore[list-item]
    slate, told = step.asked[0], step.told[0]
    assert (slate.request_key, slate.user_key, slate.time_us) == (1, 7, at(1.0))
    assert slate.revenue.tolist() == [4.5, 5.0]
    assert slate.score.tolist() == [-3.5, -3.0]
    assert (told.ad_key.tolist(), told.revenue.tolist(), told.cost.tolist()) == ([11], [7.0], [4.0])
    assert len(step.told) == 3


def test_a_budget_is_spent_in_order_of_time() -> None:
    budget = Rule(Config({}, rate=0.0), named={1: Campaign(daily_budget=4.0)})
    walk = value_chain(CANDIDATES, TRUTH, [budget])
    assert walk.row.tolist() == [2, 1, 5]
    tomorrow = {**CANDIDATES, "time_us": CANDIDATES["time_us"] + DAY_US}
    assert value_chain(tomorrow, TRUTH, [budget]).row.tolist() == [2, 1, 5]


def test_a_request_may_show_nothing() -> None:
    walk = value_chain(CANDIDATES, TRUTH, [floor.Rule(floor.Config(least=5.9))])
    assert walk.row.tolist() == [2, 0, 4]
    nothing = value_chain(CANDIDATES, TRUTH, [floor.Rule(floor.Config(least=99.0))])
    assert nothing.row.tolist() == [-1, -1, -1]
    assert (nothing.value.requests, nothing.propensity.tolist()) == (0.0, [0.0] * 3)


def test_a_user_who_saw_an_ad_is_shown_another() -> None:
    walk = value_chain(CANDIDATES, TRUTH, [frequency_cap.Rule(frequency_cap.Config(most=1))])
    assert walk.row.tolist() == [2, 1, 4]


def test_chances_of_what_was_shown_are_those_of_the_draws() -> None:
    walk = value_chain(CANDIDATES, TRUTH, [explore.Rule(explore.Config(epsilon=0.5, seed=3))])
    best = np.isin(walk.row, [2, 0, 4])
    np.testing.assert_allclose(walk.propensity, np.where(best, 0.75, 0.25))


def test_only_some_requests() -> None:
    walk = value_chain(CANDIDATES, TRUTH, [], rows=np.array([0, 1]))
    assert (walk.row.tolist(), walk.value.revenue) == ([0], 9.0)
    assert value_chain(CANDIDATES, TRUTH, [], rows=np.zeros(0, np.int64)).value.cost == pytest.approx(0.0)
