"""How much of the offline score is used: named rules for λ in `score = λ·offline + (1 − λ)·online` (paper §3.5).

λ is decided before anything is scored. Where it is 1 the encoder is not called, which is where latency is saved.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rosa_ray.serving.config import RuleName


@dataclass(frozen=True)
class Freshness:
    """How well the stored states describe a user at the time of the request.

    Attributes:
        history_events: events of the user before the request, as many as the encoder can use.
        has_states: there are states that the serving model encoded.
        events_since: events after the last encoded one; all of them without states.
        stale: a late event landed among the encoded ones.
        staleness_s: request time minus the time of the last encoded event, None without states.
    """

    history_events: int
    has_states: bool
    events_since: int
    stale: bool
    staleness_s: float | None


@dataclass(frozen=True)
class Decision:
    """λ in [0, 1] and why."""

    offline_weight: float
    reason: str


def always_offline(freshness: Freshness) -> Decision:
    """λ = 1: stored states only, the encoder is never called."""
    return Decision(1.0, "the rule is offline")


def always_online(freshness: Freshness) -> Decision:
    """λ = 0: encode at every request."""
    return Decision(0.0, "the rule is online")


def encode_when_new(freshness: Freshness) -> Decision:
    """λ = 0 when the stored states miss something, 1 otherwise.

    >>> encode_when_new(Freshness(5, True, 2, False, 60.0)).offline_weight
    0.0
    """
    if not freshness.has_states:
        return Decision(0.0, "no states are stored for this model")
    if freshness.stale:
        return Decision(0.0, "a late event changed the encoded history")
    if freshness.events_since:
        return Decision(0.0, f"{freshness.events_since} events since the stored states")
    return Decision(1.0, "nothing is new since the stored states")


RULES: dict[RuleName, Callable[[Freshness], Decision]] = {
    "offline": always_offline,
    "online": always_online,
    "fresh": encode_when_new,
}


def decide(rule: RuleName, freshness: Freshness) -> Decision:
    """Apply a rule. Without history there is nothing to encode, whatever the rule.

    >>> decide("online", Freshness(0, False, 0, False, None)).reason
    'the user has no history'
    """
    if freshness.history_events == 0:
        return Decision(1.0, "the user has no history")
    return RULES[rule](freshness)
