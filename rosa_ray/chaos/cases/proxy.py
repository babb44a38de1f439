"""The proxy in front of the replicas, and the driver that started all, killed while requests come."""

import time

import psutil

from rosa_ray.chaos import processes
from rosa_ray.chaos.case import CaseList, Seen, Short
from rosa_ray.chaos.judging import Allowed
from rosa_ray.chaos.live import Live
from rosa_ray.chaos.service import Service

CASES = CaseList("proxy")

NOTICED_S = 3.0
"""A dead proxy is noticed and replaced within so long."""

_DEATH = Allowed(in_flight=True, unanswered_s=NOTICED_S, recovery_s=NOTICED_S + 1.0)
_EXPECTED = f"requests under way fail, nobody answers for {NOTICED_S:g} s at most, never a 404"


def kill_proxy(live: Live, *names: str) -> Seen:
    """SIGKILL the processes of some name."""
    with live.traffic() as traffic:
        traffic.settle(1.5)
        victims = live.service.parts(*names)
        live.kill(traffic, *victims)
        traffic.settle(4.0, 45.0)
    return live.seen(traffic, _DEATH)


@CASES.add("SIGKILL of the HAProxy process, fused", _EXPECTED, "fused", 110)
def haproxy_fused(live: Live) -> Seen:
    """The one program that listens."""
    return kill_proxy(live, "haproxy -")


@CASES.add("SIGKILL of the actor that keeps HAProxy, fused", _EXPECTED, "fused", 110)
def haproxy_manager_fused(live: Live) -> Seen:
    """Who starts HAProxy and tells it of replicas."""
    return kill_proxy(live, "HAProxyManager")


@CASES.add("SIGKILL of Ray's Python proxy where there is one, fused", "nobody notices", "fused", 60)
def proxy_actor_fused(live: Live) -> Seen:
    """Requests go through HAProxy."""
    with live.traffic() as traffic:
        traffic.settle(1.5)
        victims = processes.called(live.service.tree(), "ProxyActor")
        live.kill(traffic, *victims)
        traffic.settle(4.0)
    return live.seen(traffic, Allowed(recovery_s=0.0)).also([], f"{len(victims)} such processes")


@CASES.add("SIGKILL of the HAProxy process, graph", _EXPECTED, "graph", 110)
def haproxy_graph(live: Live) -> Seen:
    """The one program that listens."""
    return kill_proxy(live, "haproxy -")


@CASES.add("SIGKILL of the actor that keeps HAProxy, graph", _EXPECTED, "graph", 110)
def haproxy_manager_graph(live: Live) -> Seen:
    """Who starts HAProxy and tells it of replicas."""
    return kill_proxy(live, "HAProxyManager")


_END_S = 75.0
_DRIVER = "all of it ends within 75 s, and the same command starts again on the same port within 90 s"


@CASES.add("SIGKILL of `rosa serve` itself, fused", _DRIVER, "fused", 260, spoils=True)
def driver_fused(live: Live) -> Seen:
    """As the kernel does when memory is short."""
    return kill_driver(live)


@CASES.add("SIGKILL of `rosa serve` itself, graph", _DRIVER, "graph", 260, spoils=True)
def driver_graph(live: Live) -> Seen:
    """As the kernel does when memory is short."""
    return kill_driver(live)


def kill_driver(live: Live) -> Seen:
    """Kill the process that a user started, wait for the rest to end, and start the same again."""
    service = live.service
    tree, port = service.tree(), service.port
    service.process.kill()
    killed_s = time.monotonic()
    gone = processes.wait_until(lambda: not any(one.is_running() for one in tree), _END_S)
    ended_s = time.monotonic() - killed_s
    left = [one for one in tree if one.is_running()]
    names = sorted({_name(one) for one in left})
    processes.end_all(left)
    command = [part for part in service.command if not part.startswith("--set=serving.port=")]
    again = Service([*command, f"--set=serving.port={port}"], live.scratch / "again.log")
    live.cleanups.append(again.end)
    try:
        again.wait_ready(120.0)
    except Short as error:
        return Seen("it did not start again", [str(error)])
    recovery_s = time.monotonic() - killed_s
    short = [] if gone else [f"{len(left)} processes outlived it by {_END_S:g} s: {', '.join(names)}"]
    short += [] if again.port == port else [f"it came back on port {again.port}"]
    short += [f"it was ready after {again.seconds:.0f} s"] if again.seconds > 90 else []
    text = f"all ended within {ended_s:.1f} s, ready again {again.seconds:.1f} s after the start"
    return Seen(text, short, {"ended_s": ended_s, "ready_s": again.seconds}, recovery_s)


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except processes.GONE:
        return "gone"
