"""Replicas and the processes of Ray Serve that keep them, killed while requests come."""

from rosa_ray.chaos.case import CaseList, Seen
from rosa_ray.chaos.judging import Allowed
from rosa_ray.chaos.live import STARTED_S, Live
from rosa_ray.serving.app import ENCODER, LOOKUP, SCORER

CASES = CaseList("replicas")

INGRESS_DEATH = Allowed(in_flight=True, recovery_s=5.0)
"""What a killed ingress may cost: the requests that it held."""

LOST_AT_MOST = "only requests that were under way may fail, none is cold, all are whole again within 5 s"
NOTHING_LOST = "nobody notices"
UNTIL_STARTED = "503 that says when to come again, until one has started; nothing is lost of what was accepted"


def kill_one(live: Live, deployment: str, allowed: Allowed, times: int = 1) -> Seen:
    """SIGKILL one replica of a deployment while requests come; of several, each once the one before is replaced."""
    with live.traffic() as traffic:
        traffic.settle(1.5)
        for turn in range(times):
            if turn:
                traffic.settle(STARTED_S, limit_s=2 * STARTED_S)
            live.kill(traffic, live.service.replicas(deployment)[0])
            traffic.settle(4.0)
    return live.seen(traffic, allowed)


@CASES.add("SIGKILL of one scorer replica, fused", LOST_AT_MOST, "fused", 75)
def scorer_fused(live: Live) -> Seen:
    """The process holds lookup, encoder and scorer."""
    return kill_one(live, SCORER, INGRESS_DEATH)


@CASES.add("SIGKILL of one scorer replica, and of the other once it is replaced, fused", LOST_AT_MOST, "fused", 180)
def scorers_in_turn_fused(live: Live) -> Seen:
    """Two that die together leave nobody to answer; a machine that loses one replica after another must go on."""
    return kill_one(live, SCORER, INGRESS_DEATH, times=2)


def kill_all(live: Live) -> Seen:
    """SIGKILL every scorer: what callers may expect is a clear answer, and an end."""
    gone = frozenset({503})
    with live.traffic() as traffic:
        traffic.settle(1.5)
        live.kill(traffic, *live.service.replicas(SCORER))
        traffic.settle(STARTED_S, limit_s=3 * STARTED_S)
    return live.seen(traffic, Allowed(in_flight=True, unanswered_s=2.0, rank=gone, events=gone, recovery_s=40.0))


@CASES.add("SIGKILL of every scorer replica at once, fused", UNTIL_STARTED, "fused", 180)
def all_scorers_fused(live: Live) -> Seen:
    """Nobody is left."""
    return kill_all(live)


@CASES.add("SIGKILL of the Serve controller, fused", NOTHING_LOST, "fused", 60)
def controller_fused(live: Live) -> Seen:
    """Replicas and proxy go on without it."""
    return _kill_part(live, "ServeController")


@CASES.add("SIGKILL of one scorer replica, graph", LOST_AT_MOST, "graph", 75)
def scorer_graph(live: Live) -> Seen:
    """The ingress of the graph."""
    return kill_one(live, SCORER, INGRESS_DEATH)


@CASES.add("SIGKILL of every scorer replica at once, graph", UNTIL_STARTED, "graph", 180)
def all_scorers_graph(live: Live) -> Seen:
    """Lookup and encoders live on, and nobody listens."""
    return kill_all(live)


@CASES.add(
    "SIGKILL of the feature lookup, graph",
    "rankings stay whole; events that were under way may be answered 503 and say when to come again",
    "graph",
    75,
)
def lookup_graph(live: Live) -> Seen:
    """The store's one writer; scorers read the store themselves meanwhile."""
    return kill_one(live, LOOKUP, Allowed(events=frozenset({503}), recovery_s=10.0))


@CASES.add(
    "SIGKILL of one encoder replica, graph", "no request fails; those under way may lack the encoder", "graph", 75
)
def encoder_graph(live: Live) -> Seen:
    """Scorers encode themselves meanwhile."""
    with live.traffic() as traffic:
        traffic.settle(1.5)
        live.kill(traffic, live.service.replicas(ENCODER)[0])
        traffic.settle(4.0)
    seen = live.seen(traffic, Allowed(in_flight=True, recovery_s=3.0))
    failed = [answer for answer in traffic.answers if not answer.ok]
    return seen.also([f"{len(failed)} requests failed, which an encoder need not cost"] if failed else [])


@CASES.add("SIGKILL of the Serve controller, graph", NOTHING_LOST, "graph", 60)
def controller_graph(live: Live) -> Seen:
    """Replicas and proxy go on without it."""
    return _kill_part(live, "ServeController")


def _kill_part(live: Live, name: str) -> Seen:
    with live.traffic() as traffic:
        traffic.settle(1.5)
        live.kill(traffic, *live.service.parts(name))
        traffic.settle(5.0)
    return live.seen(traffic, Allowed(recovery_s=0.0))


@CASES.add("every replica of the lookup is stopped for 5 s (SIGSTOP), graph", "rankings stay whole", "graph", 75)
def lookup_paused_graph(live: Live) -> Seen:
    """A process that hangs is not a process that died: nothing tells but time."""
    import time

    with live.traffic(events_per_s=1.0) as traffic:
        traffic.settle(1.5)
        victims = live.service.replicas(LOOKUP)
        traffic.fault()
        for victim in victims:
            victim.suspend()
        try:
            time.sleep(5.0)
        finally:
            for victim in victims:
                victim.resume()
        traffic.over()
        traffic.settle()
    return live.seen(traffic, Allowed(events=frozenset({503}), recovery_s=5.0))
