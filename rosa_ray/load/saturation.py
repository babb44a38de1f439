"""The rate that a service still keeps up with, found by steps."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from rosa_ray.errors import ServingError
from rosa_ray.load.answers import Answer
from rosa_ray.load.bodies import Bodies
from rosa_ray.load.figures import figures_of
from rosa_ray.load.plan import Plan

KEPT_UP = 0.98
"""Share of a step's requests that must be answered 200 within the limit."""


@dataclass(frozen=True)
class Step:
    """One rate that was tried.

    Attributes:
        per_s: rankings a second.
        kept: share answered 200 within the limit.
        p99_ms: None where nothing was answered.
    """

    per_s: float
    kept: float
    p99_ms: float | None


@dataclass(frozen=True)
class Saturation:
    """What was found.

    Attributes:
        per_s: the highest rate tried that the service kept up with, rankings a second.
        steps: all that were tried, in order.
    """

    per_s: float
    steps: tuple[Step, ...]


def find_saturation(
    send: Callable[[Plan, Bodies], list[Answer]],
    bodies: Bodies,
    limit_ms: float = 500.0,
    first_per_s: float = 10.0,
    growth: float = 1.5,
    step_s: float = 5.0,
    most_per_s: float = 2000.0,
) -> Saturation:
    """Raise the rate until the service keeps up no longer.

    Args:
        send: sends one plan with a client of its own, such as `OpenLoop(url).run`.
        limit_ms: a later answer counts as none.
        growth: from step to step.

    Raises:
        ServingError: it does not keep up with the first rate.
    """
    steps: list[Step] = []
    per_s = first_per_s
    while per_s <= most_per_s:
        answers = send(Plan(per_s, step_s, arrivals="even"), replace(bodies, seed=bodies.seed + len(steps)))
        kept = sum(answer.ok and answer.latency_ms <= limit_ms for answer in answers) / max(len(answers), 1)
        figures = figures_of(answers).kinds["rank"]
        steps.append(Step(per_s, round(kept, 4), figures.percentiles_ms.get("99")))
        if kept < KEPT_UP:
            break
        per_s *= growth
    good = [step.per_s for step in steps if step.kept >= KEPT_UP]
    if not good:
        raise ServingError(
            f"{steps[0].kept:.0%} of {first_per_s:g} rankings a second were answered within {limit_ms:g} ms; "
            "the service is busy or too small"
        )
    return Saturation(max(good), tuple(steps))
