"""A Kafka broker inside librdkafka, for tests of the wire."""

from collections.abc import Sequence

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
