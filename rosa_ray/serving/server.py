"""Starts the service on the Ray cluster of this process, and stops what it started."""

import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError
from ray.serve import Application
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
from ray.serve.config import HTTPOptions
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview

from rosa_ray.cluster.own_proxy import tell_limits
from rosa_ray.errors import ServingError
from rosa_ray.serving.app import build_application, rehearse
from rosa_ray.serving.assembly import ServiceSettings, require_store
from rosa_ray.serving.client import RankingClient
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.deployed import remember
from rosa_ray.serving.door import proxy_limits, require_own_door, with_instance

APPLICATION = "rosa"
POLL_S = 0.2
SHUTDOWN_TIMEOUT_S = 30.0
_OURS = re.compile(r"^rosa_ray\.\S*Error: (.+)$", re.MULTILINE)
KEEP_ALIVE_S = 65
"""An idle connection is kept longer than a load balancer in front keeps it, so that none is closed while it is used."""


@dataclass(frozen=True)
class RunningService:
    """A service that answers.

    Attributes:
        url: where.
        model_version: of the model it serves.
        seconds: from the start until it was ready.
        notes: settings that did nothing, in words.
    """

    url: str
    model_version: str
    seconds: float
    notes: tuple[str, ...] = ()


@contextmanager
def running(
    settings: ServiceSettings, ready_timeout_s: float = 300.0, name: str = APPLICATION
) -> Iterator[RunningService]:
    """Serve while the block runs. Ray must be initialised.

    Serve itself is shut down at the end only if it was not running before. Where an application of that name was
    deployed already, this one replaces it and stays.

    Raises:
        BundleError: the bundle is missing or damaged.
        StoreError: the store was never filled.
        ServingError: the port is taken, the deployment failed, it was not ready in time, or another service answers
            at its address.
    """
    started_s = time.monotonic()
    settings = with_instance(settings).absolute().pinned()
    had_serve = has_serve()
    had_application = had_serve and name in serve.status().applications
    if had_application:
        rehearse(settings)
    else:
        require_store(settings)
    application = build_application(settings)
    notes = idle_settings(settings.serving) if had_serve else ()
    url = running_url() if had_serve else _start_serve(settings)
    try:
        deploy(application, name)
        wait_until_running(name, started_s + ready_timeout_s)
        with RankingClient(url) as client:
            condition = client.wait_until_ready(max(started_s + ready_timeout_s - time.monotonic(), 1.0))
        require_own_door(url, settings.instance)
        remember(name, settings)
        yield RunningService(url, condition["model_version"], time.monotonic() - started_s, notes)
    finally:
        _stop(name, had_serve, had_application)


def has_serve() -> bool:
    """Whether Ray Serve runs on the cluster of this process."""
    return _get_global_client(raise_if_no_controller_running=False) is not None


def deploy(application: Application, name: str = APPLICATION) -> None:
    """Hand an application to Ray Serve, which must run; returns before it is up."""
    serve.run_many([serve.RunTarget(application, name=name, route_prefix="/")], wait_for_applications_running=False)


def http_options(serving: ServingConfig, port: int) -> dict[str, Any]:
    """What Ray Serve is told of its HTTP proxies when it starts."""
    return {
        "host": serving.host,
        "port": port,
        "request_timeout_s": serving.request_timeout_ms / 1000,
        "keep_alive_timeout_s": KEEP_ALIVE_S,
    }


def idle_settings(serving: ServingConfig) -> tuple[str, ...]:
    """Settings that do nothing, in words: Ray Serve took its own when it started.

    Raises:
        ServingError: Ray Serve does not run.
    """
    options = _running_options()
    wanted = http_options(serving, serving.port or options.port)
    there = {name: getattr(options, name) for name in wanted}
    named = {
        "host": ("serving.host", wanted["host"], there["host"]),
        "port": ("serving.port", wanted["port"], there["port"]),
        "request_timeout_s": (
            "serving.request_timeout_ms",
            serving.request_timeout_ms,
            round(1000 * (there["request_timeout_s"] or 0)),
        ),
    }
    return tuple(
        f"{key} {mine} does nothing: Ray Serve runs already, with {theirs}"
        for key, mine, theirs in named.values()
        if mine != theirs
    )


def running_url() -> str:
    """Where the Ray Serve that runs answers; it fixes address and port when it starts.

    Raises:
        ServingError: Ray Serve does not run.
    """
    options = _running_options()
    return f"http://{_reachable(options.host)}:{options.port}"


def _running_options() -> HTTPOptions:
    client = _get_global_client(raise_if_no_controller_running=False)
    if client is None:
        raise ServingError("Ray Serve does not run on this cluster; start the service with `rosa serve`")
    options: HTTPOptions = client.http_config
    return options


def _start_serve(settings: ServiceSettings) -> str:
    serving = settings.serving
    port = _free_port(serving.host, serving.port)
    options = http_options(serving, port)
    tell_limits(proxy_limits(serving), os.environ)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        serve.start(http_options=options)
    except RayActorError:
        # The controller replaces a proxy that was slow to start, as on a busy machine; this call waited for the first.
        serve.start(http_options=options)
    except TimeoutError as error:
        raise ServingError(f"Ray Serve's proxy on port {port} did not start: {error}") from error
    return f"http://{_reachable(serving.host)}:{port}"


def _reachable(host: str | None) -> str:
    return "127.0.0.1" if host in (None, "0.0.0.0", "::") else str(host)


def _free_port(host: str, port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServingError(
                f"serving.port {port} on {host} cannot be used: {error.strerror}; set serving.port, 0 takes a free one"
            ) from error
        return int(probe.getsockname()[1])


def wait_until_running(name: str, deadline_s: float) -> None:
    """Wait until all replicas of an application are those that were deployed last.

    Args:
        deadline_s: of `time.monotonic`.

    Raises:
        ServingError: they could not be started, or not in time.
    """
    while True:
        state = serve.status().applications.get(name)
        if state is not None and state.status == ApplicationStatus.RUNNING:
            return
        if state is not None and state.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            raise ServingError(f"application '{name}' did not deploy: {_condition(state)}")
        if time.monotonic() > deadline_s:
            raise ServingError(f"application '{name}' did not start in time: {_condition(state)}")
        time.sleep(POLL_S)


def _condition(state: ApplicationStatusOverview | None) -> str:
    """What Serve says of an application; of an error of ours its own words alone, not the way to it."""
    if state is None:
        return "Serve does not know it"
    parts = [f"{part} is {status.status.value}: {status.message}" for part, status in state.deployments.items()]
    told = "; ".join([state.message, *parts])
    if ours := _OURS.findall(told):
        return str(ours[-1]).strip()
    return " ".join(told.split()).strip("; ")


def _stop(name: str, had_serve: bool, had_application: bool) -> None:
    if not had_serve:
        _shut_down()
    elif not had_application:
        serve.delete(name)


def _shut_down() -> None:
    """Shut Serve down, and wait for its controller to be gone.

    `serve.shutdown` waits in a call to the controller. The controller ends by being killed, and Ray prints that call as
    an error. Here the controller is asked to end, and its name is looked up until it is free.
    """
    client = _get_global_client()
    client.shutdown_cached_handles()  # type: ignore[union-attr]
    ray.get(client._controller.graceful_shutdown.remote(wait=False))  # type: ignore[union-attr]
    deadline_s = time.monotonic() + SHUTDOWN_TIMEOUT_S
    while _has_controller() and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    serve.shutdown()


def _has_controller() -> bool:
    try:
        ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    except ValueError:
        return False
    return True
