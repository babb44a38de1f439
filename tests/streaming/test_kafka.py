"""Kafka: groups, restarts and errors that the contract of sources does not say. The broker is librdkafka's mock."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rosa_ray.errors import StoreError, StreamAwayError, StreamError
from rosa_ray.features import FeatureConfig
from rosa_ray.parity.replay_sinks import KafkaSink
from rosa_ray.records import EXAMPLES, RecordParser
from rosa_ray.schema import hash_id
from rosa_ray.store import StoreConfig, open_store
from rosa_ray.streaming import kafka
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.streaming.consumer import Consumer
from rosa_ray.streaming.kafka import KafkaSource
from tests.streaming.fakes import MemoryStore
from tests.streaming.kafka_broker import BrokerProcess, MockBroker
from tests.streaming.test_consumer import ADS

QUIET = {"log_level": "0", "socket.timeout.ms": "1000"}


@pytest.fixture(scope="module")
def broker() -> MockBroker:
    return MockBroker()


def events(count: int) -> list[bytes]:
    return [json.dumps({**EXAMPLES["event"], "event_id": f"e{number}"}).encode() for number in range(count)]


def ids(store: MemoryStore) -> list[str]:
    return sorted(str(name) for part in store.applied for name in part["record_id"])


@pytest.mark.nightly
def test_what_is_produced_is_folded_once_over_restarts(broker: MockBroker) -> None:
    """The store would count a repeated record again; the group's own offsets are of no account."""
    store, lines = MemoryStore(dedup=False), events(60)
    sink = KafkaSink(broker.servers, "folded", {})
    for some in (lines[:40], lines[40:]):
        assert sink.send(some, [f"u{number}" for number in range(len(some))]).accepted == len(some)
        source = broker.source("folded", "folding")
        Consumer(source, store, RecordParser(ADS), config=StreamConfig(poll_ms=200)).run(until_end=True)
        source.close()
    sink.close()
    assert ids(store) == sorted(f"e{number}" for number in range(60))
    assert sum(store.read_position(f"kafka/folded/{number}") or 0 for number in range(4)) == 60


