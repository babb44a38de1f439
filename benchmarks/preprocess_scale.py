"""Preprocessing time and memory against the size of the log.

Every size is a made-up log, written straight to Parquet file by file in bounded memory, and one preprocessing of it on
a local Ray of its own. Users, items and partitions grow with the log, so a partition always holds about as many rows.
Memory is sampled from outside: private bytes (resident minus shared) of Ray's workers and of the driver.

    python benchmarks/preprocess_scale.py --out benchmarks/results/preprocess_scale.json
    python benchmarks/preprocess_scale.py --millions 1 5 20 50 --rows-per-partition 500000 --folder /var/tmp
"""

import argparse
import json
import logging
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from record import record, save
from rich.console import Console
from rich.table import Table

from rosa_ray.units import DAY_US

FILE_ROWS = 500_000
EVENTS_PER_USER, IMPRESSIONS_PER_EVENT, EVENTS_PER_ITEM, ADS = 60, 0.25, 200, 2_000
DAYS, START_US = 14, 1_767_225_600_000_000
SAMPLE_S = 0.25


def main() -> None:
    arguments = _arguments()
    rows = []
    for millions in arguments.millions:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows.append(_in_a_process(folder, round(millions * 1e6), arguments))
        print(json.dumps(rows[-1]), flush=True)
    document = record(
        "preprocess_scale",
        ray_cpus=arguments.cpus,
        rows_per_partition=arguments.rows_per_partition,
        rows=rows,
    )
    show(document)
    save(document, arguments.out)


