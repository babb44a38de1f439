"""What stands beside the service on its host: a second one, strangers, open ports, secrets on paper."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psutil

from rosa_ray.chaos import processes
from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import CaseList, Seen, Short
from rosa_ray.chaos.judging import Allowed
from rosa_ray.chaos.live import Live
from rosa_ray.chaos.refits import refit
from rosa_ray.chaos.run_copy import copy_store
from rosa_ray.chaos.service import Service

CASES = CaseList("second_service")

PLANTED = "-".join(("word", "of", "the", "chaos", "test"))


@CASES.add(
    "a second `rosa serve` with another model and store is started beside it",
    "both answer, each as itself, 60 of 60; the first loses nothing",
    "fused",
    200,
)
def beside(live: Live) -> Seen:
    """Two teams on one host."""
    run_dir = live.scratch / "second"
    version = refit(live.copy.bundle, run_dir / "bundle", seed=11)
    store = copy_store(live.copy.store, run_dir / "store.db")
    first = live.rank()["model_version"]
    command = live.command("serve", run_dir=run_dir, serving__port=0, serving__fused=True, store__path=store)
    second = Service(command, live.scratch / "second.log")
    live.cleanups.append(second.end)
    with live.traffic() as traffic:
        traffic.settle(1.0)
        try:
            second.wait_ready(120.0)
        except Short as error:
            second.end()
            traffic.settle(1.0)
            return live.seen(traffic, Allowed()).also([f"the second: {error}"])
        answers = [_models(live, url) for url in (live.url, second.url)]
        second.end()
        traffic.settle(2.0)
    seen = live.seen(traffic, Allowed())
    short = [
        f"the {name} answered as {dict(found)}, expected {right} only"
        for name, found, right in zip(("first", "second"), answers, (first, version), strict=True)
        if set(found) != {right}
    ]
    return seen.also(short, f"first {dict(answers[0])}, second {dict(answers[1])}")


def _models(live: Live, url: str) -> Counter[str]:
    import httpx

    body = {"user_id": live.copy.user_ids[0], "top_k": 1}
    found: Counter[str] = Counter()
    with httpx.Client(base_url=url, timeout=10.0, trust_env=False) as http:
        for _ in range(60):
            answer = http.post("/rank", json=body)
            found[answer.json().get("model_version", str(answer.status_code))] += 1
    return found


_STRANGER = """
import os, sys
sys.path.insert(0, os.getcwd())
import ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=50)
@ray.remote(num_cpus=0)
def code():
    return os.getpid()
print("RAN", ray.get(code.remote(), timeout=15))
"""


@CASES.add("a process without a token connects to its Ray", "it is refused, and runs no code", "fused", 90)
def stranger(live: Live) -> Seen:
    """Whoever reaches the port."""
    import os

    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {"HOME": home, "RAY_AUTH_MODE": "disabled"}
        command = [sys.executable, "-c", _STRANGER, live.service.ray_address]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            return Seen("it got no answer in 60 s")
    ran = "RAN" in done.stdout
    last = (done.stderr.strip().splitlines() or [""])[-1][:160]
    return Seen("its code ran" if ran else f"refused: {last}", ["code of a stranger ran"] if ran else [])


@CASES.add(
    "the addresses that the proxy listens on", "the service's own port, and nothing that others reach", "fused", 30
)
def open_ports(live: Live) -> Seen:
    """Statistics and metrics of HAProxy."""
    proxies = processes.called(live.service.tree(), "haproxy -")
    found = processes.listening(proxies)
    host = live.settings.serving.host
    open_ = [
        (name, port)
        for name, address, port in found
        if address not in ("127.0.0.1", "::1") and not (port == live.service.port and address == host)
    ]
    short = [f"{name} listens on port {port} of every address" for name, port in open_]
    return Seen(f"{len(found)} addresses, {len(open_)} that others reach", short, {"listening": found})


@CASES.add(
    "every process listens", "nothing but the service's port is reached from other hosts without a token", "fused", 30
)
def statistics_closed(live: Live) -> Seen:
    """HAProxy's pages and its admin socket."""
    import stat

    import httpx

    proxies = processes.called(live.service.tree(), "haproxy -")
    short, tried = [], 0
    for _, _, port in processes.listening(proxies):
        if port == live.service.port:
            continue
        for path in ("/stats", "/haproxy?stats", "/metrics"):
            tried += 1
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=3.0, trust_env=False)
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                short.append(f"port {port} answers {path} to anybody")
    for socket in _admin_sockets(proxies):
        mode = socket.stat().st_mode
        if mode & (stat.S_IRWXO | stat.S_IRWXG) and _reachable(socket):
            short.append(f"the admin socket {socket} is open to others ({stat.filemode(mode)})")
    return Seen(f"{tried} pages asked for", short)


