"""The source kind `kafka`: a consumer group shares a topic's partitions, positions are the store's (extra `kafka`)."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from rosa_ray.errors import StreamError
from rosa_ray.streaming.protocol import PolledRecords, PositionOf

try:
    import confluent_kafka
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
except ImportError:
    confluent_kafka = None  # type: ignore[assignment]

BROKER_TIMEOUT_S = 10.0

logger = logging.getLogger(__name__)


def require_kafka() -> None:
    """Check that the extra is installed.

    Raises:
        StreamError: it is not.
    """
    if confluent_kafka is None:
        raise StreamError("stream.kind 'kafka' needs the confluent-kafka package: pip install 'rosa-ray[kafka]'")


class KafkaSource:
    """Reads the partitions that the group gives to this process.

    Offsets are not committed for reading: when a partition is assigned, reading starts at the store's position. They
    are committed after each batch only so that Kafka's tools can display the lag.

    Args:
        settings: further settings of librdkafka.

    Raises:
        StreamError: the package is missing, a setting is wrong, no broker answers, or there is no such topic.
    """

    def __init__(self, brokers: str, topic: str, group: str, settings: Mapping[str, str] | None = None) -> None:
        require_kafka()
        self._brokers, self._topic = brokers, topic
        self._failure: StreamError | None = None
        self._position_of: PositionOf = lambda stream: None
        self._next: dict[int, int] = {}
        self._joined = False
        given = {
            "bootstrap.servers": brokers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            **(settings or {}),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "error_cb": self._on_error,
        }
        try:
            self._consumer = Consumer(given)
            self._require_topic()
            self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke)
        except KafkaException as error:
            raise self._error(error.args[0]) from error

    def resume(self, position_of: PositionOf) -> None:
        """See `RecordSource.resume`."""
        self._position_of = position_of
        try:
            if assigned := self._consumer.assignment():
                self._consumer.assign([self._start(partition) for partition in assigned])
        except KafkaException as error:
            raise self._error(error.args[0]) from error

    def poll(self, max_records: int, timeout_s: float) -> list[PolledRecords]:
        """See `RecordSource.poll`."""
        try:
            messages = self._consumer.consume(max_records, timeout_s)
        except KafkaException as error:
            raise self._error(error.args[0]) from error
        if self._failure is not None:
            raise self._failure
        found: dict[int, tuple[list[int], list[bytes]]] = {}
        for message in messages:
            if message.error() is not None:
                self._on_error(message.error())
                continue
            offsets, records = found.setdefault(int(message.partition() or 0), ([], []))
            offsets.append(int(message.offset() or 0))
            records.append(message.value() or b"")
        batches = [
            PolledRecords(self._stream(number), offsets, offsets[-1] + 1, records)
            for number, (offsets, records) in found.items()
        ]
        self._next |= {number: offsets[-1] + 1 for number, (offsets, _) in found.items()}
        return batches

    def acknowledge(self, batches: Sequence[PolledRecords]) -> None:
        """See `RecordSource.acknowledge`."""
        offsets = [TopicPartition(self._topic, _number(batch.stream), batch.next_offset) for batch in batches]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            logger.warning("kafka %s: lag not committed: %s", self._topic, error.args[0].str())

    def lag(self) -> int:
        """See `RecordSource.lag`; at least 1 until the group has assigned partitions, if only none."""
        total = 0 if self._joined else 1
        try:
            for partition in self._consumer.assignment():
                low, high = self._consumer.get_watermark_offsets(partition, BROKER_TIMEOUT_S, cached=False)
                total += max(high - max(self._next.get(partition.partition, low), low), 0)
        except KafkaException as error:
            raise self._error(error.args[0]) from error
        return total

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    @property
    def assigned(self) -> list[int]:
        """Numbers of the partitions that this process reads."""
        return sorted(partition.partition for partition in self._consumer.assignment())

    def _require_topic(self) -> None:
        known = self._consumer.list_topics(self._topic, BROKER_TIMEOUT_S).topics[self._topic]
        if known.error is not None:
            raise StreamError(f"kafka {self._brokers}: topic '{self._topic}': {known.error.str()}")

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        consumer.assign([self._start(partition) for partition in partitions])
        self._joined = True

    def _on_revoke(self, consumer: Any, partitions: list[Any]) -> None:
        for partition in partitions:
            self._next.pop(partition.partition, None)

    def _start(self, partition: Any) -> Any:
        """Where to read a partition from; remembered, so that the lag counts from there."""
        position = self._position_of(self._stream(partition.partition))
        if position is None:
            low, _ = self._consumer.get_watermark_offsets(partition, BROKER_TIMEOUT_S, cached=False)
            position = low
        self._next[partition.partition] = position
        return TopicPartition(self._topic, partition.partition, position)

    def _on_error(self, error: Any) -> None:
        """Lost connections are made again by librdkafka; what is fatal or not permitted is raised."""
        refused = (KafkaError._AUTHENTICATION, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART)
        if error.fatal() or error.code() in refused:
            self._failure = self._error(error)
        else:
            logger.warning("kafka %s: %s", self._topic, error.str())

    def _stream(self, number: int) -> str:
        return f"kafka/{self._topic}/{number}"

    def _error(self, error: Any) -> StreamError:
        return StreamError(f"kafka {self._brokers}, topic '{self._topic}': {error.str()}")


def _number(stream: str) -> int:
    return int(stream.rpartition("/")[2])
