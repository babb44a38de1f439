"""Read your writes: how long after an event is posted a ranking reflects it, as a client of the service sees it."""

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rosa_ray.errors import ServingError
from rosa_ray.serving.client import RankingClient

GIVE_UP_S = 10.0


@dataclass(frozen=True)
class FreshnessReport:
    """What N posts took until they had an effect.

    Attributes:
        p50_ms, p99_ms: from sending the event until the answer of the first ranking that reflects it.
        post_p50_ms, post_p99_ms: of the post alone.
        at_once: share of events that the first ranking after the answer reflected.
    """

    events: int
    p50_ms: float
    p99_ms: float
    post_p50_ms: float
    post_p99_ms: float
    at_once: float


def measure_freshness(url: str, events: int, candidates: list[str]) -> FreshnessReport:
    """Post events one by one, each of a user who was never seen, and rank until the history holds the event.

    Users `freshness-...` stay in the store.

    Args:
        candidates: ad ids to rank.

    Raises:
        ServingError: the service refused, did not answer, or an event had no effect within `GIVE_UP_S`.
    """
    effect_ms, post_ms, rankings = np.zeros(events), np.zeros(events), np.zeros(events)
    with RankingClient(url) as client:
        for number in range(events):
            effect_ms[number], post_ms[number], rankings[number] = _measure_one(client, candidates)
    p50_ms, p99_ms = _quantiles(effect_ms)
    post_p50_ms, post_p99_ms = _quantiles(post_ms)
    return FreshnessReport(events, p50_ms, p99_ms, post_p50_ms, post_p99_ms, float((rankings == 1).mean()))


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    p50, p99 = np.percentile(values, [50, 99])
    return round(float(p50), 3), round(float(p99), 3)


def _measure_one(client: RankingClient, candidates: list[str]) -> tuple[float, float, int]:
    user_id = f"freshness-{uuid.uuid4().hex}"
    if _history(client, user_id, candidates):
        raise ServingError(f"{client.url}: a user who was never seen has a history")
    began_s = time.perf_counter()
    answer = client.post_events([_event(user_id)])
    posted_s = time.perf_counter()
    if answer["accepted"] != 1:
        raise ServingError(f"{client.url}: did not take an event: {answer}")
    for turn in range(1, 1_000_000):
        found = _history(client, user_id, candidates)
        now_s = time.perf_counter()
        if found:
            return (now_s - began_s) * 1000, (posted_s - began_s) * 1000, turn
        if now_s - began_s > GIVE_UP_S:
            break
    raise ServingError(f"{client.url}: an event had no effect on rankings within {GIVE_UP_S:g} s")


def _history(client: RankingClient, user_id: str, candidates: list[str]) -> int:
    answer: dict[str, Any] = client.rank(user_id, candidates, explain=True, top_k=1)
    return int(answer["explanation"]["history_events"])


def _event(user_id: str) -> dict[str, Any]:
    return {
        "event_id": uuid.uuid4().hex,
        "user_id": user_id,
        "item_id": "freshness",
        "behavior": "view",
        "event_time": datetime.now(UTC).isoformat(),
    }
