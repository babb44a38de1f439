"""Redis under a running service: killed, paused, slow, full, emptied, and set up so that it forgets."""

import time
from collections import Counter
from dataclasses import replace

from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import CaseList, Seen
from rosa_ray.chaos.judging import Allowed
from rosa_ray.chaos.ledger import open_lookup, parser_of
from rosa_ray.chaos.live import Live
from rosa_ray.chaos.redis_server import RedisServer
from rosa_ray.chaos.streams_bench import records_of
from rosa_ray.errors import RosaError, StoreError
from rosa_ray.schema import hash_id
from rosa_ray.serving.assembly import ServiceSettings
from rosa_ray.store import open_store

CASES = CaseList("redis")

AWAY = Allowed(events=frozenset({503}), degraded=frozenset({"store", "states", "ads"}), cold=True, recovery_s=3.0)
_EXPECTED = "rankings are answered and say that they lack the store; events 503; whole 3 s after it is back"


def _server(live: Live) -> RedisServer:
    assert live.redis is not None
    return live.redis


@CASES.add("SIGKILL of the Redis server, started again 4 s later", _EXPECTED, "redis", 60)
def killed(live: Live) -> Seen:
    """It has what it had answered for."""
    server = _server(live)
    with live.traffic() as traffic:
        traffic.settle(1.5)
        traffic.fault()
        server.kill()
        time.sleep(4.0)
        server.start()
        traffic.over()
        traffic.settle()
    return live.seen(traffic, AWAY)


@CASES.add("the Redis server is stopped for 5 s (SIGSTOP)", _EXPECTED, "redis", 60)
def paused(live: Live) -> Seen:
    """Its port takes connections, and nothing answers."""
    server = _server(live)
    with live.traffic() as traffic:
        traffic.settle(1.5)
        traffic.fault()
        server.pause()
        try:
            time.sleep(5.0)
        finally:
            server.go_on()
        traffic.over()
        traffic.settle()
    return live.seen(traffic, AWAY)


@CASES.add(
    "the Redis server is at its maxmemory for 4 s", "rankings stay whole; events 503; whole 3 s later", "redis", 60
)
def out_of_memory(live: Live) -> Seen:
    """It refuses what would need more."""
    client = _server(live).client()
    with live.traffic(events_per_s=4.0) as traffic:
        traffic.settle(1.5)
        traffic.fault()
        client.config_set("maxmemory", 1_000_000)
        time.sleep(4.0)
        client.config_set("maxmemory", 0)
        traffic.over()
        traffic.settle()
    return live.seen(traffic, Allowed(events=frozenset({503}), recovery_s=3.0))


@CASES.add(
    "FLUSHALL while the service runs, filled again from a dump 4 s later",
    "rankings are answered and say what they lack; events 503; whole 5 s after it is filled",
    "redis",
    75,
    spoils=True,
)
def flushed(live: Live) -> Seen:
    """Somebody takes it for a cache."""
    server = _server(live)
    with live.traffic(events_per_s=0.0) as traffic:
        traffic.settle(1.5)
        dump = live.scratch / "before.rdb"
        server.save(dump)
        traffic.fault()
        server.client().flushall()
        time.sleep(4.0)
        server.refill(dump)
        traffic.over()
        traffic.settle()
    seen = live.seen(traffic, replace(AWAY, recovery_s=5.0), equal=False)
    return seen.also(live.ledger.differences(live.settings))


@CASES.add(
    "the Redis server evicts any key when it is full (allkeys-lru)",
    "refused when the store is opened, with the policy and what is right",
    limit_s=60,
)
def evicting(bench: Bench) -> Seen:
    """It forgets users and says nothing."""
    server, settings = _scratch(bench)
    _fill(bench, settings)
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    model = bench.copy.model
    try:
        open_store(settings.store, model.features.config, model.version).close()
    except (RosaError, TypeError) as error:
        named = "allkeys-lru" in str(error)
        return Seen(str(error)[:160], [] if named else ["the error does not name the policy"])
    return Seen("it opens", ["the store opens on a server that evicts what it wants"])


