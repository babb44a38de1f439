"""How much of the offline score is used: named rules for λ in `score = λ·offline + (1 − λ)·online` (paper §3.5).

λ is decided before anything is scored. Where it is 1 the encoder is not called, which is where latency is saved.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rosa_ray.errors import BundleError
from rosa_ray.models.gate import Gate
from rosa_ray.serving.config import RuleName
from rosa_ray.serving.freshness import Freshness

Cause = Literal["rule", "no_history", "no_states", "late_event", "new_events", "nothing_new", "gate", "encoder_failed"]
"""Why λ is what it is, in one word, for metrics."""


@dataclass(frozen=True)
class Decision:
    """λ in [0, 1] and why.

    Attributes:
        gate: λ that the learned gate gave under the load, held against `threshold`; None where it was not asked.
    """

    offline_weight: float
    reason: str
    cause: Cause
    gate: float | None = None
    threshold: float | None = None


Rule = Callable[[Freshness, float, Gate | None], Decision]


def always_offline(freshness: Freshness, load: float, gate: Gate | None) -> Decision:
    """λ = 1: stored states only, the encoder is never called."""
    return Decision(1.0, "the rule is offline", "rule")


def always_online(freshness: Freshness, load: float, gate: Gate | None) -> Decision:
    """λ = 0: encode at every request."""
    return Decision(0.0, "the rule is online", "rule")


def encode_when_new(freshness: Freshness, load: float, gate: Gate | None) -> Decision:
    """λ = 0 when the stored states miss something, 1 otherwise.

    >>> encode_when_new(Freshness(5, True, 2, False, 60.0), 0.0, None).offline_weight
    0.0
    """
    if not freshness.has_states:
        return Decision(0.0, "no states are stored for this model", "no_states")
    if freshness.stale:
        return Decision(0.0, "a late event changed the encoded history", "late_event")
    if freshness.events_since:
        return Decision(0.0, f"{freshness.events_since} events since the stored states", "new_events")
    return Decision(1.0, "nothing is new since the stored states", "nothing_new")


def learned(freshness: Freshness, load: float, gate: Gate | None) -> Decision:
    """λ of the bundle's gate where states and events since would give different scores; else as `encode_when_new`.

    Raises:
        BundleError: there is no gate.
    """
    plain = encode_when_new(freshness, load, gate)
    if plain.cause in ("no_states", "nothing_new"):
        return plain
    gate = _required(gate)
    answer = gate.decide(freshness.gate_inputs, load)
    side = "reaches" if answer.gate >= gate.threshold else "is below"
    reason = f"{plain.reason}; λ {answer.gate:.2f} at load {load:.2f} {side} the threshold {gate.threshold:.2f}"
    return Decision(answer.offline_weight, reason, "gate", answer.gate, gate.threshold)


RULES: dict[RuleName, Rule] = {
    "offline": always_offline,
    "online": always_online,
    "fresh": encode_when_new,
    "learned": learned,
}


def decide(rule: RuleName, freshness: Freshness, load: float = 0.0, gate: Gate | None = None) -> Decision:
    """Apply a rule. Without history there is nothing to encode, whatever the rule.

    Args:
        load: in [0, 1], see `rosa_ray.serving.load`.
        gate: of the bundle; `learned` needs it.

    >>> decide("online", Freshness(0, False, 0, False, None)).reason
    'the user has no history'
    """
    if freshness.history_events == 0:
        return Decision(1.0, "the user has no history", "no_history")
    return RULES[rule](freshness, load, gate)


def check_rule(rule: RuleName, has_gate: bool, bundle: str) -> None:
    """Refuse a rule that a bundle cannot follow.

    Raises:
        BundleError: the rule is `learned` and the bundle has no gate.
    """
    if rule == "learned" and not has_gate:
        raise BundleError(
            f"bundle {bundle}: has no gate, which serving.rule=learned needs; train again with gate.enabled=true on a "
            "log whose validation period has clicks, or serve with the rule fresh"
        )


def _required(gate: Gate | None) -> Gate:
    if gate is None:
        raise BundleError("the rule learned needs the gate of a bundle, and got none")
    return gate
