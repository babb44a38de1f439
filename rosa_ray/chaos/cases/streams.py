"""Live records on their way into the store: killed readers, backfills, retention, full disks, wrong clocks."""

import logging
import time
import zlib
from datetime import timedelta
from pathlib import Path

import numpy as np

from rosa_ray.chaos import processes
from rosa_ray.chaos.bench import Bench, mount_tmpfs, unmount
from rosa_ray.chaos.case import CaseList, NotHere, Seen
from rosa_ray.chaos.streams_bench import (
    compare,
    lines_of,
    pipeline_of,
    records_of,
    settings_of,
    shuffled,
    write_log,
)
from rosa_ray.errors import StoreError, StreamError
from rosa_ray.parity.faults import RandomlyKilled, SimulatedKill
from rosa_ray.records.log import LogConfig, LogWriter, segments_of
from rosa_ray.streaming.assembly import build_pipeline
from rosa_ray.streaming.local_log import LocalLog
from rosa_ray.units import HOUR_US

CASES = CaseList("streams")

EQUAL = "every record counts once: features equal those of a clean store bit for bit"
_KILLS = 14


@CASES.add("5,000 records and 1,000 repeats, shuffled, the consumer killed 14 times", EQUAL, limit_s=60)
def consumer_killed(bench: Bench) -> Seen:
    """Before or after a call took effect."""
    records, store = records_of(bench, 5000, timedelta(hours=6)), bench.store()
    write_log(bench.scratch / "stream", [shuffled(records, 1000, seed=1)])
    rng, kills = np.random.default_rng(5), 0
    while True:
        pipeline = build_pipeline(settings_of(bench, store, min_batch=64, max_batch=256))
        consumer = pipeline.consumer
        if kills < _KILLS:
            consumer._source = RandomlyKilled(pipeline.source, rng, 8, ("resume", "poll"))
            consumer._store = RandomlyKilled(pipeline.store, rng, 8, ("apply",))
        try:
            consumer.run(until_end=True)
        except SimulatedKill:
            kills += 1
        else:
            break
        finally:
            pipeline.close()
    short = [f"it was killed {kills} times only"] if kills < _KILLS else []
    return Seen(f"killed {kills} times, 6,000 lines read").also([*short, *compare(bench, store, records)])


@CASES.add("`rosa ingest` is killed five times while it reads", EQUAL, limit_s=120)
def ingest_killed(bench: Bench) -> Seen:
    """SIGKILL, at other moments each time."""
    records, store = records_of(bench, 4000, timedelta(hours=6)), bench.store()
    write_log(bench.scratch / "stream", [shuffled(records, 500, seed=2)])
    command = bench.command(
        "ingest",
        "--until-end",
        store__path=store,
        stream__path=bench.scratch / "stream",
        stream__dead_letters=bench.scratch / "dead-letters",
        stream__min_batch=16,
        stream__max_batch=32,
    )
    began, kills = time.monotonic(), 0
    first = bench.start(command, "ingest-0")
    processes.wait_until(lambda: _position(bench, store) > 0 or not first.running, 40)
    start_s = time.monotonic() - began
    for number in range(1, 6):
        time.sleep(0.05 * number)
        kills += first.running
        processes.end_tree(first.process.pid)
        first = bench.start(command, f"ingest-{number}")
        time.sleep(start_s if number < 5 else 0)
    code = first.wait(60)
    short = [] if code == 0 else [f"the last one ended with {code}: {first.last_line()}"]
    return Seen(f"{kills} killed while they ran").also([*short, *compare(bench, store, records)])


def _position(bench: Bench, store: Path) -> int:
    pipeline = build_pipeline(settings_of(bench, store))
    try:
        return pipeline.store.read_position("log/records/0") or 0
    except StoreError:
        return 0
    finally:
        pipeline.close()


@CASES.add("a backfill of four partitions of 20 days, each in order", "no record is late", limit_s=90)
def backfill(bench: Bench) -> Seen:
    """A partition that is read ahead must not make the others late."""
    store, parts = bench.store(), 4
    records = records_of(bench, 12_000, timedelta(days=20))
    dealt: list[list[dict[str, object]]] = [[] for _ in range(parts)]
    for record in records:
        dealt[zlib.crc32(str(record["user_id"]).encode()) % parts].append(record)
    write_log(bench.scratch / "stream", dealt)
    metrics = pipeline_of(bench, store).consumer.run(until_end=True)
    refused = dict(metrics.refused)
    short = [f"{count:,} of {len(records):,} records are {reason}" for reason, count in refused.items()]
    return Seen(f"{len(records):,} records read, refused {refused or 'none'}").also(
        short or compare(bench, store, records)
    )


@CASES.add(
    "retention removes segments that were not read yet",
    "the reader says how many it lost, and goes on with those that are there",
)
def overtaken(bench: Bench) -> Seen:
    """A consumer that was away for longer than the log keeps."""
    store, root = bench.store(), bench.scratch / "stream"
    config = LogConfig(segment_mb=1, retention_mb=1, fsync="never")
    first, records = pipeline_of(bench, store), records_of(bench, 24_000, timedelta(hours=3))
    said = _Warnings()
    with LogWriter(root / "0", config) as writer, said:
        writer.append(lines_of(records[:1000]))
        first.consumer.run(until_end=True)
        for start in range(1000, len(records), 1000):
            writer.append(lines_of(records[start : start + 1000]))
        kept = len(records) - segments_of(root / "0")[0].first_offset
        try:
            metrics = first.consumer.run(until_end=True)
        except (StreamError, OSError) as error:
            return Seen(f"{type(error).__name__}", [f"the reader ends: {type(error).__name__}: {str(error)[:160]}"])
    short = []
    if metrics.records < 1000 + kept:
        short.append(f"{metrics.records:,} records were read, {kept:,} were still there after the first 1,000")
    if not said.with_number():
        short.append("nothing says how many records were lost")
    return Seen(f"{metrics.records:,} of {len(records):,} read, {kept:,} were kept", short)


