"""Partitions are merged by time: none runs so far ahead that the store takes records of the others for late ones."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.features import FeatureConfig
from rosa_ray.records.dead_letters import DeadLetters
from rosa_ray.records.log import LogConfig, LogWriter
from rosa_ray.store import OnlineStore, StoreConfig, open_store
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.streaming.consumer import Consumer
from rosa_ray.streaming.consumer_metrics import ConsumerMetrics
from rosa_ray.streaming.local_log import LocalLog
from rosa_ray.streaming.merge import AT_END_US, PartitionMerge
from rosa_ray.streaming.protocol import PolledRecords
from rosa_ray.streaming.reached import reached_name
from tests.streaming.fakes import MemoryStore
from tests.streaming.test_consumer import PARSER

DAYS = 20
HOUR_US = 3_600_000_000


def write_partitions(root: Path, counts: Sequence[int], days: Sequence[float] | None = None) -> None:
    """In-order partitions that begin together, of so many records each, over so many days each."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number, count in enumerate(counts):
        step = timedelta(days=DAYS if days is None else days[number]) / max(count, 1)
        with LogWriter(root / str(number), LogConfig(fsync="never")) as writer:
            writer.append(
                [
                    json.dumps(
                        {
                            "event_id": f"{number}-{row}",
                            "user_id": f"u{row % 7}-{number}",
                            "item_id": f"i{row % 20}",
                            "behavior": "click",
                            "event_time": (start + step * row).isoformat(),
                        }
                    ).encode()
                    for row in range(count)
                ]
            )


@pytest.fixture
def store(tmp_path: Path) -> OnlineStore:
    return open_store(StoreConfig(path=str(tmp_path / "store.db")), FeatureConfig(), "f", create=True)


def backfill(root: Path, store: OnlineStore, **settings: int) -> ConsumerMetrics:
    source = LocalLog(root, "records")
    metrics = Consumer(source, store, PARSER, config=StreamConfig(**{"poll_ms": 1, **settings})).run(until_end=True)
    source.close()
    return metrics


@pytest.mark.parametrize("counts", [(2000, 2000, 2000, 2000), (4000, 40, 40, 3), (3000, 0, 1000)])
def test_a_backfill_of_in_order_partitions_keeps_every_record(
    tmp_path: Path, store: OnlineStore, counts: tuple[int, ...]
) -> None:
    write_partitions(tmp_path / "stream", counts)
    metrics = backfill(tmp_path / "stream", store)
    assert (metrics.accepted, metrics.refused, metrics.held_records) == (sum(counts), {}, 0)
    store.close()


def test_partitions_that_end_at_different_times_wait_for_each_other_no_longer_than_that(
    tmp_path: Path, store: OnlineStore
) -> None:
    write_partitions(tmp_path / "stream", (500, 2000, 1000), (2, 30, 15))
    assert backfill(tmp_path / "stream", store, max_batch=128).accepted == 3500
    store.close()


def test_applied_records_of_partitions_are_within_the_skew(tmp_path: Path) -> None:
    write_partitions(tmp_path / "stream", (900, 300, 30))
    store = MemoryStore()
    source = LocalLog(tmp_path / "stream", "records")
    Consumer(source, store, PARSER, config=StreamConfig(poll_ms=1, skew_minutes=720)).run(until_end=True)
    source.close()
    newest_us, behind_us = 0, 0
    for part in store.applied:
        for time_us in part["time_us"].tolist():
            behind_us = max(behind_us, newest_us - time_us)
            newest_us = max(newest_us, time_us)
    assert len(store.applied) > 5
    assert behind_us <= 12 * HOUR_US


