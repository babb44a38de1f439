"""Settings of the record stream: where records come from, and how they are folded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rosa_ray.errors import ConfigError
from rosa_ray.records.log import LogConfig

KINDS = ("log", "kafka")

_AT_LEAST_ONE = (
    "partitions",
    "min_batch",
    "max_batch",
    "batch_ms",
    "poll_ms",
    "max_line_bytes",
    "dead_letter_mb",
)


@dataclass(frozen=True)
class StreamConfig:
    """Which stream `rosa ingest` folds into the online store.

    Attributes:
        kind: `log`, a local directory, or `kafka` (extra `kafka`).
        path: directory of the log, below the run when relative.
        topic: the Kafka topic; also names the log's positions in the store.
        partitions: of a log that is written here; users are spread over them by hash.
        brokers: Kafka's `bootstrap.servers`.
        group: Kafka consumer group; processes of one group share the partitions.
        kafka: further settings of librdkafka, such as `security.protocol`.
        log: how a local log is written.
        min_batch: records applied in one transaction, at least as soon as they are there.
        max_batch: the same, at most; a batch grows and shrinks between the two.
        batch_ms: time that applying a batch should take.
        poll_ms: how long to wait for records.
        max_future_s: a record further ahead of the clock is refused.
        max_line_bytes: a longer record is refused.
        store_patience_s: while the store fails, try again this long before giving up.
        dead_letters: directory of refused records, below the run when relative.
        dead_letter_mb: size of that directory, per process.
    """

    kind: str = "log"
    path: str = "stream"
    topic: str = "records"
    partitions: int = 1
    brokers: str = "127.0.0.1:9092"
    group: str = "rosa"
    kafka: Mapping[str, str] = field(default_factory=dict)
    log: LogConfig = field(default_factory=LogConfig)
    min_batch: int = 64
    max_batch: int = 8192
    batch_ms: int = 250
    poll_ms: int = 500
    max_future_s: int = 300
    max_line_bytes: int = 16_384
    store_patience_s: float = 60.0
    dead_letters: str = "dead-letters"
    dead_letter_mb: int = 64

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"stream.kind is '{self.kind}'; give {' or '.join(KINDS)}")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(f"stream.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("max_future_s", "store_patience_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"stream.{name} is {getattr(self, name)}; it must not be negative")
        if self.max_batch < self.min_batch:
            raise ConfigError(f"stream.max_batch is {self.max_batch}, below stream.min_batch ({self.min_batch})")
        if not self.topic or "/" in self.topic:
            raise ConfigError(f"stream.topic is '{self.topic}'; give a name without '/'")