def test_a_group_shares_the_partitions(broker: MockBroker) -> None:
    """What comes once both have joined is read once, by one of them."""
    broker.append("shared", 0, events(1))
    sources = [broker.source("shared", "sharing") for _ in range(2)]
    stores = [MemoryStore(dedup=False), MemoryStore(dedup=False)]
    consumers = [
        Consumer(source, store, RecordParser(ADS), config=StreamConfig(poll_ms=200))
        for source, store in zip(sources, stores, strict=True)
    ]

    def step_until(reached: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < give_up_s, [source.assigned() for source in sources]
            for consumer in consumers:
                consumer.step()

    def settled() -> bool:
        """Both have two partitions, and whoever has the first one has read what lay there."""
        owns = ["kafka/shared/0" in source.assigned() for source in sources]
        return [len(source.assigned()) for source in sources] == [2, 2] and len(ids(stores[owns.index(True)])) > 0

    step_until(settled)
    assert sorted(stream for source in sources for stream in source.assigned()) == [
        f"kafka/shared/{number}" for number in range(4)
    ]
    before = [len(ids(store)) for store in stores]
    for partition in range(4):
        broker.append("shared", partition, events(5))
    step_until(lambda: sum(len(ids(store)) for store in stores) >= sum(before) + 20)
    assert [len(ids(store)) for store in stores] == [count + 10 for count in before]
    for source in sources:
        source.close()


def test_an_empty_message_is_malformed(broker: MockBroker) -> None:
    broker.append("empty", 0, [b"", *events(1)])
    source, store = broker.source("empty", "empty"), MemoryStore()
    metrics = Consumer(source, store, RecordParser(ADS), config=StreamConfig(poll_ms=200)).run(until_end=True)
    source.close()
    assert (metrics.accepted, metrics.refused) == (1, {"malformed": 1})


def test_a_message_without_a_value_is_nothing(broker: MockBroker) -> None:
    for partition, values in ((0, [None, *events(2), None]), (1, [None])):
        broker.append("tombstones", partition, values)  # type: ignore[arg-type]
    source, store = broker.source("tombstones", "tombstones"), MemoryStore()
    metrics = Consumer(source, store, RecordParser(ADS), config=StreamConfig(poll_ms=200)).run(until_end=True)
    source.close()
    assert (metrics.records, metrics.accepted, metrics.blank, metrics.refused) == (5, 2, 3, {})
    assert [store.read_position(f"kafka/tombstones/{number}") for number in (0, 1)] == [4, 1]


@pytest.mark.nightly
def test_a_broker_that_is_away_for_a_while_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    away = BrokerProcess()
    try:
        away.append("hiccup", 0, events(3))
        source, store, stopped = KafkaSource(away.servers, "hiccup", "hiccup", QUIET), MemoryStore(), threading.Event()
        consumer = Consumer(source, store, RecordParser(ADS), config=StreamConfig(poll_ms=100))
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(consumer.run, stopped.is_set)
            wait_for(lambda: len(ids(store)) == 3 and consumer.metrics.lag_records == 0)
            with away.halted():
                time.sleep(3)
                assert not running.done()
            away.append("hiccup", 1, events(9)[3:])
            wait_for(lambda: len(ids(store)) == 9)
            stopped.set()
            assert running.result(20).accepted == 9
        source.close()
    finally:
        away.close()
    assert "the lag is not known" in caplog.text


def test_a_store_that_fails_while_partitions_are_given_out_loses_none_of_them(broker: MockBroker) -> None:
    """The group gives partitions out once; the reader keeps them until the store can be asked."""
    for partition in range(4):
        broker.append("granted", partition, events(4)[partition : partition + 1])
    source, store = broker.source("granted", "granted"), MemoryStore()
    asked = iter([True, True])

    def position(stream: str) -> int | None:
        if next(asked, False):
            raise StoreError("store: down")
        return None

    store.read_position = position  # type: ignore[method-assign]
    metrics = Consumer(source, store, RecordParser(ADS), config=StreamConfig(poll_ms=100)).run(until_end=True)
    source.close()
    assert (metrics.accepted, metrics.retries) == (4, 2)


def test_records_that_the_broker_removed_unread_are_counted(
    broker: MockBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """The mock keeps five megabytes of a partition."""
    broker.append("removed", 0, [b'{"n": "' + b"x" * 100_000 + b'"}'] * 80)
    source = broker.source("removed", "removed")
    source.resume(lambda stream: 3)
    found: list[int] = []
    wait_for(
        lambda: found.extend(one for batch in source.poll(100, 0.2) for one in batch.offsets) or found[-1:] == [79]
    )
    assert 3 < found[0] < 79
    assert (source.removed(), source.lag()) == (found[0] - 3, 0)
    assert f"kafka/removed/0: records 3 to {found[0]} were removed unread" in caplog.text
    source.close()


def test_paused_partitions_are_not_read_until_they_go_on(broker: MockBroker) -> None:
    for partition in (0, 1):
        broker.append("paused", partition, events(2))
    source = broker.source("paused", "paused")
    source.resume(lambda stream: None)
    wait_for(lambda: source.poll(1, 0.1) or len(source.assigned()) == 4)
    source.resume(lambda stream: None)
    found: list[str] = []
    wait_for(lambda: found.extend(one.stream for one in source.poll(9, 0.3, {"kafka/paused/0"})) or found)
    assert {*found} == {"kafka/paused/1"}
    assert "kafka/paused/0" in source.unfinished()
    wait_for(lambda: found.extend(one.stream for one in source.poll(9, 0.3)) or "kafka/paused/0" in found)
    wait_for(lambda: source.poll(9, 0.1) == [] and source.unfinished() == set())
    source.close()


def test_one_of_two_consumers_that_stops_hands_its_partitions_over(broker: MockBroker) -> None:
    """It stops without a word; the group gives its partitions to the other one after `session.timeout.ms`."""
    for partition in range(4):
        broker.append("handed", partition, events(40)[10 * partition : 10 * partition + 10])
    store = MemoryStore(dedup=False)
    sources = [broker.source("handed", "handing") for _ in range(2)]
    consumers = [
        Consumer(source, store, RecordParser(ADS), config=StreamConfig(poll_ms=100, partition_patience_s=1))
        for source in sources
    ]

    def both() -> bool:
        for consumer in consumers:
            consumer.step()
        return [len(source.assigned()) for source in sources] == [2, 2] and len(ids(store)) == 40

    wait_for(both)
    more = [json.dumps({**EXAMPLES["event"], "event_id": f"later{number}"}).encode() for number in range(20)]
    for partition in range(4):
        broker.append("handed", partition, more[5 * partition : 5 * partition + 5])
    sources[1].close()  # what the broker sees once the session of a stopped process ends
    wait_for(lambda: consumers[0].step() == 0 and len(ids(store)) == 60)
    assert len(set(ids(store))) == 60
    sources[0].close()


def fold_into_store(servers: str, path: str, shared: Sequence[Any]) -> None:
    """What the second process does: folds until it is told to end."""
    store = open_store(StoreConfig(path=path), FeatureConfig(), "f", create=True)
    source = KafkaSource(servers, "frozen", "freezing", {**QUIET, "session.timeout.ms": "6000"})
    consumer = Consumer(source, store, RecordParser(ADS), config=StreamConfig(poll_ms=100, partition_patience_s=1))
    assigned, stopped = shared
    consumer.run(lambda: bool(assigned.put(len(source.assigned()))) or stopped.is_set())


@pytest.mark.nightly
def test_a_consumer_that_is_frozen_and_wakes_up_counts_nothing_twice(broker: MockBroker, tmp_path: Path) -> None:
    """Its session ends meanwhile, and the other consumer reads its partitions from where the store stands."""
    for partition in range(4):
        broker.append("frozen", partition, events(40)[10 * partition : 10 * partition + 10])
    context = multiprocessing.get_context("spawn")
    assigned, stopped = context.Queue(), context.Event()
    store = open_store(StoreConfig(path=str(tmp_path / "store.db")), FeatureConfig(), "f", create=True)
    other = context.Process(
        target=fold_into_store, args=(broker.servers, str(tmp_path / "store.db"), (assigned, stopped)), daemon=True
    )
    other.start()
    source = broker.source("frozen", "freezing")
    consumer = Consumer(source, store, RecordParser(ADS), config=StreamConfig(poll_ms=100, partition_patience_s=1))

    def held() -> int:
        """Events in the timelines; all are of one user."""
        consumer.step()
        return len(store.read_user(hash_id(str(EXAMPLES["event"]["user_id"]))).timeline["time_us"])

    try:
        wait_for(lambda: held() == 40 and len(source.assigned()) == 2)
        assert other.pid is not None
        os.kill(other.pid, signal.SIGSTOP)
        for partition in range(4):
            lines = [{**EXAMPLES["event"], "event_id": f"later{partition}-{number}"} for number in range(5)]
            broker.append("frozen", partition, [json.dumps(line).encode() for line in lines])
        wait_for(lambda: held() == 60 and len(source.assigned()) == 4)
        os.kill(other.pid, signal.SIGCONT)
        wait_for(lambda: held() == 60 and len(source.assigned()) == 2)
    finally:
        stopped.set()
        os.kill(other.pid or 0, signal.SIGCONT)
        other.join(20)
        other.kill()
    counted = store.read_counters("user_events", np.array([hash_id(str(EXAMPLES["event"]["user_id"]))]))
    assert counted["user_events"].sums.sum() == 60
    source.close()
    store.close()


def wait_for(reached: Callable[[], object], seconds: float = 60) -> None:
    give_up_s = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)


def test_brokers_that_do_not_answer_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "BROKER_TIMEOUT_S", 0.5)
    with pytest.raises(StreamAwayError, match=r"kafka 127\.0\.0\.1:9, topic 'records': ") as caught:
        KafkaSource("127.0.0.1:9", "records", "rosa", {"log_level": "0"})
    assert "\n" not in str(caught.value)


def test_a_wrong_setting_is_one_line(broker: MockBroker) -> None:
    with pytest.raises(StreamError, match="No such configuration property"):
        KafkaSource(broker.servers, "records", "rosa", {"no.such.setting": "1"})
    with pytest.raises(StreamError, match="No such configuration property"):
        KafkaSink(broker.servers, "records", {"no.such.setting": "1"})


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "confluent_kafka", None)
    with pytest.raises(StreamError, match=r"pip install 'rosa-ray\[kafka\]'"):
        KafkaSource("127.0.0.1:9", "records", "rosa")