class _Warnings(logging.Handler):
    """Warnings of the streams that came in the block."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())

    def __enter__(self) -> "_Warnings":
        logging.getLogger("rosa_ray").addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("rosa_ray").removeHandler(self)

    def with_number(self) -> bool:
        """Whether one names a number."""
        return any(any(letter.isdigit() for letter in one) for one in self.said)


@CASES.add("the log's disk is full, then there is room again", "acknowledged records are read, each at its own offset")
def log_disk_full(bench: Bench) -> Seen:
    """Segments are named by offsets, which a half-written batch must not move."""
    place = bench.scratch / "small"
    if reason := mount_tmpfs(place, 3):
        raise NotHere(f"no file system of its own can be mounted: {reason}")
    bench.cleanups.append(lambda: unmount(place))
    filler, acknowledged, errors = place / "filler", list[bytes](), 0
    filler.write_bytes(b"0" * (1 << 20))
    lines = lines_of(records_of(bench, 16_000))
    with LogWriter(place / "stream" / "0", LogConfig(segment_mb=1, fsync="never")) as writer:
        for start in range(0, len(lines), 500):
            some = lines[start : start + 500]
            try:
                writer.append(some)
            except StreamError:
                errors += 1
                if errors == 3:
                    filler.unlink()
            else:
                acknowledged += some
    source, read, wrong = LocalLog(place / "stream", "records"), list[bytes](), 0
    source.resume(lambda stream: None)
    while batches := source.poll(1000, 0.05):
        for batch in batches:
            wrong += batch.first_offset != len(read)
            read += batch.records
    source.close()
    kept = iter(read)
    missing = sum(line not in kept for line in acknowledged)
    short = [f"{missing} of {len(acknowledged)} acknowledged records are not read in order"] if missing else []
    short += [f"{wrong} batches begin at an offset that is not theirs"] if wrong else []
    short += ["the disk never was full"] if not errors else []
    return Seen(f"{errors} appends refused, {len(acknowledged):,} acknowledged, {len(read):,} read", short)


@CASES.add(
    "two processes write 4,000 dead letters into a directory of 400 kB",
    "half of the room at least holds whole letters, the newest among them",
)
def dead_letters_shared(bench: Bench) -> Seen:
    """Replicas of a service share the directory."""
    import json
    import subprocess
    import sys

    place = bench.scratch / "letters"
    code = (
        "import sys\n"
        "from rosa_ray.records.dead_letters import DeadLetter, DeadLetters\n"
        "letters = DeadLetters(sys.argv[1], 'http', 400_000)\n"
        "for n in range(2000):\n"
        "    letters.write([DeadLetter('malformed', 'of ' + sys.argv[2], 'http', n, b'x' * 60)])\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(place), str(number)]) for number in range(2)]
    for writer in writers:
        writer.wait(60)
    broken, offsets, size = 0, dict[str, int](), 0
    for file in place.glob("*.jsonl"):
        size += file.stat().st_size
        for line in file.read_bytes().splitlines():
            try:
                letter = json.loads(line)
            except ValueError:
                broken += 1
            else:
                offsets[letter["detail"]] = max(offsets.get(letter["detail"], 0), letter["offset"])
    short = [f"{broken} lines are broken"] if broken else []
    short += [f"{size:,} bytes are kept of 400,000"] if size < 180_000 else []
    short += [f"of {name} the newest kept is {last}" for name, last in offsets.items() if last < 1999]
    return Seen(f"{size:,} bytes kept, the newest are {offsets}", short)


@CASES.add(
    "the clock jumps back an hour while records come, then forward again",
    "no record is lost: what was refused lies among the dead letters as it came",
)
def clock_jumps(bench: Bench) -> Seen:
    """A host that was set wrongly."""
    import json
    from dataclasses import replace

    store = bench.store()
    records = records_of(bench, 600)
    write_log(bench.scratch / "stream", [records])
    pipeline = pipeline_of(bench, store, min_batch=100, max_batch=100)
    consumer, behind_us = pipeline.consumer, [0]
    consumer._parser = replace(consumer._parser, now_us=lambda: time.time_ns() // 1000 - behind_us[0])
    for number in range(6):
        behind_us[0] = HOUR_US if number in (2, 3) else 0
        consumer.step()
    letters = [
        json.loads(line)
        for file in (bench.scratch / "dead-letters").glob("*.jsonl")
        for line in file.read_bytes().splitlines()
    ]
    kept = [json.loads(letter["record"]) for letter in letters if "record" in letter]
    refused = sum(consumer.metrics.refused.values())
    short = [] if len(kept) == refused else [f"{refused} refused, {len(kept)} kept as they came"]
    names = {_name(one) for one in kept}
    applied = [one for one in records if _name(one) not in names]
    return Seen(f"{refused} refused while it was wrong, all kept").also([*short, *compare(bench, store, applied)])


def _name(record: dict[str, object]) -> tuple[object, object]:
    return record.get("type"), record.get("event_id") or record.get("impression_id")
