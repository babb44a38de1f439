"""The `explanation` of an answer: how λ was chosen, and what it was chosen from."""

from collections.abc import Mapping
from typing import Any

from rosa_ray.serving.config import RuleName
from rosa_ray.serving.freshness import Freshness
from rosa_ray.serving.rules import Decision


def explain(
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
