"""What a load costs those that read and write the SQLite store beside it: how long the file is locked at a time.

Another process tries to write every few milliseconds, and notes for how long it could not; a third reads users. Phases
are the load of timelines and states, of counters, the activation after live records came, and the removal of the
former generation; first nothing, for what the machine alone takes. All on this machine's disk, with whatever else runs
on it: so the CPU time of the longest transaction stands beside what others waited.

    python benchmarks/store_load.py --users 100000 --out benchmarks/results/store_load.json
"""

import argparse
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from online_store import EVENTS, FEATURES, T0, fill, records_of_users
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.features import counting_fingerprint, fold_records
from rosa_ray.store import OnlineStore, StoreConfig, StoreVersion, open_store
from rosa_ray.store.backends.sqlite.database import Database
from rosa_ray.units import HOUR_US

_TRY_S, _REST_S = 0.0005, 0.003


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--live", type=int, default=20_000, help="records that came live before the activation")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    users = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, arguments.users)
    with tempfile.TemporaryDirectory() as folder:
        config = StoreConfig(path=f"{folder}/store.db", states_dtype="float16", busy_timeout_ms=60_000)
        phases = measure(config, users, arguments.live)
    show(phases)
    document = record("store_load", users=arguments.users, live_records=arguments.live, phases=phases)
    save(document, arguments.out)


def measure(config: StoreConfig, users: np.ndarray, live: int) -> dict[str, dict[str, float]]:
    """Every phase with how long it took and the longest locks and reads beside it."""
    store = open_store(config, FEATURES, "second", create=True)
    versions = [StoreVersion(counting_fingerprint(FEATURES), T0, source) for source in ("first", "second")]
    store.begin_load(versions[0], "first", EVENTS)
    store.activate(versions[0], "first")
    store.apply(records_of_users(users, live, 5))
    store.begin_load(versions[1], "second", EVENTS)
    history = records_of_users(users, EVENTS * len(users) // 4, 2)
    history["time_us"] = T0 - 30 * HOUR_US + np.arange(len(history["time_us"])) % (24 * HOUR_US)
    counters = fold_records(history, FEATURES)
    steps: dict[str, Callable[[], object]] = {
        "nothing": lambda: time.sleep(20),
        "timelines and states": lambda: load_users(store, versions[1], users),
        "counters": lambda: store.load_counters(versions[1], counters),
        "activation": lambda: store.activate(versions[1], "second"),
        "removal": lambda: remove(store, users),
    }
    found = {name: beside(config.path, users, step) for name, step in steps.items()}
    store.close()
    return found


def load_users(store: OnlineStore, version: StoreVersion, users: np.ndarray) -> None:
    for chosen in np.array_split(users, max(len(users) // 1000, 1)):
        fill(store, version, "second", chosen)


def remove(store: OnlineStore, users: np.ndarray) -> None:
    """Activate a third generation, and drop the second, which is full."""
    version = StoreVersion(counting_fingerprint(FEATURES), T0, "third")
    store.begin_load(version, "third", EVENTS)
    store.activate(version, "third")
    store.drop("second")


def beside(path: str, users: np.ndarray, work: Callable[[], object]) -> dict[str, float]:
    """Run work while another process tries to write, and another reads."""
    context = multiprocessing.get_context("spawn")
    end, found = context.Event(), context.SimpleQueue()
    others = [
        context.Process(target=try_to_write, args=(path, end, found)),
        context.Process(target=read, args=(path, users[:1000], end, found)),
    ]
    for other in others:
        other.start()
    started = [found.get() for _ in others]
    assert started == ["ready", "ready"]
    began = time.perf_counter()
    with held_cpu_ms() as held:
        work()
    seconds = time.perf_counter() - began
    end.set()
    answers = dict(found.get() for _ in others)
    for other in others:
        other.join()
    longest = {"transactions": len(held), "transaction_longest_cpu_ms": round(max(held, default=0.0), 1)}
    return {"seconds": round(seconds, 2), **longest, **answers["locked"], **answers["read"]}


@contextmanager
def held_cpu_ms() -> Iterator[list[float]]:
    """CPU milliseconds of every transaction that this process writes meanwhile."""
    times: list[float] = []
    write = Database.write

    @contextmanager
    def timed(self: Database) -> Iterator[sqlite3.Connection]:
        with write(self) as connection:
            began = time.thread_time()
            yield connection
            times.append((time.thread_time() - began) * 1000)

    Database.write = timed  # type: ignore[method-assign]
    try:
        yield times
    finally:
        Database.write = write  # type: ignore[method-assign]


def try_to_write(path: str, end: Event, found: "multiprocessing.SimpleQueue[Any]") -> None:
    """Take the write lock again and again, and note for how long another had it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    waits_ms = []
    found.put("ready")
    while not end.is_set():
        began = time.perf_counter()
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("COMMIT")
                break
            except sqlite3.OperationalError:
                time.sleep(_TRY_S)
        waits_ms.append((time.perf_counter() - began) * 1000)
        time.sleep(_REST_S)
    found.put(("locked", quantiles("locked", waits_ms)))


def read(path: str, users: np.ndarray, end: Event, found: "multiprocessing.SimpleQueue[Any]") -> None:
    """Read users, and note for how long."""
    store = open_store(StoreConfig(path=path), FEATURES)
    times_ms, keys = [], users.tolist()
    found.put("ready")
    while not end.is_set():
        began = time.perf_counter()
        store.read_user(keys[len(times_ms) % len(keys)])
        times_ms.append((time.perf_counter() - began) * 1000)
        time.sleep(_REST_S)
    found.put(("read", quantiles("read", times_ms)))


def quantiles(name: str, times_ms: list[float]) -> dict[str, float]:
    p50, p99, longest = np.quantile(times_ms, [0.5, 0.99, 1.0])
    return {f"{name}_p50_ms": round(p50, 2), f"{name}_p99_ms": round(p99, 2), f"{name}_longest_ms": round(longest, 1)}


def show(phases: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    waits = [f"{name} p50, p99, longest ms" for name in ("write lock", "read")]
    table = Table("", "seconds", "longest transaction, CPU ms", *waits)
    for name, row in phases.items():
        parts = ("p50", "p99", "longest")
        shown = [", ".join(str(row[f"{what}_{part}_ms"]) for part in parts) for what in ("locked", "read")]
        table.add_row(name, str(row["seconds"]), str(row["transaction_longest_cpu_ms"]), *shown)
    Console().print(table)


if __name__ == "__main__":
    main()
