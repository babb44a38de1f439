"""What every source of live records must do: one suite, run on each implementation."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from rosa_ray.records.log import LogWriter
from rosa_ray.streaming.local_log import LocalLog
from rosa_ray.streaming.protocol import PolledRecords, RecordSource
from tests.streaming.kafka_broker import MockBroker

PATIENCE_S = 15.0


@dataclass
class World:
    """A topic with partitions 0 and 1 at least.

    Attributes:
        append: puts records into a partition.
        open_source: opens the source anew, as after a restart.
        prefix: of stream names.
    """

    append: Callable[[int, Sequence[bytes]], None]
    open_source: Callable[[], RecordSource]
    prefix: str


@pytest.fixture(scope="module")
def broker() -> MockBroker:
    return MockBroker()


@pytest.fixture(params=["log", "kafka"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    opened: list[RecordSource] = []

    def keep(source: RecordSource) -> RecordSource:
        opened.append(source)
        return source

    if request.param == "kafka":
        broker: MockBroker = request.getfixturevalue("broker")
        topic = tmp_path.name
        broker.append(topic, 0, [])
        yield World(
            lambda partition, records: broker.append(topic, partition, records),
            lambda: keep(broker.source(topic, topic)),
            f"kafka/{topic}",
        )
    else:

        def append(partition: int, records: Sequence[bytes]) -> None:
            with LogWriter(tmp_path / str(partition)) as writer:
                writer.append(records)

        yield World(append, lambda: keep(LocalLog(tmp_path, "records")), "log/records")
    for source in opened:
        source.close()


def numbered(start: int, stop: int) -> list[bytes]:
    return [b'{"n": %d}' % number for number in range(start, stop)]


def drain(source: RecordSource, expected: int, max_records: int = 100) -> dict[str, list[PolledRecords]]:
    """Poll until so many records came; one more poll must bring nothing."""
    found: dict[str, list[PolledRecords]] = defaultdict(list)
    count, deadline_s = 0, time.monotonic() + PATIENCE_S
    while count < expected and time.monotonic() < deadline_s:
        batches = source.poll(max_records, 0.2)
        assert sum(len(batch.records) for batch in batches) <= max_records
        assert len({batch.stream for batch in batches}) == len(batches)
        for batch in batches:
            found[batch.stream].append(batch)
            count += len(batch.records)
        source.acknowledge(batches)
    assert count == expected
    assert source.poll(max_records, 0.0) == []
    return found


def records_of(batches: list[PolledRecords]) -> list[bytes]:
    return [record for batch in batches for record in batch.records]


def require_contiguous(batches: list[PolledRecords], start: int) -> None:
    for batch in batches:
        assert list(batch.offsets) == list(range(batch.first_offset, batch.next_offset))
        assert len(batch.offsets) == len(batch.records)
    assert batches[0].first_offset == start
    assert all(one.next_offset == other.first_offset for one, other in pairwise(batches))


def resume(source: RecordSource, positions: Mapping[str, int]) -> None:
    source.resume(positions.get)


def test_every_record_once_in_order_from_the_beginning_and_as_they_come(world: World) -> None:
    world.append(0, numbered(0, 25))
    world.append(1, numbered(100, 103))
    source = world.open_source()
    resume(source, {})
    found = drain(source, 28, max_records=10)
    assert set(found) == {f"{world.prefix}/0", f"{world.prefix}/1"}
    assert records_of(found[f"{world.prefix}/0"]) == numbered(0, 25)
    assert records_of(found[f"{world.prefix}/1"]) == numbered(100, 103)
    require_contiguous(found[f"{world.prefix}/0"], 0)
    world.append(0, numbered(25, 27))
    assert source.lag() == 2
    assert records_of(drain(source, 2)[f"{world.prefix}/0"]) == numbered(25, 27)
    assert source.lag() == 0


def test_a_restart_goes_on_at_the_stores_position_whatever_was_acknowledged(world: World) -> None:
    world.append(0, numbered(0, 20))
    first = world.open_source()
    resume(first, {})
    drain(first, 20)
    first.close()
    world.append(0, numbered(20, 22))
    source = world.open_source()
    resume(source, {f"{world.prefix}/0": 15})
    found = drain(source, 7)[f"{world.prefix}/0"]
    assert records_of(found) == numbered(15, 22)
    require_contiguous(found, 15)


def test_resuming_goes_back_while_open(world: World) -> None:
    world.append(0, numbered(0, 12))
    world.append(1, numbered(50, 55))
    source = world.open_source()
    resume(source, {f"{world.prefix}/0": 5})
    drain(source, 12)
    resume(source, {f"{world.prefix}/0": 3, f"{world.prefix}/1": 5})
    assert records_of(drain(source, 9)[f"{world.prefix}/0"]) == numbered(3, 12)


def test_records_are_bytes_as_they_came(world: World) -> None:
    odd = [b"\xff\xfe not text", b"{}", "λ".encode(), b" " * 3000]
    world.append(0, odd)
    source = world.open_source()
    resume(source, {})
    assert records_of(drain(source, 4)[f"{world.prefix}/0"]) == odd