@CASES.add(
    "a batch in which one cost overflows a counter, then its other 199 records again",
    "a batch is stored whole or not at all, so that all 199 count",
    limit_s=90,
)
def batch_whole(bench: Bench) -> Seen:
    """A counter of costs holds 64 bits of millionths."""
    _, settings = _scratch(bench)
    lookup = open_lookup(bench.copy, settings)
    parser = parser_of(bench.copy)
    records = records_of(bench, 700)
    shown = next(one for one in records if one.get("type") == "impression")
    huge = [{**shown, "impression_id": f"huge-{number}", "cost": 9e8} for number in range(11_000)]
    parsed = parser.parse_values(huge[:1])
    if parsed.refusals:
        return Seen(f"a cost of 9e8 is refused: {parsed.refusals[0].detail}")
    overflowed = False
    small = [one for one in records if one.get("type", "event") == "event"][:199]
    for start in range(0, len(huge), 1000):
        some = huge[start : start + 1000]
        last = start + 1000 == len(huge)
        parsed = parser.parse_values([*small[:100], *some[:800], *small[100:]] if last else some)
        try:
            lookup.write_now(parsed.columns, parsed.changes)
        except StoreError:
            overflowed = True
            break
    parsed = parser.parse_values(small)
    lookup.write_now(parsed.columns, parsed.changes)
    if not overflowed:
        return Seen("no counter overflowed: sums of money are bounded")
    sent = Counter(one["user_id"] for one in small)
    counted = {user_id: _events_of(bench, settings, user_id) for user_id in sent}
    wrong = [f"{user_id} sent {sent[user_id]}" for user_id, found in counted.items() if found != (sent[user_id],) * 2]
    short = [f"{len(wrong)} of {len(sent)} users have other events or counts, the first {wrong[0]}"] if wrong else []
    return Seen(f"{sum(events for events, _ in counted.values())} of {len(small)} events are there and counted", short)


def _events_of(bench: Bench, settings: ServiceSettings, user_id: str) -> tuple[int, int]:
    """Events of a user in the timeline, and in the counters."""
    model = bench.copy.model
    store = open_store(settings.store, model.features.config, model.version)
    try:
        record = store.read_user(hash_id(user_id))
    finally:
        store.close()
    return len(record.timeline["time_us"]), int(record.counters["user_events"].sums.sum())


def _scratch(bench: Bench) -> tuple[RedisServer, ServiceSettings]:
    """An empty store on a server of the case's own."""
    server = RedisServer(bench.scratch / "redis")
    bench.cleanups.append(server.stop)
    base = bench.copy.served(bench.copy.store)
    settings = replace(base, store=replace(base.store, kind="redis", url=server.url, namespace="scratch"))
    model = bench.copy.model
    open_store(settings.store, model.features.config, model.version, create=True).close()
    return server, settings


def _fill(bench: Bench, settings: ServiceSettings) -> None:
    parsed = parser_of(bench.copy).parse_values(records_of(bench, 300))
    open_lookup(bench.copy, settings).write_now(parsed.columns, parsed.changes)


@CASES.add(
    "the Redis server answers half a second late for 6 s",
    "rankings are whole, say that they lack the store, or are too many, 503; whole 3 s later",
    "redis",
    60,
)
def slow_500_ms(live: Live) -> Seen:
    """A network that is full."""
    server = _server(live)
    with live.traffic() as traffic:
        traffic.settle(1.5)
        traffic.fault()
        server.delay_s = 0.5
        try:
            time.sleep(6.0)
        finally:
            server.delay_s = 0.0
        traffic.over()
        traffic.settle()
    return live.seen(traffic, replace(AWAY, rank=frozenset({503})))
