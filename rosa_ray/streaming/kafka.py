"""The source kind `kafka`: a consumer group shares a topic's partitions, positions are the store's (extra `kafka`)."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rosa_ray.errors import StreamAwayError, StreamError
from rosa_ray.settings.secrets import resolve_each
from rosa_ray.streaming.protocol import PolledRecords, PositionOf

try:
    import confluent_kafka
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
except ImportError:
    confluent_kafka = None  # type: ignore[assignment]

BROKER_TIMEOUT_S = 10.0
LAG_TIMEOUT_S = 1.0

NOTHING = b" "
"""Stands for a message without a value, which says that a key is gone. Records have no keys."""

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
        settings: further settings of librdkafka; values may be references, see `rosa_ray.settings.secrets`.

    Raises:
        ConfigError: a reference leads nowhere.
        StreamAwayError: no broker answers.
        StreamError: the package is missing, a setting is wrong, or there is no such topic.
    """

    def __init__(self, brokers: str, topic: str, group: str, settings: Mapping[str, str] | None = None) -> None:
        require_kafka()
        self._brokers, self._topic = brokers, topic
        self._failure: StreamError | None = None
        self._position_of: PositionOf = lambda stream: None
        self._granted: set[int] = set()
        self._paused: set[int] = set()
        self._next: dict[int, int] = {}
        self._ended: set[int] = set()
        self._removed: dict[tuple[int, int], int] = {}
        self._joined = False
        given = {
            "bootstrap.servers": brokers,
            "group.id": group,
            **resolve_each(settings or {}, "stream.kafka"),
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "error_cb": self._on_error,
        }
        with self._calling():
            self._consumer = Consumer(given)
            self._partitions = self._require_topic()
            self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke)

    def resume(self, position_of: PositionOf) -> None:
        """See `RecordSource.resume`."""
        self._position_of = position_of
        with self._calling():
            if self._granted:
                self._assign({number: position_of(self._stream(number)) for number in self._granted})

    def poll(self, max_records: int, timeout_s: float, paused: Collection[str] = ()) -> list[PolledRecords]:
        """See `RecordSource.poll`."""
        with self._calling():
            self._pause({_number(stream) for stream in paused} & self._granted)
            messages = self._consumer.consume(max_records, timeout_s)
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            former, found, lost = dict(self._next), dict[int, tuple[list[int], list[bytes]]](), set[int]()
            for message in messages:
                number, offset = int(message.partition() or 0), int(message.offset() or 0)
                if message.error() is not None:
                    lost |= self._on_event(message.error(), number, offset)
                    continue
                offsets, records = found.setdefault(number, ([], []))
                offsets.append(offset)
                value = message.value()
                records.append(NOTHING if value is None else value)
                self._next[number] = offset + 1
                self._ended.discard(number)
            if lost:
                self._assign({**dict.fromkeys(self._granted), **self._next, **self._first_of(lost)})
        moved = [number for number, offset in self._next.items() if offset != former.get(number, 0)]
        return [self._batch(number, *found.get(number, ([], []))) for number in moved]

    def acknowledge(self, batches: Sequence[PolledRecords]) -> None:
        """See `RecordSource.acknowledge`."""
        offsets = [TopicPartition(self._topic, _number(batch.stream), batch.next_offset) for batch in batches]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            logger.warning("kafka %s: lag not committed: %s", self._topic, error.args[0].str())

    def assigned(self) -> set[str]:
        """See `RecordSource.assigned`."""
        return {self._stream(number) for number in self._granted}

    def unfinished(self) -> set[str]:
        """See `RecordSource.unfinished`."""
        return {self._stream(number) for number in self._granted - self._ended}

    def others(self) -> set[str]:
        """See `RecordSource.others`."""
        return {self._stream(number) for number in self._partitions - self._granted}

    def lag(self) -> int:
        """See `RecordSource.lag`; at least 1 until the group has assigned partitions, if only none."""
        total = 0 if self._joined else 1
        with self._calling():
            for number in self._granted:
                low, high = self._watermarks(number, LAG_TIMEOUT_S)
                total += max(high - max(self._next.get(number, low), low), 0)
        return total

    def removed(self) -> int:
        """See `RecordSource.removed`."""
        return sum(stop - start for (_, start), stop in self._removed.items())

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _batch(self, number: int, offsets: list[int], records: list[bytes]) -> PolledRecords:
        return PolledRecords(self._stream(number), offsets, self._next[number], records)

    def _require_topic(self) -> set[int]:
        known = self._consumer.list_topics(self._topic, BROKER_TIMEOUT_S).topics[self._topic]
        if known.error is not None:
            raise StreamError(f"kafka {self._brokers}: topic '{self._topic}': {known.error.str()}")
        return {*known.partitions}

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        self._granted = {partition.partition for partition in partitions}
        self._joined = True
        self._assign({number: self._position_of(self._stream(number)) for number in self._granted})

    def _on_revoke(self, consumer: Any, partitions: list[Any]) -> None:
        gone = {partition.partition for partition in partitions}
        self._granted -= gone
        self._ended -= gone
        self._next = {number: offset for number, offset in self._next.items() if number not in gone}

    def _assign(self, positions: Mapping[int, int | None]) -> None:
        """Read the granted partitions from these positions on, or from their beginnings."""
        self._next = {number: offset for number, offset in positions.items() if offset is not None}
        self._ended, self._paused = set(), set()
        starts = {number: OFFSET_BEGINNING if offset is None else offset for number, offset in positions.items()}
        self._consumer.assign([TopicPartition(self._topic, number, start) for number, start in starts.items()])

    def _pause(self, paused: set[int]) -> None:
        """Let the broker send nothing of these partitions, and of the others again."""
        going_on, halting = (self._paused & self._granted) - paused, paused - self._paused
        if going_on:
            self._consumer.resume([TopicPartition(self._topic, number) for number in going_on])
        if halting:
            self._consumer.pause([TopicPartition(self._topic, number) for number in halting])
        self._paused = paused

    def _on_event(self, error: Any, number: int, offset: int) -> set[int]:
        """A partition's end was reached, or something failed; returns it where its position is not there any more."""
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            return {number}
        if error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(number)
            self._next[number] = max(self._next.get(number, 0), offset)
        else:
            self._on_error(error)
        return set()

    def _first_of(self, lost: set[int]) -> dict[int, int]:
        """First offsets of partitions whose reader retention has overtaken, or that were made anew."""
        firsts = {}
        for number in lost:
            low, high = self._watermarks(number, BROKER_TIMEOUT_S)
            position = self._next.get(number, low)
            if position < low:
                logger.warning("%s: records %d to %d were removed unread", self._stream(number), position, low)
                self._removed[number, position] = low
            else:
                logger.warning("%s: ends at %d, before %d: it is read anew", self._stream(number), high, position)
            firsts[number] = low
        return firsts

    def _watermarks(self, number: int, timeout_s: float) -> tuple[int, int]:
        found = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout_s, cached=False)
        if found is None:
            raise StreamAwayError(f"kafka {self._brokers}, topic '{self._topic}': no answer about partition {number}")
        low, high = found
        return int(low), int(high)

    def _on_error(self, error: Any) -> None:
        """Lost connections are made again by librdkafka; what is fatal or not permitted is raised."""
        failure = self._error(error)
        if isinstance(failure, StreamAwayError):
            logger.warning("kafka %s: %s", self._topic, error.str())
        else:
            self._failure = failure

    def _stream(self, number: int) -> str:
        return f"kafka/{self._topic}/{number}"

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Turn errors of the client into errors of the source."""
        try:
            yield
        except KafkaException as error:
            raise self._error(error.args[0]) from error

    def _error(self, error: Any) -> StreamError:
        for_good = (
            KafkaError._AUTHENTICATION,
            KafkaError._INVALID_ARG,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        )
        kind = StreamError if error.fatal() or error.code() in for_good else StreamAwayError
        return kind(f"kafka {self._brokers}, topic '{self._topic}': {error.str()}")


def _number(stream: str) -> int:
    return int(stream.rpartition("/")[2])
