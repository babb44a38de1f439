"""What cases of streams share: records of the run, a log that holds them, and the consumer that `rosa ingest` runs."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.ledger import Ledger
from rosa_ray.chaos.live import bodies_of
from rosa_ray.records.log import LogConfig, LogWriter
from rosa_ray.streaming.assembly import Pipeline, StreamSettings, build_pipeline
from rosa_ray.streaming.config import StreamConfig


def records_of(bench: Bench, count: int, spread: timedelta = timedelta(0), session: str = "") -> list[dict[str, Any]]:
    """Records by time, the last of them now.

    Args:
        spread: how long ago the first of them happened.
    """
    bodies = bodies_of(bench)
    if session:
        bodies = replace(bodies, session=session)
    now = datetime.now(UTC)
    step = spread / max(count - 1, 1)
    return [bodies.event(number, now - spread + number * step) for number in range(count)]


def lines_of(records: Sequence[dict[str, Any]]) -> list[bytes]:
    """As a log or Kafka holds them."""
    return [json.dumps(one, separators=(",", ":")).encode() for one in records]


def write_log(root: Path, parts: Sequence[Sequence[dict[str, Any]]], config: LogConfig | None = None) -> None:
    """Write a log, a partition a list of records."""
    for number, records in enumerate(parts):
        with LogWriter(root / str(number), config or LogConfig(fsync="never")) as writer:
            writer.append(lines_of(records))


def settings_of(bench: Bench, store: Path, **stream: Any) -> StreamSettings:
    """Of a consumer of the copied run."""
    served = bench.copy.served(store)
    config = StreamConfig(
        **{
            "path": str(bench.scratch / "stream"),
            "dead_letters": str(bench.scratch / "dead-letters"),
            "poll_ms": 20,
            **stream,
        }
    )
    return StreamSettings(served.bundle, served.store, config, served.privacy, served.records)


def pipeline_of(bench: Bench, store: Path, **stream: Any) -> Pipeline:
    """The consumer; it is closed with the case."""
    pipeline = build_pipeline(settings_of(bench, store, **stream))
    bench.cleanups.append(pipeline.close)
    return pipeline


def compare(bench: Bench, store: Path, records: Sequence[dict[str, Any]]) -> list[str]:
    """What differs between a store and a clean one that was fed the records once, by time."""
    ledger = Ledger(bench.copy, bench.copy.served(bench.store("clean.db")))
    ledger.add(records)
    return ledger.differences(bench.copy.served(store))


def shuffled(records: Sequence[dict[str, Any]], repeats: int, seed: int) -> list[dict[str, Any]]:
    """The records and some of them again, in another order."""
    draw = random.Random(seed)
    mixed = [*records, *draw.sample(list(records), repeats)]
    draw.shuffle(mixed)
    return mixed
