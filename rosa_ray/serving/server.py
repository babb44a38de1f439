"""Starts the service on the Ray cluster of this process, and stops what it started."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray import serve
from ray.exceptions import RayActorError
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview

from rosa_ray.cluster.own_proxy import tell_limits
from rosa_ray.errors import ServingError
from rosa_ray.serving.app import build_application
from rosa_ray.serving.assembly import ServiceSettings
from rosa_ray.serving.client import RankingClient
from rosa_ray.serving.door import proxy_limits, require_own_door, with_instance

APPLICATION = "rosa"
POLL_S = 0.2
SHUTDOWN_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class RunningService:
    """A service that answers.

    Attributes:
        url: where.
        model_version: of the model it serves.
        seconds: from the start until it was ready.
    """

    url: str
    model_version: str
    seconds: float


@contextmanager
def running(
    settings: ServiceSettings, ready_timeout_s: float = 300.0, name: str = APPLICATION
) -> Iterator[RunningService]:
    """Serve while the block runs. Ray must be initialised.

    Serve itself is shut down at the end only if it was not running before. Where an application of that name was
    deployed already, this one replaces it and stays.

    Raises:
        BundleError: the bundle is missing or damaged.
        ServingError: the port is taken, the deployment failed, it was not ready in time, or another service answers
            at its address.
    """
    started_s = time.monotonic()
    settings = with_instance(settings)
    application = build_application(settings)
    had_serve = _get_global_client(raise_if_no_controller_running=False) is not None
    had_application = had_serve and name in serve.status().applications
    url = _existing_url(settings) if had_serve else _start_serve(settings)
    try:
        serve.run_many([serve.RunTarget(application, name=name, route_prefix="/")], wait_for_applications_running=False)
        _wait_until_running(name, started_s + ready_timeout_s)
        with RankingClient(url) as client:
            condition = client.wait_until_ready(max(started_s + ready_timeout_s - time.monotonic(), 1.0))
        require_own_door(url, settings.instance)
        yield RunningService(url, condition["model_version"], time.monotonic() - started_s)
    finally:
        _stop(name, had_serve, had_application)


def _start_serve(settings: ServiceSettings) -> str:
    serving = settings.serving
    port = _free_port(serving.host, serving.port)
    options = {"host": serving.host, "port": port, "request_timeout_s": serving.request_timeout_ms / 1000}
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


def _existing_url(settings: ServiceSettings) -> str:
    """Serve fixes address and port when it starts; ours may differ."""
    options = _get_global_client().http_config  # type: ignore[union-attr]
    return f"http://{_reachable(options.host)}:{options.port}"


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


def _wait_until_running(name: str, deadline_s: float) -> None:
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
    if state is None:
        return "Serve does not know it"
    parts = [f"{part} is {status.status.value}: {status.message}" for part, status in state.deployments.items()]
    return " ".join("; ".join([state.message, *parts]).split()).strip("; ")


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
