"""The rate that a service keeps up with."""

import pytest

from rosa_ray.errors import ServingError
from rosa_ray.load import Answer, Bodies, Plan, find_saturation

BODIES = Bodies(["u1"], candidates=0)


def keeps_up_with(most_per_s: float):
    """A service that answers so many a second; what comes beyond waits in line."""

    def send(plan: Plan, bodies: Bodies) -> list[Answer]:
        due, free, answers = plan.due_s()[0].tolist(), 0.0, []
        for at in due:
            free = max(free, at) + 1 / most_per_s
            answers.append(Answer("rank", at, at, free, 200))
        return answers

    return send


def test_the_highest_rate_that_is_kept_up_with_is_found() -> None:
    found = find_saturation(keeps_up_with(100.0), BODIES, limit_ms=100, first_per_s=10, growth=2, step_s=5)
    assert found.per_s == 80
    assert [step.per_s for step in found.steps] == [10, 20, 40, 80, 160]
    assert found.steps[-1].kept < 0.5


def test_a_service_that_is_too_small_is_said() -> None:
    with pytest.raises(ServingError, match="of 10 rankings a second were answered within 100 ms"):
        find_saturation(keeps_up_with(2.0), BODIES, limit_ms=100)
