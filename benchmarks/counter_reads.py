"""What a refill of counters costs: the buckets that the windows of ads need, of logs of some length.

The ads have impressions in every hour. A refill reads their own counters and those of their campaigns, as a lookup does
when a bucket closes, and every read is checked against the whole log. Beside it stands a read of every bucket kept.

    python benchmarks/counter_reads.py --out benchmarks/results/counter_reads.json
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from online_store import FEATURES, T0, redis_server
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.features import VIEWS, Counters, CounterStates, counting_fingerprint
from rosa_ray.features.counting import window_start
from rosa_ray.store import OnlineStore, StoreConfig, StoreVersion, open_store
from rosa_ray.units import HOUR_US

MODEL = "model"
LAST = T0 // HOUR_US - 1
"""The last closed bucket."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ads", type=int, default=100)
    parser.add_argument("--days", type=int, nargs="+", default=[30, 180])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, redis_server(folder) as url:
        for kind in ("sqlite", "redis"):
            for days in arguments.days:
                path, namespace = f"{folder}/{days}.db", f"days{days}"
                config = StoreConfig(kind=kind, path=path, url=url, namespace=namespace, timeout_ms=60_000)
                rows.append({"store": kind, "days": days, **measure(config, arguments.ads, days, arguments.repeats)})
    show(rows)
    save(record("counter_reads", ads=arguments.ads, rows=rows), arguments.out)


def measure(config: StoreConfig, ads: int, days: int, repeats: int) -> dict[str, float]:
    """Load counters of so many days, and read them again and again; medians in milliseconds."""
    states = {"ad_impressions": hourly(ads, days, 1), "campaign_impressions": hourly(max(ads // 4, 1), days, 2)}
    store, version = open_store(config, FEATURES, MODEL, create=True), StoreVersion(counting_fingerprint(FEATURES), T0)
    store.begin_load(version, MODEL, 1)
    store.load_counters(version, states)
    store.activate(version, MODEL)
    found = {"window_ms": read(store, states, repeats, True), "kept_ms": read(store, states, repeats, False)}
    store.close()
    return found


def hourly(entities: int, days: int, seed: int) -> Counters:
    """Impressions, clicks, conversions, bids and costs of every hour before `T0`."""
    rng, hours = np.random.default_rng(seed), days * 24
    bucket = np.tile(np.arange(LAST + 1 - hours, LAST + 1), entities)
    most = (300, 20, 3, 10**9, 10**9)
    sums = np.stack([rng.integers(0, limit, len(bucket)) for limit in most], axis=1)
    return Counters.fold(np.repeat(np.arange(1, entities + 1) * 7919, hours), bucket, sums)


def read(store: OnlineStore, states: CounterStates, repeats: int, window: bool) -> float:
    """Median time of a refill."""
    times_ms, keys_of = [], {name: np.unique(counters.entity_key) for name, counters in states.items()}
    for _ in range(repeats):
        began, found = time.perf_counter(), {}
        for name, keys in keys_of.items():
            since = window_start(VIEWS[name], LAST, FEATURES) if window else None
            found |= store.read_counters(name, keys, since)
        times_ms.append((time.perf_counter() - began) * 1000)
    for name, keys in keys_of.items():
        counters = states[name]
        asked = (keys, np.full(len(keys), LAST), VIEWS[name].windows_hours)
        np.testing.assert_array_equal(found[name].read(*asked), counters.read(*asked))
    return round(float(np.median(times_ms)), 2)


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("store", "days", "refill, ms", "all that is kept, ms")
    for row in rows:
        table.add_row(row["store"], str(row["days"]), f"{row['window_ms']:.1f}", f"{row['kept_ms']:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
