"""Policies by name, with the estimates that they see."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from rosa_ray.arena.budgeted import Hindsight, Pacing, Threshold
from rosa_ray.arena.policies import Choose, Logging, Nothing, Policy, Random, Ranked, as_policy
from rosa_ray.errors import ConfigError
from rosa_ray.metrics.scores import Ranking

Estimates = Literal["noisy", "true"]

BUILT_IN: dict[str, Callable[[], Policy]] = {
    "logging": Logging,
    "random": Random,
    "none": Nothing,
    "roi": lambda: Ranked(Ranking("roi")),
    "profit": lambda: Ranked(Ranking("profit")),
    "ecpm": lambda: Ranked(Ranking("ecpm")),
    "threshold": Threshold,
    "pacing": Pacing,
    "hindsight": Hindsight,
}
"""Policies by name; `dual:THETA` comes on top."""


@dataclass(frozen=True)
class Player:
    """A policy in the arena.

    Attributes:
        name: as it stands in tables.
        build: makes it anew.
        estimates: what it sees of clicks and conversions: `noisy` stands in for a model, `true` is the truth.
    """

    name: str
    build: Callable[[], Policy]
    estimates: Estimates = "noisy"

    @classmethod
    def of(cls, name: str, policy: Policy | Choose, estimates: Estimates = "noisy") -> "Player":
        """A policy that is there, or a function `choose(slates)`. It can play once, where it has a state."""
        return cls(name, lambda: as_policy(policy), estimates)


def parse_player(text: str) -> Player:
    """Read a name such as `roi`, `dual:2` or `profit@true`.

    Raises:
        ConfigError: there is no such policy, or theta is no number from 0 up.

    >>> parse_player("dual:2.5@true").estimates
    'true'
    """
    name, at, estimates = text.partition("@")
    if at and estimates not in get_args(Estimates):
        raise ConfigError(f"policy '{text}' asks for '{estimates}' estimates; give @true or @noisy")
    kind, colon, theta = name.partition(":")
    if kind == "dual":
        ranking = Ranking("dual", _theta(text, theta))
        return Player(text, lambda: Ranked(ranking), "true" if estimates == "true" else "noisy")
    if colon or kind not in BUILT_IN:
        raise ConfigError(f"policy '{text}' is unknown; known are {', '.join(BUILT_IN)} and dual:THETA")
    return Player(text, BUILT_IN[kind], "true" if estimates == "true" else "noisy")


def _theta(text: str, theta: str) -> float:
    try:
        found = float(theta)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise ConfigError(f"policy '{text}' needs a theta from 0 up, such as dual:2")
    return found
