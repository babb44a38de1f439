"""Log directories on Ray Data: the built-in simulator in parallel, or simulated exposure on a real source's timelines.

`LOG/{events,impressions,ads,candidates,truth}/*.parquet` and `LOG/log.json`, which is written last: without it the
log is incomplete. `candidates` and `truth` exist for the simulator only.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.data.stage import stage_source
from rosa_ray.data.stage_report import StageReport
from rosa_ray.data.staging_area import read_staged
from rosa_ray.data.tasks import run_tasks
from rosa_ray.errors import InputError
from rosa_ray.run_dir import LogDir
from rosa_ray.schema import BEHAVIORS, EVENTS
from rosa_ray.settings.plain import to_plain
from rosa_ray.simulation import (
    ExposureConfig,
    SimulationConfig,
    ads_table,
    build_exposure,
    build_world,
    chunk_tables,
    enact,
    simulate_chunk,
    summarize,
)
from rosa_ray.sources import Source
from rosa_ray.storage import remove_tree, write_json, write_parquet

LOG_TABLES = ("events", "impressions", "ads", "candidates", "truth")


def simulate(config: SimulationConfig, log_dir: str) -> dict[str, Any]:
    """Write a simulated log, replacing what an earlier run left there.

    Ray must be initialised. Each chunk of users is one file under a stable name: a task that is run again writes the
    same rows, and the log does not depend on the number of tasks or their order.

    Args:
        config: size, seed and laws.
        log_dir: local directory that all nodes share, or a URL such as `s3://bucket/run/log`.

    Returns:
        What `log.json` holds: period, counts, rates and the config.

    Raises:
        RosaError: a task could not write.
    """
    _clear(log_dir)
    world = build_world(config)
    ads = enact(config, world).catalogue(ads_table(world))
    write_parquet(ads, LogDir(log_dir).part("ads", 0))
    tasks = min(config.partitions, config.chunks)
    shares = [range(task, config.chunks, tasks) for task in range(tasks)]
    totals: Counter[str] = Counter()
    for counts in run_tasks(partial(_simulate_chunks, config, log_dir), shares, f"writing {log_dir}"):
        totals.update(counts)
    summary = {
        "kind": "simulation",
        "seed": config.seed,
        "start": _iso(config.start_us),
        "end": _iso(config.end_us),
        "policy_start": _iso(config.policy_start_us),
        "users": config.users,
        "ads": ads.num_rows,
        **_with_rates(dict(totals)),
        "config": to_plain(config),
    }
    write_json(summary, LogDir(log_dir).summary)
    return summary


def expose(
    source: Source, config: ExposureConfig, log_dir: str, behaviors: Sequence[str] = BEHAVIORS
) -> tuple[dict[str, Any], StageReport]:
    """Put simulated exposure on a source's real timelines, replacing what an earlier run left in `log_dir`.

    Ray must be initialised. The events of one source must fit in one worker's memory.

    Args:
        source: read for its events; damaged files are set aside.
        config: what to show.
        log_dir: local directory that all nodes share, or a URL.
        behaviors: that an event may have, in rising strength; the strongest is a purchase.

    Returns:
        What `log.json` holds, and what became of each input file.

    Raises:
        InputError: the source has no usable events, or no request can be built on them.
    """
    _clear(log_dir)
    staging = LogDir(log_dir).staging
    report = stage_source(source, staging, partitions=1, behaviors=behaviors)
    write = partial(_expose_part, config, staging, log_dir, behaviors[-1])
    (counts,) = run_tasks(write, [0], f"writing {log_dir}")
    remove_tree(staging)
    summary = {
        "kind": "exposure",
        "seed": config.seed,
        "start": _iso(int(counts.pop("start_us"))),
        "end": _iso(int(counts.pop("end_us"))),
        **_with_rates(counts),
        "files_set_aside": len(report.set_aside),
        "config": to_plain(config),
    }
    write_json(summary, LogDir(log_dir).summary)
    return summary, report


def _simulate_chunks(config: SimulationConfig, log_dir: str, chunks: Iterable[int]) -> Counter[str]:
    world = build_world(config)
    totals: Counter[str] = Counter()
    for chunk in chunks:
        tables = chunk_tables(config, world, simulate_chunk(config, world, chunk))
        for name, table in tables.items():
            write_parquet(table, LogDir(log_dir).part(name, chunk))
        totals.update(summarize(tables))
    return totals


def _expose_part(config: ExposureConfig, staging: str, log_dir: str, purchase: str, part: int) -> dict[str, Any]:
    events = read_staged(staging, EVENTS, part).select(EVENTS.schema.names)
    if not events.num_rows:
        raise InputError("the source has no events; exposure needs the timelines of real users")
    impressions, ads = build_exposure(events, config, purchase)
    tables = {"events": events, "impressions": impressions, "ads": ads}
    for name, table in tables.items():
        write_parquet(table, LogDir(log_dir).part(name, part))
    times = events["event_time"].cast(pa.int64())
    users = pc.count_distinct(events["user_id"]).as_py()
    period = {"start_us": pc.min(times).as_py(), "end_us": pc.max(times).as_py()}
    return {"users": users, **summarize(tables), **period}


def _with_rates(counts: dict[str, Any]) -> dict[str, Any]:
    """Add the rates, null where nothing was shown, clicked or paid."""
    rates = {"ctr": ("clicks", "impressions"), "cvr": ("conversions", "clicks"), "roas": ("revenue", "cost")}
    return counts | {name: counts[top] / counts[base] if counts[base] else None for name, (top, base) in rates.items()}


def _clear(log_dir: str) -> None:
    remove_tree(LogDir(log_dir).summary)
    for name in LOG_TABLES:
        remove_tree(LogDir(log_dir).table(name))


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).isoformat()
