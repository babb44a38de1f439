"""A Kafka broker inside librdkafka, for tests of the wire."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Producer

from rosa_ray.streaming.kafka import KafkaSource


class MockBroker:
    """A one-node cluster that lives as long as its producer; topics have four partitions."""

    def __init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
        brokers = self._producer.list_topics(timeout=10).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def append(self, topic: str, partition: int, records: Sequence[bytes]) -> None:
        """Write records and wait until they are there."""
        for record in records:
            self._producer.produce(topic, record, partition=partition)
        assert self._producer.flush(10) == 0

    def source(self, topic: str, group: str = "rosa") -> KafkaSource:
        return KafkaSource(self.servers, topic, group, {"session.timeout.ms": "6000", "log_level": "0"})


class BrokerProcess:
    """The same in a process of its own, which can be halted as a machine is that hangs."""

    def __init__(self) -> None:
        program = (
            "from tests.streaming.kafka_broker import MockBroker as B; b = B(); print(b.servers, flush=True); input()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.servers = self._process.stdout.readline().strip()
        self._producer = Producer({"bootstrap.servers": self.servers, "log_level": 0})

    def append(self, topic: str, partition: int, records: Sequence[bytes]) -> None:
        for record in records:
            self._producer.produce(topic, record, partition=partition)
        assert self._producer.flush(20) == 0

    @contextmanager
    def halted(self) -> Iterator[None]:
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
