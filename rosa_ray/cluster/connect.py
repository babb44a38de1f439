"""Connect a job to Ray: the cluster it was submitted to, a named one, or a local one for its own time."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rosa_ray.cluster.config import RayConfig
from rosa_ray.cluster.own_proxy import own_proxy
from rosa_ray.cluster.token import require_token, send_token
from rosa_ray.errors import InputError

MIB = 1 << 20
ANSWER_TIMEOUT_S = 5.0
ENVIRONMENT = {
    # One hop through HAProxy instead of Ray's Python proxy: 1.2 ms instead of 18 for an empty request.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Ray gives up on a node that is not up after 30 s, which a busy machine may need.
    "RAY_raylet_start_wait_time_s": "120",
    # A proxy that takes longer to start is replaced; Ray's 5 s are short for a machine that is busy.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
    # Three checks that fail in a row replace a proxy; Ray's period of 10 s makes half a minute of that.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    # What a replica held when it died goes to another one: rankings change nothing, records of known ids neither.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    "RAY_SERVE_HAPROXY_RETRIES": "5",
    # One failed connection takes a replica out until it answers a check, half a second later; others answer meanwhile.
    "RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT": "1",
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
    # A replica that stops waits this long for load balancers to forget it; the default of 30 s delays every stop.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    # Keep visible what the job did not ask Ray to hide, as later versions of Ray do.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Defaults for the processes of a local cluster; a variable that is set already stays as it is."""


def prepare_environment(own_cluster: bool = True) -> None:
    """Set the defaults of `ENVIRONMENT`; call before the first import of Ray.

    Args:
        own_cluster: this process starts the cluster, whose HTTP proxy then gets ports and files of its own.

    Raises:
        ServingError: no ports are free.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if own_cluster:
        own_proxy(os.environ)


@contextmanager
def connected(config: RayConfig) -> Iterator[None]:
    """Be connected to Ray inside the block; a local cluster started here ends with it.

    Raises:
        InputError: no cluster answers at the address.
    """
    address = config.address or os.environ.get("RAY_ADDRESS") or "local"
    prepare_environment(own_cluster=address == "local")
    if address == "local":
        require_token()
    else:
        send_token()
    import ray  # after the environment, which Ray reads when it is imported

    if ray.is_initialized():
        yield
        return
    _require_answer(address)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.WARNING,
            **(_local(config) if address == "local" else {}),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"ray.address '{address}': no Ray cluster to work on: {reason}") from error
    _quiet_data()
    try:
        yield
    finally:
        ray.shutdown()


def _quiet_data() -> None:
    """Leave its warnings and a terminal's bars on the console, but for the one that bars are off.

    Its errors are raised as well, and plans and progress are in its log files.
    """
    import ray.data

    for handler in logging.getLogger(ray.data.__name__).handlers:
        if handler.name == "console":
            handler.addFilter(
                lambda record: record.levelno == logging.WARNING and "Progress bars disabled" not in record.getMessage()
            )


def _require_answer(address: str) -> None:
    """Fail at once where nothing listens: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_TIMEOUT_S).close()
    except OSError as error:
        raise InputError(f"ray.address '{address}': no Ray cluster answers there: {error.strerror or error}") from error


def _local(config: RayConfig) -> dict[str, Any]:
    size = config.object_store_mb
    return {
        "num_cpus": config.num_cpus,
        "object_store_memory": size * MIB if size else None,
        "include_dashboard": config.dashboard,
    }
