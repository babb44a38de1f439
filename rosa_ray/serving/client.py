"""A client of the ranking service."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx

from rosa_ray.errors import ServingError


class RankingClient:
    """Ranks ads and posts events over HTTP; keeps its connection.

    Args:
        url: of the service, such as `http://127.0.0.1:8000`.
        timeout_s: per request.
    """

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)

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
                return self._get("/readyz")
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
        """Post events; see `EventsResponse`.

        Raises:
            ServingError: the service refused or did not answer.
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
        return "; ".join([str(body["detail"]), *faults])
    return " ".join(answer.text.split())[:200]
