"""The floor: what is below it is not shown, and nothing may be left."""

import pytest

from rosa_ray.policy.slate import run_chain
from rosa_ray.policy.steps.floor import Config, Rule
from tests.policy.slates import slate_of


def test_what_is_below_the_floor_is_taken_out_and_counted() -> None:
    left = Rule(Config(least=1.0)).apply(slate_of([3.0, 1.5, 2.0], [1.0, 1.0, 1.0]))
    assert left.order.tolist() == [0, 2]
    assert left.said == {"floor": {"of": "score", "least": 1.0, "below": 1}}


@pytest.mark.parametrize(
    ("of", "least", "shown"),
    [("profit", 1.0, [True, True, False, False]), ("roi", 1.5, [True, False, True, False])],
)
def test_profit_and_return_have_floors_of_their_own(of: str, least: float, shown: list[bool]) -> None:
    slate = slate_of([5.0, 4.0, 0.3, 0.0], [1.0, 2.0, 0.0, 0.0], score=[9.0, 9.0, 9.0, 9.0])
    assert Rule(Config(least=least, of=of)).apply(slate).shown.tolist() == shown  # type: ignore[arg-type]


def test_a_request_may_show_nothing_and_says_why() -> None:
    left = run_chain([Rule(Config(least=5.0)), Rule(Config(), "second")], slate_of([3.0, 2.0], [1.0, 1.0]))
    assert left.order.size == 0
    assert left.said == {"floor": {"of": "score", "least": 5.0, "below": 2}}
    assert left.first_propensity == 0.0
