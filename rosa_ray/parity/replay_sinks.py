"""Where a replay goes: the partitions of a local log, a Kafka topic, or anything else that takes records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import xxhash

from rosa_ray.errors import StreamError
from rosa_ray.records.log import LogConfig, LogWriter
from rosa_ray.settings.secrets import resolve_each
from rosa_ray.streaming.kafka import require_kafka
from rosa_ray.streaming.log_layout import require_local

_FLUSH_S = 30.0


@dataclass(frozen=True)
class Sent:
    """What became of records that were sent: taken, seen before, and rejected by reason."""

    accepted: int
    duplicates: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)


class Sink(Protocol):
    """Where a replay goes."""

    def send(self, lines: list[bytes], user_ids: list[str]) -> Sent:
        """Send records with the users they belong to."""
        ...

    def rank(self, body: dict[str, Any]) -> bool:
        """Ask for a ranking; False when it was not answered. A sink that cannot rank is not asked."""
        ...

    def close(self) -> None: ...


class LogSink:
    """Appends to the partitions of a local log, users spread by hash.

    Raises:
        ConfigError: the log is not on a disk of this machine.
        StreamError: the log is being written by another process.
    """

    def __init__(self, root: str, partitions: int, config: LogConfig) -> None:
        require_local(root)
        self._writers = [LogWriter(f"{root}/{number}", config) for number in range(partitions)]

    def send(self, lines: list[bytes], user_ids: list[str]) -> Sent:
        """See `Sink.send`."""
        parts: dict[int, list[bytes]] = {}
        for line, user_id in zip(lines, user_ids, strict=True):
            parts.setdefault(xxhash.xxh64_intdigest(user_id.encode()) % len(self._writers), []).append(line)
        for number, some in parts.items():
            self._writers[number].append(some)
        return Sent(len(lines))

    def rank(self, body: dict[str, Any]) -> bool:
        """See `Sink.rank`."""
        return False

    def close(self) -> None:
        """Close the segments."""
        for writer in self._writers:
            writer.close()


class KafkaSink:
    """Produces to a topic, keyed by user, with acknowledgement of all replicas and without repetitions.

    Raises:
        StreamError: the package is missing or a setting is wrong.
    """

    def __init__(self, brokers: str, topic: str, settings: Mapping[str, str]) -> None:
        require_kafka()
        from confluent_kafka import KafkaException, Producer

        self._brokers, self._topic, self._failed = brokers, topic, 0
        try:
            self._producer = Producer(
                {
                    "bootstrap.servers": brokers,
                    "enable.idempotence": True,
                    "linger.ms": 5,
                    **resolve_each(settings, "stream.kafka"),
                }
            )
        except KafkaException as error:
            raise StreamError(f"kafka {brokers}: {error.args[0].str()}") from error

    def send(self, lines: list[bytes], user_ids: list[str]) -> Sent:
        """See `Sink.send`; returns when all are acknowledged."""
        self._failed = 0
        for line, user_id in zip(lines, user_ids, strict=True):
            self._producer.produce(self._topic, line, key=user_id.encode(), on_delivery=self._delivered)
        if self._producer.flush(_FLUSH_S):
            raise StreamError(f"kafka {self._brokers}: topic '{self._topic}' took no records for {_FLUSH_S:g} s")
        rejected = {"undelivered": self._failed} if self._failed else {}
        return Sent(len(lines) - self._failed, rejected=rejected)

    def rank(self, body: dict[str, Any]) -> bool:
        """See `Sink.rank`."""
        return False

    def close(self) -> None:
        """Wait for what is under way."""
        self._producer.flush(_FLUSH_S)

    def _delivered(self, error: Any, message: Any) -> None:
        self._failed += error is not None
