"""Kafka as the source of live records: away, shared by consumers of which one hangs, with tombstones."""

import json
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from rosa_ray.chaos import processes
from rosa_ray.chaos.bench import Bench
from rosa_ray.chaos.case import CaseList, Seen
from rosa_ray.chaos.kafka_broker import KafkaBroker
from rosa_ray.chaos.service import RosaProcess
from rosa_ray.chaos.streams_bench import compare, lines_of, pipeline_of, records_of, settings_of
from rosa_ray.streaming.assembly import build_pipeline

CASES = CaseList("kafka")

AWAY_S = 60.0
TOPIC = "records"
_EQUAL = "every record counts once: features equal those of a clean store bit for bit"
_PARTS = 4


def broker_of(bench: Bench) -> KafkaBroker:
    """A broker that ends with the case."""
    broker = KafkaBroker()
    bench.cleanups.append(broker.stop)
    return broker


def dealt(records: list[dict[str, Any]]) -> list[list[bytes | None]]:
    """Records over the partitions, each in order."""
    return [[*lines_of(records[number::_PARTS])] for number in range(_PARTS)]


def ingest(bench: Bench, broker: KafkaBroker, store: Path, name: str) -> RosaProcess:
    """`rosa ingest` from the broker until it is ended."""
    command = bench.command(
        "ingest",
        store__path=store,
        stream__kind="kafka",
        stream__brokers=broker.servers,
        stream__topic=TOPIC,
        stream__dead_letters=bench.scratch / "dead-letters",
        stream__kafka=json.dumps({"session.timeout.ms": "6000", "socket.timeout.ms": "5000", "log_level": "0"}),
    )
    return bench.start(command, name)


def applied(bench: Bench, store: Path) -> int:
    """Records of the topic that the store has read."""
    pipeline = build_pipeline(settings_of(bench, store))
    try:
        return sum(pipeline.store.read_position(f"kafka/{TOPIC}/{number}") or 0 for number in range(_PARTS))
    finally:
        pipeline.close()


def read_all(bench: Bench, store: Path, count: int, limit_s: float) -> bool:
    """Wait until the store has read so many records."""
    return processes.wait_until(lambda: applied(bench, store) >= count, limit_s, 1.0)


@CASES.add(f"the Kafka broker hangs for {AWAY_S:g} s while `rosa ingest` runs", f"it goes on; {_EQUAL}", limit_s=200)
def broker_away(bench: Bench) -> Seen:
    """A broker that is replaced."""
    broker, store, records = broker_of(bench), bench.store(), records_of(bench, 1200, timedelta(hours=1))
    broker.append(TOPIC, dealt(records[:600]))
    consumer = ingest(bench, broker, store, "ingest")
    if not read_all(bench, store, 600, 45.0):
        return Seen("nothing was read", [f"it read nothing before the broker was away: {consumer.last_line()}"])
    broker.pause()
    time.sleep(AWAY_S)
    alive = consumer.running
    broker.go_on()
    broker.append(TOPIC, dealt(records[600:]))
    back_s = time.monotonic()
    whole = read_all(bench, store, 1200, 40.0)
    recovery_s = time.monotonic() - back_s
    short = [] if alive else [f"`rosa ingest` ended: {consumer.last_line()}"]
    short += [] if whole else [f"{applied(bench, store)} of 1,200 records were read 40 s after it was back"]
    consumer.end(10.0)
    return Seen("read on" if whole else "stopped", short, recovery_s=recovery_s).also(
        compare(bench, store, records) if whole else []
    )


@CASES.add("one of two consumers of a group hangs for 15 s (SIGSTOP)", f"the other goes on; {_EQUAL}", limit_s=150)
def one_of_two_hangs(bench: Bench) -> Seen:
    """Its partitions go to the other one, and it comes back."""
    broker, store, records = broker_of(bench), bench.store(), records_of(bench, 1600, timedelta(hours=1))
    broker.append(TOPIC, dealt(records[:400]))
    pair = [ingest(bench, broker, store, f"ingest-{number}") for number in range(2)]
    read_all(bench, store, 400, 45.0)
    pair[0].process.send_signal(signal.SIGSTOP)
    broker.append(TOPIC, dealt(records[400:1000]))
    time.sleep(15.0)
    meanwhile = applied(bench, store)
    pair[0].process.send_signal(signal.SIGCONT)
    broker.append(TOPIC, dealt(records[1000:]))
    whole = read_all(bench, store, 1600, 40.0)
    short = [f"a consumer ended: {one.last_line()}" for one in pair if not one.running]
    short += [] if meanwhile >= 1000 else [f"{meanwhile} of 1,000 records were read while it hung"]
    short += [] if whole else [f"{applied(bench, store)} of 1,600 records were read at the end"]
    for one in pair:
        one.end(10.0)
    return Seen(f"{meanwhile} of 1,000 read meanwhile").also(
        [*short, *(compare(bench, store, records) if whole else [])]
    )


@CASES.add("tombstones among the records of a topic", "they are nothing: neither counted nor refused", limit_s=60)
def tombstones(bench: Bench) -> Seen:
    """What a compacted topic keeps of what was deleted."""
    broker, store, records = broker_of(bench), bench.store(), records_of(bench, 90)
    lines: list[bytes | None] = []
    for line in lines_of(records):
        lines += [line, None]
    broker.append(TOPIC, [lines])
    options = {"group.id": "tombstones", "log_level": "0"}
    pipeline = pipeline_of(bench, store, kind="kafka", brokers=broker.servers, topic=TOPIC, kafka=options)
    until_s = time.monotonic() + 20.0
    while pipeline.consumer.metrics.accepted < len(records) and time.monotonic() < until_s:
        pipeline.consumer.step()
    refused = dict(pipeline.consumer.metrics.refused)
    short = [f"refused: {refused}"] if refused else []
    return Seen(f"{pipeline.consumer.metrics.accepted} records taken").also([*short, *compare(bench, store, records)])
