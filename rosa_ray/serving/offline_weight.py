"""λ, how much of the offline score is used: `score = λ·offline + (1 − λ)·online` (paper §3.5).

λ is decided before anything is scored, by a named rule, from how well the stored states describe the user
(`Freshness`) and how busy the replica is (`LoadMeter`). Where λ is 1 the encoder is not called; that saves its time.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import BundleError
from rosa_ray.models.gate import HISTORY_INPUTS, Gate
from rosa_ray.schema import WEAKEST
from rosa_ray.serving.config import RuleName
from rosa_ray.serving.messages import OfflineStates
from rosa_ray.units import HOUR_US, SECOND_US

Cause = Literal[
    "rule",
    "no_history",
    "no_states",
    "late_event",
    "new_events",
    "nothing_new",
    "gate",
    "encoder_failed",
    "no_encoder",
]
"""Why λ is what it is, in one word, for metrics."""

HALF_LIFE_S = 5.0
"""After so long without a call, half of the encoder's remembered latency counts: a gate that skips it tries again."""

_NEWEST_SHARE = 0.2
"""Weight of the newest call in the mean latency of the encoder."""


@dataclass(frozen=True)
class Freshness:
    """A user's history and its stored states at one moment.

    Attributes:
        history_events: events of the user before the request, as many as the encoder can use.
        has_states: there are states that the serving model encoded.
        events_since: events after the last encoded one; all of them without states.
        stale: a late event landed among the encoded ones.
        staleness_s: request time minus the time of the last encoded event, None without states.
        actions_since: those of `events_since` that are stronger than the weakest behaviour, such as a view.
        idle_s: request time minus the time of the last event, None without history.
        events_last_hour: events within an hour before the request, as many as the encoder can use.
    """

    history_events: int
    has_states: bool
    events_since: int
    stale: bool
    staleness_s: float | None
    actions_since: int = 0
    idle_s: float | None = None
    events_last_hour: int = 0

    @property
    def gate_inputs(self) -> dict[str, float]:
        """`HISTORY_INPUTS` by name. A late event among the encoded ones counts as one event more that states lack."""
        values = {name: float(getattr(self, name) or 0.0) for name in HISTORY_INPUTS}
        values["events_since"] = min(self.events_since + self.stale, self.history_events)
        return values


def freshness_of(events: Columns, offline: OfflineStates | None, time_us: int) -> Freshness:
    """Describe a user at a request.

    Args:
        events: `EVENT_COLUMNS` of the events before the request, as many as the encoder can use.
        offline: stored states of the serving model, None if there are none.
    """
    event_us, count = events["time_us"], len(events["time_us"])
    stored = offline if offline is not None and len(offline.states) else None
    since = count if stored is None else min(stored.events_since, count)
    return Freshness(
        history_events=count,
        has_states=stored is not None,
        events_since=since,
        stale=stored is not None and stored.stale,
        staleness_s=None if stored is None else (time_us - int(stored.events["time_us"][-1])) / SECOND_US,
        actions_since=int((events["behavior"][count - since :] != WEAKEST).sum()),
        idle_s=(time_us - int(event_us[-1])) / SECOND_US if count else None,
        events_last_hour=count - int(np.searchsorted(event_us, time_us - HOUR_US, side="left")),
    )


class LoadMeter:
    """Counts the requests in progress and remembers how long the encoder took.

    The load is the larger of two shares: of the replica's places that other requests take, and of the encoder's
    deadline that its calls take, as an exponential mean.

    Args:
        max_ongoing: requests that one replica works on at a time; more wait before it.
        deadline_ms: time after which the encoder is given up.
        now_s: a clock that never goes back, seconds.

    >>> meter = LoadMeter(max_ongoing=5, deadline_ms=100.0)
    >>> with meter.request(), meter.request():
    ...     meter.load()
    0.25
    """

    def __init__(self, max_ongoing: int, deadline_ms: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._max_ongoing, self._deadline_ms, self._now_s = max_ongoing, deadline_ms, now_s
        self._ongoing = 0
        self._mean_ms, self._at_s = 0.0, now_s()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while it is worked on."""
        self._ongoing += 1
        try:
            yield
        finally:
            self._ongoing -= 1

    def encoded(self, took_ms: float) -> None:
        """Note how long a call of the encoder took; one that failed or was late counts as the deadline."""
        former_ms = self.encoder_ms()
        self._mean_ms, self._at_s = former_ms + _NEWEST_SHARE * (took_ms - former_ms), self._now_s()

    def encoder_ms(self) -> float:
        """Mean latency of recent calls of the encoder, falling to 0 while there are none."""
        return float(self._mean_ms * 0.5 ** ((self._now_s() - self._at_s) / HALF_LIFE_S))

    def load(self) -> float:
        """Load as one of the counted requests sees it, in [0, 1]: 0 when it is alone."""
        others = (self._ongoing - 1) / max(self._max_ongoing - 1, 1)
        return min(max(others, self.encoder_ms() / self._deadline_ms, 0.0), 1.0)


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


WeightRule = Callable[[Freshness, float, Gate | None], Decision]


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


RULES: dict[RuleName, WeightRule] = {
    "offline": always_offline,
    "online": always_online,
    "fresh": encode_when_new,
    "learned": learned,
}


def decide(rule: RuleName, freshness: Freshness, load: float = 0.0, gate: Gate | None = None) -> Decision:
    """Apply a rule. Without history there is nothing to encode, whatever the rule.

    Args:
        load: in [0, 1], see `LoadMeter`.
        gate: of the bundle; `learned` needs it.

    >>> decide("online", Freshness(0, False, 0, False, None)).reason
    'the user has no history'
    """
    if freshness.history_events == 0:
        return Decision(1.0, "the user has no history", "no_history")
    return RULES[rule](freshness, load, gate)


def read_whole(model: str) -> Decision:
    """λ = 0 of a ranker that keeps no states, whatever the history.

    >>> read_whole("din").offline_weight
    0.0
    """
    return Decision(0.0, f"model '{model}' keeps no states and reads the timeline at each request", "no_encoder")


def check_states(rule: RuleName, model: str, bundle: str) -> None:
    """Refuse a rule that a ranker without states cannot follow.

    Args:
        model: name of the ranker.

    Raises:
        BundleError: the rule is `offline` or `learned`.
    """
    if rule in ("offline", "learned"):
        raise BundleError(
            f"bundle {bundle}: model '{model}' keeps no states, which serving.rule={rule} needs; give the rule online"
        )


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


def explanation_of(
    rule: RuleName, freshness: Freshness, load: float, decision: Decision, elapsed_ms: Mapping[str, float]
) -> dict[str, Any]:
    """Fields of `rosa_ray.serving.api.Explanation`.

    Args:
        load: that λ was decided under.
        elapsed_ms: `lookup_ms`, `scoring_ms`, and `encoder_ms` where the encoder was called.
    """
    return {
        "rule": rule,
        "reason": decision.reason,
        "history_events": freshness.history_events,
        "events_since": freshness.events_since,
        "actions_since": freshness.actions_since,
        "events_last_hour": freshness.events_last_hour,
        "stale": freshness.stale,
        "staleness_s": freshness.staleness_s,
        "idle_s": freshness.idle_s,
        "load": round(load, 4),
        "gate": decision.gate,
        "threshold": decision.threshold,
        "lookup_ms": elapsed_ms["lookup_ms"],
        "encoder_ms": elapsed_ms.get("encoder_ms"),
        "scoring_ms": elapsed_ms["scoring_ms"],
    }
