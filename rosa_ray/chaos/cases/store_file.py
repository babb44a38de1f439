"""The SQLite file under a running service: locked, slow, full, gone, damaged."""

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from rosa_ray.chaos.bench import Bench, mount_tmpfs, remount, unmount
from rosa_ray.chaos.case import CaseList, NotHere, Seen
from rosa_ray.chaos.judging import Allowed
from rosa_ray.chaos.ledger import Ledger, not_held, open_lookup, parser_of, query_of
from rosa_ray.chaos.live import Live
from rosa_ray.chaos.run_copy import copy_store, side_files
from rosa_ray.chaos.streams_bench import records_of
from rosa_ray.chaos.traffic import Traffic
from rosa_ray.errors import StoreError
from rosa_ray.units import DAY_US

CASES = CaseList("store_file")

_REFUSED = frozenset({503})
READS_GO_ON = Allowed(events=_REFUSED, recovery_s=2.0)
"""Nobody can write; everybody can read."""

COLD_MEANWHILE = Allowed(events=_REFUSED, degraded=frozenset({"store", "states", "ads"}), cold=True, recovery_s=5.0)
"""Nobody can read either: rankings are answered without the store, and say so."""


_ROOM_BYTES = 8192
"""What a file may hold while the disk is full: less than one transaction, also where the log begins anew."""


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the write lock of a file, as another process that writes does."""
    with closing(sqlite3.connect(store, isolation_level=None, timeout=10.0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


@CASES.add(
    "another process holds the write lock for 10 s",
    "rankings stay whole; events are answered 503 and say when to come again; whole 2 s later",
    "fused",
    60,
)
def locked_10_s(live: Live) -> Seen:
    """A WAL lets readers read."""
    with live.traffic(events_per_s=4.0) as traffic:
        traffic.settle(1.0)
        with locked(live.store_file):
            traffic.fault()
            time.sleep(10.0)
        traffic.over()
        traffic.settle()
    return live.seen(traffic, READS_GO_ON)


@CASES.add(
    "another process holds the write lock for 500 ms, again and again for 8 s", "rankings stay whole", "fused", 60
)
def slow_500_ms(live: Live) -> Seen:
    """A store that is slow to write."""
    with live.traffic(events_per_s=4.0) as traffic:
        traffic.settle(1.0)
        traffic.fault()
        until_s = time.monotonic() + 8.0
        while time.monotonic() < until_s:
            with locked(live.store_file):
                time.sleep(0.5)
            time.sleep(0.1)
        traffic.over()
        traffic.settle()
    return live.seen(traffic, READS_GO_ON)


@CASES.add(
    "the disk is full for 6 s",
    "rankings stay whole; events are answered 503; whole 2 s after there is room again",
    "fused",
    60,
)
def disk_full(live: Live) -> Seen:
    """No process may write a byte more into the write-ahead log, by a limit of the kernel on each replica."""
    import resource

    if not hasattr(resource, "prlimit"):
        raise NotHere("only Linux lets one process limit the files of another")
    with live.traffic(events_per_s=4.0) as traffic:
        traffic.settle(1.0)
        victims, full = live.service.replicas(""), (_ROOM_BYTES, resource.RLIM_INFINITY)
        traffic.fault()
        before = [resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, full) for victim in victims]
        try:
            time.sleep(6.0)
        finally:
            for victim, limits in zip(victims, before, strict=True):
                resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, limits)
        traffic.over()
        traffic.settle()
    refused = any(answer.kind == "events" and answer.status == 503 for answer in traffic.answers)
    short = [] if refused else ["no event was refused: the disk was full for nobody"]
    return live.seen(traffic, READS_GO_ON).also(short)


def spoiled_and_restored(live: Live, spoil: Callable[[Path], object], allowed: Allowed, seconds: float = 5.0) -> Seen:
    """Spoil the file while only rankings come, wait, put back what it was, and go on with records."""
    store, backup = live.store_file, live.scratch / "backup.db"
    copy_store(store, backup)
    with live.traffic(events_per_s=0.0) as traffic:
        traffic.settle(1.0)
        traffic.fault()
        spoil(store)
        time.sleep(seconds)
        ready = live.service.readiness()
        put_back(backup, store)
        traffic.over()
        traffic.settle()
    seen = live.seen(traffic, allowed, equal=False)
    return seen.also(after(live), f"/readyz said {ready[0]} {ready[1][:100]}".rstrip())


def put_back(backup: Path, store: Path) -> None:
    """Put another file in the place of the store's, at once."""
    draft = copy_store(backup, store.with_name("draft.db"))
    with closing(sqlite3.connect(draft)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in side_files(store):
        name.unlink(missing_ok=True)
    os.replace(draft, store)
    for name in side_files(draft):
        name.unlink(missing_ok=True)


def after(live: Live) -> list[str]:
    """Records that come after a repair are stored, and the features are those of a clean store."""
    if not live.whole_again(20.0):
        return ["the service is not whole 20 s after the file was put back"]
    with Traffic(live.url, live.bodies(), 1.0, 20.0) as traffic:
        time.sleep(1.0)
    traffic.stop()
    return live.settled(traffic)


@CASES.add(
    "the file is cut to 1 MB",
    "rankings say that they lack the store, never a 500; whole 5 s after it is back",
    "fused",
    60,
)
def truncated_1_mb(live: Live) -> Seen:
    """A copy that broke off."""
    return spoiled_and_restored(live, lambda store: os.truncate(store, 1 << 20), COLD_MEANWHILE)


@CASES.add(
    "the file is cut to nothing",
    "rankings say that they lack the store, never a 500; whole 5 s after it is back",
    "fused",
    60,
)
def truncated_0(live: Live) -> Seen:
    """`> store.db` in a shell."""
    return spoiled_and_restored(live, lambda store: os.truncate(store, 0), COLD_MEANWHILE)


@CASES.add(
    "3,000 random bytes of the file are overwritten",
    "rankings are whole or say what they lack, never a 500; whole 5 s after it is back",
    "fused",
    60,
)
def damaged_pages(live: Live) -> Seen:
    """A disk that lies."""

    def spoil(store: Path) -> None:
        draw = random.Random(3)
        with store.open("r+b") as handle:
            size = store.stat().st_size
            for _ in range(3000):
                handle.seek(draw.randrange(4096, size))
                handle.write(bytes([draw.randrange(256)]))

    return spoiled_and_restored(live, spoil, COLD_MEANWHILE)


_GONE = "no event is answered as taken and lost; rankings go on; `/readyz` says so where nothing can be written"


@CASES.add("the file is deleted, and put back 5 s later", _GONE, "fused", 75)
def deleted(live: Live) -> Seen:
    """`rm store.db*` beside a running service."""

    def delete(store: Path) -> None:
        for name in (store, *side_files(store)):
            name.unlink(missing_ok=True)

    return _gone(live, delete)


@CASES.add("the file is replaced by an older copy", _GONE, "fused", 75)
def replaced(live: Live) -> Seen:
    """A backup is put back while the service runs."""
    older = copy_store(live.store_file, live.scratch / "older.db")
    return _gone(live, lambda store: put_back(older, store), restore=False)


def _gone(live: Live, remove: Callable[[Path], object], restore: bool = True) -> Seen:
    """Remove the file while rankings come, and send records once it is gone."""
    store = live.store_file
    with live.traffic(events_per_s=0.0) as traffic:
        traffic.settle(1.0)
        backup = copy_store(store, live.scratch / "backup.db")
        traffic.fault()
        remove(store)
        with Traffic(live.url, live.bodies(), 0.0, 5.0) as records:
            time.sleep(5.0)
        ready = live.service.readiness()
        if restore:
            put_back(backup, store)
        traffic.over()
        traffic.settle()
    posted = records.posted()
    refused = [one for one in records.answers if not one.ok]
    short = [f"an event was answered {one.status}: {one.reason}" for one in refused if one.status != 503][:1]
    lost = not_held(live.copy, store, [record for record, taken in posted if taken])
    if lost:
        short.append(f"{lost} of {len(posted)} records were answered as taken and are lost")
    if restore and ready[0] == 200:
        short.append("`/readyz` said 200 without a file")
    seen = live.seen(traffic, COLD_MEANWHILE, equal=False).also(short)
    return seen.also(live.settled(records), f"{len(posted)} records sent, {len(refused)} refused, {lost} lost")


@CASES.add(
    "the store lies on a file system that only lets read",
    "users are read exactly; records are refused with an error of the store",
)
def read_only_mount(bench: Bench) -> Seen:
    """A replica on a host that mounts the store read-only."""
    place = bench.scratch / "mounted"
    megabytes = 2 * (bench.copy.store.stat().st_size >> 20) + 16
    if reason := mount_tmpfs(place, megabytes):
        raise NotHere(f"no file system of its own can be mounted: {reason}")
    bench.cleanups.append(lambda: unmount(place))
    store = copy_store(bench.copy.store, place / "store.db")
    if reason := remount(place, "ro"):
        raise NotHere(f"it cannot be mounted read-only: {reason}")
    settings = bench.copy.served(store)
    short = Ledger(bench.copy, bench.copy.served(bench.store())).differences(settings)
    lookup = open_lookup(bench.copy, settings)
    parsed = parser_of(bench.copy).parse_values(records_of(bench, 5))
    try:
        lookup.write_now(parsed.columns, parsed.changes)
    except StoreError as error:
        text = f"records refused: {str(error).replace(str(place), '')[:120]}"
    else:
        text = "records taken"
        short.append("records were answered as taken")
    return Seen(text, short)


@CASES.add("two users send different events under one id", "both count: an id belongs to its user")
def ids_of_two_users(bench: Bench) -> Seen:
    """Producers number their events a user."""
    first, second = records_of(bench, 60)[1:3]
    second = {**second, "event_id": first["event_id"], "user_id": _another(bench, first["user_id"])}
    lookup = open_lookup(bench.copy, bench.copy.served(bench.store()))
    parsed = parser_of(bench.copy).parse_values([first, second])
    written = lookup.write_now(parsed.columns, parsed.changes)
    short = [] if written.accepted == 2 else [f"{written.accepted} of 2 were stored"]
    return Seen(f"{written.accepted} of 2 stored, {written.duplicates} taken for repeated", short)


def _another(bench: Bench, user_id: str) -> str:
    return next(one for one in bench.copy.user_ids if one != user_id)


@CASES.add("a bid of 4e-7, and costs of 1e13", "refused, or every feature stays a finite number")
def money_bounds(bench: Bench) -> Seen:
    """What is below a millionth, and what no 64 bits of millionths hold."""
    shown = next(one for one in records_of(bench, 30) if one.get("type") == "impression")
    bad = [{**shown, "bid": 4e-7}, {**shown, "impression_id": "big", "cost": 1e13}]
    lookup = open_lookup(bench.copy, bench.copy.served(bench.store()))
    parsed = parser_of(bench.copy).parse_values(bad)
    lookup.write_now(parsed.columns, parsed.changes)
    rows = np.sort(bench.copy.ad_table.first_rows[:50])
    query = query_of(bench.copy, str(shown["user_id"]), time.time_ns() // 1000 + DAY_US, rows)
    found = [lookup.read_now(replace(query, bid=np.full(len(rows), bid))) for bid in (4e-7, 1.0)]
    wrong = sum(int((~np.isfinite(one.expected_cost) | (one.expected_cost < 0)).sum()) for one in found)
    short = [f"{wrong} of {2 * len(rows)} expected costs are no sums of money"] if wrong else []
    return Seen(f"{len(parsed.refusals)} of 2 refused, {wrong} expected costs are wrong", short)
