"""What one request costs a model: encode one user, score N candidates, in process, without network or lookup."""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from rosa_ray.evaluation.scoring import Scorer
from rosa_ray.features import EncodedUsers, Split


def measure_scoring(scorer: Scorer, users: EncodedUsers, requests: int, candidates: int) -> dict[str, Any] | None:
    """Time requests of `candidates` ads each, after as many warm-up requests as a tenth of them.

    The same users and ads are timed for every model: the users with the most candidates to choose from, in order.

    Returns:
        p50_ms, p99_ms, requests_per_s of one process, candidates; None where nothing was asked for or there is no user
        with that many impressions.
    """
    asked = requests_of(users, candidates, scorer.context_events) if requests else []
    if not asked:
        return None
    for user in asked[: max(1, requests // 10)]:
        scorer.predict(user)
    took_s = np.zeros(requests)
    for number in range(requests):
        began = time.perf_counter()
        scorer.predict(asked[number % len(asked)])
        took_s[number] = time.perf_counter() - began
    return {
        "p50_ms": round(float(np.quantile(took_s, 0.5)) * 1e3, 3),
        "p99_ms": round(float(np.quantile(took_s, 0.99)) * 1e3, 3),
        "requests_per_s": round(requests / float(took_s.sum()), 1),
        "candidates": candidates,
    }


def requests_of(users: EncodedUsers, candidates: int, context: int, most: int = 20) -> list[EncodedUsers]:
    """Requests of the busiest users: the last `candidates` impressions of each, all seen at the time of the last."""
    pool = users.select(Split.POLICY, Split.TEST)
    counts = np.diff(pool.impression_offsets)
    busiest = np.argsort(-counts, kind="stable")[:most]
    asked = []
    for user in busiest[counts[busiest] >= candidates]:
        one = pool.take(np.array([user]))
        kept = np.zeros(len(one.dense), bool)
        kept[-candidates:] = True
        one = one.keep_impressions(kept)
        together = {
            name: np.full(candidates, one.impressions[name][-1], one.impressions[name].dtype)
            for name in ("time_us", "visible", "hour", "weekday")
        }
        asked.append(replace(one, impressions={**one.impressions, **together}).trim(context))
    return asked
