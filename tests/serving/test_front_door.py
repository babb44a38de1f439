"""The door of a real service: closed beside the one port, calm under slow clients, and led to by its own address."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from rosa_ray.serving.server import RunningService, running
from tests.serving.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("ray_cluster")]

SLOW = 130


@pytest.fixture
def service(world: World, store_path: Path) -> Iterator[RunningService]:
    settings = world.settings(store_path, port=0, cpus_per_replica=0.1, client_timeout_ms=4000, fused=True)
    with running(settings) as service:
        yield service


def rank(url: str) -> httpx.Response:
    return httpx.post(f"{url}/rank", json={"user_id": "u1", "top_k": 1}, timeout=10, trust_env=False)


def connect(url: str, sent: bytes) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)), timeout=20)
    client.sendall(sent)
    return client


def listening(name: str) -> list[str]:
    """Addresses that processes of a name listen on."""
    found = [one for one in psutil.process_iter(["name"]) if one.info["name"].startswith(name) and own(one)]
    listens = [where for one in found for where in one.net_connections("tcp") if where.status == psutil.CONN_LISTEN]
    return sorted({f"{where.laddr.ip}:{where.laddr.port}" for where in listens})


def own(process: psutil.Process) -> bool:
    """Whether it reads a config of this process's cluster."""
    folder = str(Path(os.environ["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"]).parent)
    return any(part.startswith(folder) for part in process.cmdline())


def test_the_door_is_the_only_one_and_calm_under_slow_clients(service: RunningService) -> None:
    assert listening("haproxy") == [service.url.removeprefix("http://")]

    head = b"POST /rank HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n"
    slow = [connect(service.url, head + b'{"user_id": ') for _ in range(SLOW)]
    slow += [connect(service.url, b"POST /rank HTTP/1.1\r\nhost: a\r\nx-slow: ") for _ in range(SLOW)]
    started_s = time.monotonic()
    answers = [rank(service.url) for _ in range(60)]
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json()["degraded"] == [] for answer in answers)
    assert {client.recv(4096)[:12] for client in slow} == {b"HTTP/1.1 408"}
    assert time.monotonic() - started_s < 20
    for client in slow:
        client.close()

    wrong = httpx.get(f"{service.url}/healthz", headers={b"x-request-id": b"\xff\xfe"}, trust_env=False)
    assert wrong.status_code == 200


SECOND = """
import json, sys
from rosa_ray.cluster.config import RayConfig
from rosa_ray.cluster.connect import connected
from rosa_ray.serving.assembly import ServiceSettings

settings = ServiceSettings.of(json.loads(sys.argv[1]))
from rosa_ray.serving.server import running
with connected(RayConfig(address="local", num_cpus=2)), running(settings) as service:
    print(service.url, flush=True)
    sys.stdin.read()
"""


def test_two_services_on_one_host_answer_for_themselves(
    world: World, service: RunningService, store_path: Path
) -> None:
    args = {
        "bundle": str(world.bundle),
        "store": {"path": str(store_path)},
        "serving": {"port": 0, "cpus_per_replica": 0.1, "fused": True},
    }
    command = [sys.executable, "-c", SECOND, json.dumps(args)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
    assert other.stdin
    assert other.stdout
    try:
        url = other.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url), url
        names = {one: {_instance(one) for _ in range(30)} for one in (service.url, url)}
        assert [len(found) for found in names.values()] == [1, 1]
        assert names[service.url] != names[url]
        assert {rank(one).status_code for one in (service.url, url) for _ in range(10)} == {200}
    finally:
        other.stdin.close()
        other.wait(120)
        other.stdout.close()
    assert other.returncode == 0
    assert rank(service.url).status_code == 200


def _instance(url: str) -> str:
    return str(httpx.get(f"{url}/readyz", trust_env=False).json()["instance"])