def test_what_is_refused_is_refused_once_whether_it_waits_or_not(tmp_path: Path, store: OnlineStore) -> None:
    write_partitions(tmp_path / "stream", (600, 20))
    for number in range(2):
        path = tmp_path / "stream" / str(number) / "00000000000000000000.jsonl"
        lines = path.read_bytes().splitlines()
        path.write_bytes(b"\n".join(one for line in lines for one in (line, b"broken", b"  ")) + b"\n")
    source, judged = LocalLog(tmp_path / "stream", "records"), list[bytes]()
    letters = DeadLetters(tmp_path / "dead")
    consumer = Consumer(source, store, PARSER, letters, StreamConfig(poll_ms=1))
    parse = consumer._parse
    consumer._parse = lambda lines: judged.extend(lines) or parse(lines)  # type: ignore[func-returns-value, method-assign]
    metrics = consumer.run(until_end=True)
    source.close()
    assert (metrics.records, metrics.accepted, metrics.blank, metrics.refused) == (1860, 620, 620, {"malformed": 620})
    assert len(judged) == 1860
    places = [json.loads(line) for line in (tmp_path / "dead" / "records.jsonl").read_text().splitlines()]
    assert sorted((one["stream"], one["offset"]) for one in places) == [
        (f"log/records/{number}", 3 * row + 1) for number, count in ((0, 600), (1, 20)) for row in range(count)
    ]
    store.close()


@pytest.mark.parametrize("turns", [(1, 1), (1, 5), (9, 1)])
def test_two_readers_of_one_topic_wait_for_each_other(
    tmp_path: Path, store: OnlineStore, turns: tuple[int, int]
) -> None:
    """One of them gets more turns than the other."""
    write_partitions(tmp_path / "stream", (1500, 1500))
    sources = [LocalLog(tmp_path / "stream", "records", (number, 2)) for number in range(2)]
    consumers = [Consumer(source, store, PARSER, config=StreamConfig(poll_ms=1, max_batch=64)) for source in sources]
    for consumer in consumers:
        consumer._reached._now_s = iter(range(1_000_000)).__next__
    for _ in range(2000):
        for consumer, count in zip(consumers, turns, strict=True):
            for _ in range(count):
                consumer.step()
        if sum(consumer.metrics.records for consumer in consumers) == 3000:
            break
    assert [consumer.metrics.accepted for consumer in consumers] == [1500, 1500]
    for consumer in consumers:
        consumer.step()
    assert [store.read_position(reached_name(f"log/records/{number}")) for number in range(2)] == [AT_END_US] * 2
    for source in sources:
        source.close()
    store.close()


def test_a_reader_that_was_stopped_holds_the_other_no_longer_than_the_patience(
    tmp_path: Path, store: OnlineStore
) -> None:
    write_partitions(tmp_path / "stream", (500, 500))
    source = LocalLog(tmp_path / "stream", "records", (0, 2))
    consumer = Consumer(source, store, PARSER, config=StreamConfig(poll_ms=1, partition_patience_s=1.0))
    for _ in range(9):
        consumer.step()
    assert 0 < consumer.metrics.accepted < 20
    assert consumer.metrics.held_records > 400
    assert consumer.run(until_end=True).accepted == 500
    source.close()
    store.close()


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def polled(stream: str, first: int, hours: Sequence[int]) -> tuple[list[PolledRecords], np.ndarray]:
    offsets = range(first, first + len(hours))
    batch = PolledRecords(stream, offsets, first + len(hours), [b"%d" % hour for hour in hours])
    return [batch], np.array(hours, np.int64) * HOUR_US


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def merge(clock: Clock) -> PartitionMerge:
    return PartitionMerge(skew_us=2 * HOUR_US, patience_s=10.0, most_held=8, now_s=clock)


def taken(merge: PartitionMerge, unfinished: set[str], **others: int | None) -> dict[str, list[bytes]]:
    batches = merge.take(unfinished, others).batches
    return {batch.stream: list(batch.records) for batch in batches}


