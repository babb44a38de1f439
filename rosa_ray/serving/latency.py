"""Latency of a running service, as its clients see it."""

import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from rosa_ray.errors import ServingError

WARM_UP = 10
"""Requests per client that are sent before the measured ones and not counted."""


@dataclass(frozen=True)
class LatencyReport:
    """What N requests of c clients took.

    Attributes:
        failed: answers other than 200, and requests without any.
        p50_ms, p99_ms: of the answered requests, connection kept open.
        requests_per_s: of all clients together.
        candidates: ads per request.
        degraded: answers that lacked a part.
    """

    requests: int
    failed: int
    concurrency: int
    p50_ms: float
    p99_ms: float
    requests_per_s: float
    candidates: int
    degraded: int


def measure_latency(
    url: str, bodies: Sequence[Mapping[str, Any]], requests: int, concurrency: int = 1, timeout_s: float = 10.0
) -> LatencyReport:
    """Send ranking requests one after another from each of `concurrency` clients.

    Args:
        url: of the service.
        bodies: bodies of `POST /rank`, taken in turn; all with the same number of candidates.
        requests: in all.

    Raises:
        ServingError: no request was answered.
    """
    shares = np.array_split(np.arange(requests), concurrency)
    started_s = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        runs = pool.map(lambda share: _run(url, bodies, share, timeout_s), shares)
        samples = list(itertools.chain.from_iterable(runs))
    elapsed_s = time.perf_counter() - started_s
    answered_ms = [elapsed_ms for elapsed_ms, _ in samples if elapsed_ms is not None]
    if not answered_ms:
        raise ServingError(f"{url}: none of {requests} requests was answered")
    return LatencyReport(
        requests=requests,
        failed=len(samples) - len(answered_ms),
        concurrency=concurrency,
        p50_ms=round(float(np.percentile(answered_ms, 50)), 3),
        p99_ms=round(float(np.percentile(answered_ms, 99)), 3),
        requests_per_s=round(len(samples) / elapsed_s, 1),
        candidates=len(bodies[0].get("candidates") or []),
        degraded=sum(lacked for _, lacked in samples),
    )


def _run(
    url: str, bodies: Sequence[Mapping[str, Any]], share: np.ndarray, timeout_s: float
) -> list[tuple[float | None, bool]]:
    with httpx.Client(base_url=url, timeout=timeout_s, trust_env=False) as client:
        for turn in range(WARM_UP):
            _send(client, bodies[turn % len(bodies)])
        return [_send(client, bodies[turn % len(bodies)]) for turn in share]


def _send(client: httpx.Client, body: Mapping[str, Any]) -> tuple[float | None, bool]:
    started_s = time.perf_counter()
    try:
        answer = client.post("/rank", json=body)
    except httpx.HTTPError:
        return None, False
    elapsed_ms = (time.perf_counter() - started_s) * 1000
    return (elapsed_ms, bool(answer.json()["degraded"])) if answer.status_code == 200 else (None, False)