def _admin_sockets(proxies: list[psutil.Process]) -> list[Path]:
    found = []
    for proxy in proxies:
        for one in proxy.net_connections("unix"):
            path = str(one.laddr)
            if path.endswith(".sock") and Path(path).exists():
                found.append(Path(path))
    return sorted(set(found))


def _reachable(socket: Path) -> bool:
    """Whether others may enter every directory above."""
    return all(parent.stat().st_mode & 0o001 for parent in socket.parents)


_FAMILIES = ("latency", "rankings", "candidates", "offline_weight", "load")


@CASES.add("the metrics of the service", "latency, number, candidates, λ and load are among them", "fused", 60)
def metrics(live: Live) -> Seen:
    """What dashboards and alarms are made of."""
    with live.traffic() as traffic:
        traffic.settle(2.0)
    processes.wait_until(lambda: len(_families(live)) >= len(_FAMILIES), 20.0, 1.0)
    families = _families(live)
    missing = [one for one in _FAMILIES if not any(one in family for family in families)]
    short = [f"none of {len(families)} families tells of {', '.join(missing)}"] if missing else []
    return live.seen(traffic).also(short, f"{len(families)} families")


def _families(live: Live) -> set[str]:
    """Names of the service's metrics, as any of its processes tells them."""
    import re

    import httpx

    found = set[str]()
    for name, _, port in processes.listening(live.service.tree()):
        if "haproxy" in name or port == live.service.port:
            continue
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=2.0, trust_env=False).text
        except (httpx.HTTPError, UnicodeDecodeError):
            continue
        found |= set(re.findall(r"^# TYPE (\w*rosa\w*)", text, re.MULTILINE))
    return found


@CASES.add("the dashboard and its Jobs API are asked without a token, graph", "401 or 403", "graph", 60)
def jobs_api(live: Live) -> Seen:
    """A job is code."""
    import httpx

    asked: dict[str, int] = {}
    for _, _, port in processes.listening(processes.called(live.service.tree(), "dashboard")):
        for path in ("/api/jobs/", "/api/serve/applications/"):
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5.0, trust_env=False)
            except httpx.HTTPError:
                continue
            is_api = answer.status_code != 200 or answer.headers.get("content-type", "").startswith("application/json")
            if answer.status_code != 404 and is_api:  # a port of metrics answers any path with its text
                asked[f"{port}{path}"] = answer.status_code
    short = [f"{path} answered {status}" for path, status in asked.items() if status not in (401, 403)]
    short += [] if asked else ["no dashboard answered"]
    return Seen(f"answered {asked}", short)


@CASES.add("a password in `store.url`", "no output and no file of the run holds it", limit_s=90)
def store_password(bench: Bench) -> Seen:
    """Logs and configs are shared."""
    url = f"redis://user:{PLANTED}@127.0.0.1:1/0"
    return _printed(bench, store__kind="redis", store__url=url)


@CASES.add("a password in `stream.kafka`", "no output and no file of the run holds it", limit_s=90)
def kafka_password(bench: Bench) -> Seen:
    """Settings of librdkafka hold passwords."""
    kafka = json.dumps({"sasl.password": PLANTED, "sasl.username": "rosa"})
    return _printed(bench, stream__kind="kafka", stream__brokers="127.0.0.1:1", stream__kafka=kafka)


def _printed(bench: Bench, **settings: object) -> Seen:
    run_dir = bench.scratch / "run"
    run_dir.mkdir()
    (run_dir / "bundle").symlink_to(bench.copy.bundle)
    (run_dir / "data").symlink_to(Path(bench.copy.data.data.root).absolute())
    short = []
    nowhere = {"ray__address": "127.0.0.1:1"}
    for verb, options in (("config", ()), ("ingest", ("--until-end",)), ("materialize", ())):
        _, text = bench.run(bench.command(verb, *options, run_dir=run_dir, **settings, **nowhere), 40.0)
        if PLANTED in text:
            short.append(f"`rosa {verb}` prints it")
    held = [str(file.relative_to(run_dir)) for file in run_dir.rglob("*") if file.is_file() and _holds(file)]
    short += [f"it stands in {name}" for name in held]
    return Seen("it is not printed" if not short else "it is printed", short)


def _holds(file: Path) -> bool:
    return PLANTED.encode() in file.read_bytes()