def test_a_leading_partition_waits_and_is_not_polled(merge: PartitionMerge) -> None:
    merge.add(*polled("a", 0, [1, 2, 3, 4, 5, 6, 7]))
    assert not merge.ready({"a", "b"}, {})
    merge.add(*polled("b", 0, [1, 2]))
    assert taken(merge, {"a", "b"}) == {"a": [b"1", b"2", b"3", b"4"], "b": [b"1", b"2"]}
    assert (merge.held, merge.holding, merge.full({"a"}), merge.full({"a", "b"})) == (3, {"a"}, set(), set())
    assert merge.full({"a", "b", "c"}) == {"a"}
    assert taken(merge, {"a"}) == {"a": [b"5", b"6", b"7"]}


def test_disorder_within_a_partition_keeps_its_order(merge: PartitionMerge) -> None:
    merge.add(*polled("a", 0, [5, 1, 0, 6]))
    merge.add(*polled("b", 0, [4]))
    found = merge.take(set(), {})
    assert [list(batch.records) for batch in found.batches] == [[b"5", b"1", b"0", b"6"], [b"4"]]
    assert (found.time_us // HOUR_US).tolist() == [5, 5, 5, 6, 4]


def test_a_partition_that_says_nothing_is_waited_for_only_so_long(merge: PartitionMerge, clock: Clock) -> None:
    merge.add(*polled("a", 0, [1]))
    assert taken(merge, {"a", "b"}) == {}
    clock.now_s += 11
    assert taken(merge, {"a", "b"}) == {"a": [b"1"]}


@pytest.mark.parametrize(("told", "expected"), [(3, 5), (None, 3), (AT_END_US // HOUR_US, 9)])
def test_partitions_of_other_readers_hold_back_too(
    merge: PartitionMerge, clock: Clock, told: int | None, expected: int
) -> None:
    merge.add(*polled("a", 0, [1, 2, 3, 4, 5, 6, 7, 8, 9]))
    reached_us = None if told is None else min(told * HOUR_US, AT_END_US) if told < 10 else AT_END_US
    assert len(taken(merge, {"a"}, other=reached_us).get("a", [])) == expected
    clock.now_s += 11
    assert sum(map(len, taken(merge, {"a"}, other=reached_us).values())) == 9 - expected


@pytest.mark.parametrize("hours", [[6, 7, 8], [6], [6, 7, 8, 9, 9]])
def test_what_is_polled_again_takes_the_place_of_what_was_held(merge: PartitionMerge, hours: list[int]) -> None:
    merge.add(*polled("a", 4, [7, 8]))
    merge.add(*polled("a", 3, hours))
    batches = merge.take(set(), {}).batches
    assert [(list(batch.offsets), batch.next_offset) for batch in batches] == [
        (list(range(3, 3 + len(hours))), 3 + len(hours))
    ]


def test_partitions_of_another_reader_are_forgotten(merge: PartitionMerge) -> None:
    merge.add(*polled("a", 0, [1]))
    merge.add(*polled("b", 0, [2]))
    merge.keep({"b"})
    assert taken(merge, set()) == {"b": [b"2"]}


def test_offsets_without_records_move_the_position(merge: PartitionMerge) -> None:
    merge.add([PolledRecords("a", [], 9, [])], np.empty(0, np.int64))
    (batch,) = merge.take(set(), {}).batches
    assert (batch.next_offset, list(batch.records)) == (9, [])


@pytest.mark.parametrize("step", [1, 3])
def test_positions_never_pass_over_what_is_held(merge: PartitionMerge, step: int) -> None:
    hours = list(range(0, 30, step))
    merge.add(*polled("a", 0, hours))
    merge.add(*polled("b", 0, [0]))
    first, _ = merge.take({"a", "b"}, {}).batches
    assert first.next_offset == len([hour for hour in hours if hour <= 2])
    rest: Callable[[], list[PolledRecords]] = lambda: merge.take({"a"}, {}).batches  # noqa: E731
    (second,) = rest()
    assert second.first_offset == first.next_offset
    assert second.next_offset == len(hours)
