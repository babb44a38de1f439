"""Clients of a running service: one that ranks and posts events, and several that measure its latency."""

import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import httpx
import numpy as np

from rosa_ray.errors import ServingError

WARM_UP_REQUESTS = 10
"""Requests per client that are sent before the measured ones and not counted."""


class RankingClient:
    """Ranks ads and posts events over HTTP; keeps its connection.

    Args:
        url: of the service, such as `http://127.0.0.1:8000`.
        timeout_s: per request.
        headers: of every request, such as a writer's token.
    """

    def __init__(self, url: str, timeout_s: float = 10.0, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False, headers=dict(headers or {}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def wait_until_ready(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the model, the store and the encoder.

        Returns:
            The answer of `GET /readyz`.

        Raises:
            ServingError: it did not get ready in time; names what was missing.
        """
        deadline_s, reason = time.monotonic() + timeout_s, "no answer"
        while time.monotonic() < deadline_s:
            try:
                ready: dict[str, Any] = self._get("/readyz")
                return ready
            except ServingError as error:
                reason = str(error)
            time.sleep(0.2)
        raise ServingError(f"{self.url} was not ready after {timeout_s:g} s: {reason}")

    def rank(self, user_id: str, candidates: Sequence[str | Mapping[str, Any]] | None = None, **fields: Any) -> Any:
        """Rank ads for a user; `fields` are the others of `RankRequest`.

        Raises:
            ServingError: the service refused or did not answer.
        """
        body = {"user_id": user_id, **({} if candidates is None else {"candidates": list(candidates)}), **fields}
        return self._read(lambda: self._http.post("/rank", json=body))

    def post_events(self, events: Sequence[Mapping[str, Any]]) -> Any:
        """Post events; see `EventsResponse`, also for what was not stored.

        Raises:
            ServingError: the service could read none, or did not answer.
        """
        return self._read(lambda: self._http.post("/events", json={"events": list(events)}))

    def model(self) -> Any:
        """What the service serves.

        Raises:
            ServingError: there is no model, or no answer.
        """
        return self._get("/model")

    def _get(self, path: str) -> Any:
        return self._read(lambda: self._http.get(path))

    def _read(self, send: Any) -> Any:
        try:
            answer = send()
        except httpx.HTTPError as error:
            raise ServingError(f"{self.url} did not answer: {type(error).__name__}: {error}") from error
        if answer.is_success:
            return answer.json()
        raise ServingError(f"{self.url} answered {answer.status_code}: {_detail(answer)}")


def _detail(answer: httpx.Response) -> str:
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        body = answer.json()
        faults = [f"{fault['pointer'] or 'body'} {fault['reason']}" for fault in body.get("errors", [])]
        faults += [f"events/{one['index']} {one['reason']}" for one in body.get("rejected", [])[:3]]
        return "; ".join([str(body["detail"]), *faults])
    return " ".join(answer.text.split())[:200]


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
        for turn in range(WARM_UP_REQUESTS):
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