def write_log(folder: Path, events: int, seed: int = 0) -> int:
    """Write a log of so many events as files of at most `FILE_ROWS` rows; returns its bytes."""
    users, items = max(events // EVENTS_PER_USER, 100), max(events // EVENTS_PER_ITEM, 100)
    for name, rows in (("events", events), ("impressions", int(events * IMPRESSIONS_PER_EVENT)), ("ads", ADS)):
        (folder / name).mkdir(parents=True)
        for number, start in enumerate(range(0, rows, FILE_ROWS)):
            rng = np.random.default_rng([seed, len(name), number])
            table = _TABLES[name](start, min(FILE_ROWS, rows - start), users, items, rng)
            pq.write_table(table, folder / name / f"part-{number:05d}.parquet")
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def _events(start: int, rows: int, users: int, items: int, rng: np.random.Generator) -> pa.Table:
    item = (items * rng.random(rows) ** 3).astype(np.int64)
    return pa.table(
        {
            "event_id": _ids("e", np.arange(start, start + rows)),
            "user_id": _ids("u", rng.integers(0, users, rows)),
            "item_id": _ids("i", item),
            "behavior": pa.array(np.array(["view", "click", "cart", "purchase"], object)[_rare(rows, rng)]),
            "event_time": _times(rows, rng),
            "category": _ids("c", item % 500),
            "price": 1 + 99 * rng.random(rows),
        }
    )


def _impressions(start: int, rows: int, users: int, items: int, rng: np.random.Generator) -> pa.Table:
    click = rng.random(rows) < 0.05
    conversion, time_us = click & (rng.random(rows) < 0.1), _times(rows, rng)
    bought_us = pa.array(time_us.cast(pa.int64()).to_numpy() + 3_600_000_000, mask=~conversion)
    number = _ids("m", np.arange(start, start + rows))
    return pa.table(
        {
            "impression_id": number,
            "request_id": number,
            "user_id": _ids("u", rng.integers(0, users, rows)),
            "ad_id": _ids("a", (ADS * rng.random(rows) ** 2).astype(np.int64)),
            "request_time": time_us,
            "device": _ids("d", rng.integers(0, 3, rows)),
            "bid": 0.1 + rng.random(rows),
            "cost": 0.1 * rng.random(rows),
            "click": click.astype(np.int8),
            "conversion": conversion.astype(np.int8),
            "conversion_time": bought_us.cast(pa.timestamp("us", "UTC")),
            "revenue": np.where(conversion, 20 * rng.random(rows), 0.0),
        }
    )


def _ads(start: int, rows: int, users: int, items: int, rng: np.random.Generator) -> pa.Table:
    item = rng.integers(0, items, rows)
    return pa.table(
        {
            "ad_id": _ids("a", np.arange(start, start + rows)),
            "item_id": _ids("i", item),
            "campaign_id": _ids("g", np.arange(rows) % 50),
            "category": _ids("c", item % 500),
            "bid": 0.1 + rng.random(rows),
            "price": 1 + 99 * rng.random(rows),
        }
    )


_TABLES = {"events": _events, "impressions": _impressions, "ads": _ads}


def _ids(prefix: str, numbers: np.ndarray) -> pa.Array:
    return pa.array(np.char.add(prefix, numbers.astype(str)))


def _rare(rows: int, rng: np.random.Generator) -> np.ndarray:
    return np.searchsorted([0.8, 0.93, 0.98], rng.random(rows))


def _times(rows: int, rng: np.random.Generator) -> pa.Array:
    return pa.array(START_US + rng.integers(0, DAYS * DAY_US, rows)).cast(pa.timestamp("us", "UTC"))


def _in_a_process(folder: str, events: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one size in a fresh process: what an allocator keeps of one size must not count for the next."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measure, (folder, events, arguments.cpus, arguments.rows_per_partition))


def measure(folder: str, events: int, cpus: int, rows_per_partition: int) -> dict[str, Any]:
    """Write a log of so many events, preprocess it and say what that took."""
    from rosa_ray.cluster.connect import prepare_environment

    prepare_environment()
    import ray
    import ray.data

    from rosa_ray.data.preprocess import PreprocessConfig, preprocess
    from rosa_ray.features import FeatureConfig
    from rosa_ray.sources import SourceConfig, open_source

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    log_bytes = write_log(Path(folder) / "log", events)
    ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="WARNING")
    try:
        config = PreprocessConfig(partitions=max(2, -(-events // rows_per_partition)))
        source = open_source(SourceConfig(kind="log", path=f"{folder}/log"))
        with watched() as peaks:
            began = time.perf_counter()
            result = preprocess(source, f"{folder}/data", config, FeatureConfig())
            seconds = time.perf_counter() - began
    finally:
        ray.shutdown()
    return {
        "events": result.report["events"],
        "impressions": result.report["impressions"],
        "users": result.report["users"],
        "counter_rows": result.report["counter_rows"],
        "partitions": config.partitions,
        "log_mb": round(log_bytes / 1e6, 1),
        "seconds": round(seconds, 1),
        "passes": result.report["seconds"],
        "events_per_s": round(result.report["events"] / seconds),
        **{f"peak_{name}_mb": round(peak / 1e6) for name, peak in peaks.items()},
    }


@contextmanager
def watched() -> Iterator[dict[str, int]]:
    """Sample the private memory of Ray's workers and of this process inside the block; yields the peaks, bytes."""
    peaks = {"worker": 0, "all_workers": 0, "driver": 0}
    over = threading.Event()
    thread = threading.Thread(target=_sample, args=(peaks, over), daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def _sample(peaks: dict[str, int], over: threading.Event) -> None:
    driver = psutil.Process()
    while not over.wait(SAMPLE_S):
        workers = [_private_bytes(process) for process in driver.children(recursive=True)]
        for name, size in (
            ("worker", max(workers, default=0)),
            ("all_workers", sum(workers)),
            ("driver", _private(driver)),
        ):
            peaks[name] = max(peaks[name], size)


def _private_bytes(process: psutil.Process) -> int:
    """Private memory of a Ray worker, 0 of any other process and of one that just ended."""
    try:
        return _private(process) if process.cmdline()[0].startswith("ray::") else 0
    except (psutil.Error, IndexError):
        return 0


def _private(process: psutil.Process) -> int:
    memory = process.memory_info()
    return int(memory.rss - memory.shared)


def show(document: dict[str, Any]) -> None:
    """Print the rows."""
    names = (
        "events",
        "partitions",
        "seconds",
        "events_per_s",
        "peak_worker_mb",
        "peak_all_workers_mb",
        "peak_driver_mb",
    )
    table = Table(*names, title="preprocessing against rows")
    for row in document["rows"]:
        table.add_row(*(f"{row[name]:,}" for name in names))
    Console().print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--millions", type=float, nargs="+", default=[0.2, 0.5, 1.0], help="sizes, million events")
    parser.add_argument("--cpus", type=int, default=2, help="tasks at a time")
    parser.add_argument("--rows-per-partition", type=int, default=100_000)
    parser.add_argument("--folder", default=None, help="where logs and data lie; default: the temporary directory")
    parser.add_argument("--out", default="", help="JSON file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
