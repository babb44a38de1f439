"""Policies by name, with the estimates that they see."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Literal

from rosa_ray.arena.budgeted import Hindsight, Pacing, Threshold
from rosa_ray.arena.campaigns import budget_step
from rosa_ray.arena.estimates import KINDS, MODEL
from rosa_ray.arena.policies import Chain, Choose, Known, Logging, Nothing, Policy, Random, Ranked, as_policy
from rosa_ray.errors import ConfigError
from rosa_ray.metrics.scores import Ranking
from rosa_ray.policy.slate import Step
from rosa_ray.policy.steps import build_steps, check_scores, config_class, draws_first, step_names
from rosa_ray.settings import Tagged
from rosa_ray.settings.compose import read

SCORES: tuple[Literal["roi", "profit", "ecpm"], ...] = ("roi", "profit", "ecpm")
BUDGET = "budget"

BUILT_IN: dict[str, Callable[[], Policy]] = {
    "logging": Logging,
    "random": Random,
    "none": Nothing,
    "threshold": Threshold,
    "pacing": Pacing,
    "hindsight": Hindsight,
}
"""Policies by name. Scores, with steps after them, come on top: see `parse_player`."""


@dataclass(frozen=True)
class Player:
    """A policy in the arena.

    Attributes:
        name: as it stands in tables.
        build: makes it anew.
        estimates: what it sees of clicks and conversions, one of `KINDS`; or the name of one of the arena's models.

    Raises:
        ConfigError: it needs to know what is to come, and sees by a model.
    """

    name: str
    build: Callable[[], Policy]
    estimates: str = "noisy"

    def __post_init__(self) -> None:
        if self.estimates not in KINDS and isinstance(self.build(), Hindsight):
            raise ConfigError(f"policy '{self.name}': hindsight knows all requests beforehand, and no model does")

    @classmethod
    def of(cls, name: str, policy: Policy | Choose, estimates: str = "noisy") -> "Player":
        """A policy that is there, or a function `choose(slates)`. It can play once, where it has a state."""
        return cls(name, lambda: as_policy(policy), estimates)


def parse_player(text: str) -> Player:
    """Read a name such as `roi`, `dual:2`, `profit@true`, `profit+ucb:0.5+explore@nightly` or `roi@model`.

    Behind a score stand steps of `rosa_ray.policy.steps`, in their order. A number behind a step is its first setting;
    the others are the defaults. `budget` has the budgets of the arena. Behind the sign stands one of `KINDS`, `model`,
    or the directory of a run, which has a slash.

    Raises:
        ConfigError: there is no such policy, score or step, or a number does not fit.

    >>> parse_player("dual:2.5@true").estimates
    'true'
    >>> parse_player("profit+floor:0.1+explore").build().ranking.kind
    'profit'
    """
    name, at, estimates = text.partition("@")
    if at and estimates not in (*KINDS, MODEL) and "/" not in estimates:
        known = ", ".join(f"@{kind}" for kind in (*KINDS, MODEL))
        raise ConfigError(
            f"policy '{text}' asks for '{estimates}' estimates; give {known}, or the directory of a run: @./runs/a"
        )
    seen = estimates or "noisy"
    score, *steps = name.split("+")
    ranking = _ranking(text, score)
    if ranking is None and (steps or score not in BUILT_IN):
        known = f"{', '.join((*BUILT_IN, *SCORES))} and dual:THETA"
        raise ConfigError(f"policy '{text}' is unknown; known are {known}, with steps behind a score such as roi+floor")
    if ranking is None:
        return Player(text, BUILT_IN[score], seen)
    build = partial(Chain, _steps_of(text, ranking, steps), ranking) if steps else partial(Ranked, ranking)
    return Player(text, build, seen)


def _ranking(text: str, score: str) -> Ranking | None:
    """What a score ranks by; None where it is none."""
    kind, colon, theta = score.partition(":")
    if kind == "dual":
        return Ranking("dual", _theta(text, theta))
    found = next((name for name in SCORES if name == kind and not colon), None)
    return None if found is None else Ranking(found)


def _theta(text: str, theta: str) -> float:
    try:
        found = float(theta)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise ConfigError(f"policy '{text}' needs a theta from 0 up, such as dual:2")
    return found


def _steps_of(text: str, ranking: Ranking, names: Sequence[str]) -> Callable[[Known], Sequence[Step]]:
    """What makes the steps, once the budgets are known."""
    tagged = [_tagged(text, one) for one in names]
    for one in tagged[:-1]:
        if draws_first(one.name):
            raise ConfigError(f"policy '{text}': {one.name} must be its last step, and stand there once")
    check_scores([one.name for one in tagged], ranking.kind, f"policy '{text}'")

    def build(known: Known) -> Sequence[Step]:
        return [budget_step(known, ranking.theta) if one.name == BUDGET else build_steps([one])[0] for one in tagged]

    return build


def _tagged(text: str, step: str) -> Tagged:
    name, colon, value = step.partition(":")
    if name not in step_names():
        raise ConfigError(f"policy '{text}' has no step '{name}'; steps are {', '.join(step_names())}")
    if name == BUDGET:
        if colon:
            raise ConfigError(f"policy '{text}': budget takes no number; --budget-share says what campaigns may spend")
        return Tagged(name, None)
    config = config_class(name)
    given = {fields(config)[0].name: _number(text, step, value)} if colon else {}
    return Tagged(name, read(config, given, f"policy '{text}': {name}"))


def _number(text: str, step: str, value: str) -> float:
    """The number behind a step."""
    try:
        found = int(value) if value.isdigit() else float(value)
    except ValueError:
        found = float("nan")
    if not math.isfinite(found):
        raise ConfigError(f"policy '{text}' needs a number behind {step.partition(':')[0]}, not '{value}'")
    return found
