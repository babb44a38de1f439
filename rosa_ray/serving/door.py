"""The way in: what the proxy lets clients do, and whether it leads to the service that was just deployed."""

import time
import uuid
from dataclasses import replace

import httpx

from rosa_ray.cluster.proxy_guard import Limits
from rosa_ray.errors import ServingError
from rosa_ray.serving.assembly import ServiceSettings
from rosa_ray.serving.config import ServingConfig

ASKED = 10
"""Requests that must all reach the own service: of two behind one door, each answers some."""
POLL_S = 0.5


def proxy_limits(config: ServingConfig) -> Limits:
    """What the proxy lets clients of this service do; a replica that is silent twice its time is answered for."""
    return Limits(
        client_timeout_ms=config.client_timeout_ms,
        max_body_bytes=config.max_body_bytes,
        server_timeout_ms=2 * config.request_timeout_ms,
        retry_after_s=config.retry_after_s,
        replica_requests=config.max_ongoing_requests,
        queued_requests=config.max_queued_requests,
    )


def with_instance(settings: ServiceSettings) -> ServiceSettings:
    """The settings of a deployment with a name of its own."""
    return replace(settings, instance=uuid.uuid4().hex)


def require_own_door(url: str, instance: str, timeout_s: float = 60.0) -> None:
    """Ask at an address until the deployment answers there, and nobody else.

    A version that was served before may answer for a while, until it has stopped.

    Raises:
        ServingError: another service answers at the address.
    """
    deadline_s = time.monotonic() + timeout_s
    while _strangers(url, instance):
        if time.monotonic() > deadline_s:
            raise ServingError(
                f"{url} is answered by another service than the one just deployed; set serving.port, 0 takes a free one"
            )
        time.sleep(POLL_S)


def _strangers(url: str, instance: str) -> int:
    """How many of some answers came from another deployment; each request opens a connection."""
    return sum(_instance(url) not in (instance, None) for _ in range(ASKED))


def _instance(url: str) -> str | None:
    """Who answers; None where the answer is no success, which is not a stranger's word."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False)
    except httpx.TransportError:
        return None
    return str(answer.json().get("instance", "")) if answer.is_success else None
