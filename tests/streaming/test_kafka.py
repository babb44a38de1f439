"""Kafka: groups, restarts and errors that the contract of sources does not say. The broker is librdkafka's mock."""

import json
import time
from collections.abc import Callable

import pytest

from rosa_ray.errors import StreamError
from rosa_ray.parity.replay_sinks import KafkaSink
from rosa_ray.records import EXAMPLES, RecordParser
from rosa_ray.streaming import kafka
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.streaming.consumer import Consumer
from rosa_ray.streaming.kafka import KafkaSource
from tests.streaming.fakes import MemoryStore
from tests.streaming.kafka_broker import MockBroker
from tests.streaming.test_consumer import ADS


@pytest.fixture(scope="module")
def broker() -> MockBroker:
    return MockBroker()


def events(count: int) -> list[bytes]:
    return [json.dumps({**EXAMPLES["event"], "event_id": f"e{number}"}).encode() for number in range(count)]


def ids(store: MemoryStore) -> list[str]:
    return sorted(str(name) for part in store.applied for name in part["record_id"])


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
            assert time.monotonic() < give_up_s, [source.assigned for source in sources]
            for consumer in consumers:
                consumer.step()

    def settled() -> bool:
        """Both have two partitions, and whoever has the first one has read what lay there."""
        owns = [0 in source.assigned for source in sources]
        return [len(source.assigned) for source in sources] == [2, 2] and len(ids(stores[owns.index(True)])) > 0

    step_until(settled)
    assert sorted(number for source in sources for number in source.assigned) == [0, 1, 2, 3]
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


def test_brokers_that_do_not_answer_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "BROKER_TIMEOUT_S", 0.5)
    with pytest.raises(StreamError, match=r"kafka 127\.0\.0\.1:9, topic 'records': ") as caught:
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
