"""Settings of the record stream: where records come from, and how they are folded."""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from rosa_ray.records.log import LogConfig
from rosa_ray.settings import section, wrong
from rosa_ray.units import DAY_US, MINUTE_US


@section("stream")
class StreamConfig:
    """Which stream `rosa ingest` folds into the online store."""

    kind: Literal["log", "kafka"] = "log"
    """`log`, a local directory, or `kafka`, which needs the extra `kafka`."""
    path: str = "stream"
    """Directory of the log, below the run when relative."""
    topic: Annotated[str, MinLen(1)] = "records"
    """The Kafka topic; it also names the log's positions in the store."""
    partitions: Annotated[int, Ge(1)] = 1
    """Partitions of a log that is written here. Users are spread over them by hash."""
    brokers: str = "127.0.0.1:9092"
    """Kafka's `bootstrap.servers`."""
    group: str = "rosa"
    """Kafka consumer group. Processes of one group share the partitions."""
    kafka: Mapping[str, str] = field(default_factory=dict)
    """Further settings of librdkafka, such as `security.protocol`. Write `sasl.password: env:NAME` or `file:PATH`."""
    log: LogConfig = field(default_factory=LogConfig)
    """How a local log is written."""
    min_batch: Annotated[int, Ge(1)] = 64
    """Records applied in one transaction, at least as soon as they are there."""
    max_batch: Annotated[int, Ge(1)] = 8192
    """Records applied in one transaction, at most. A batch grows and shrinks between the two."""
    batch_ms: Annotated[int, Ge(1)] = 250
    """Time that applying a batch should take."""
    poll_ms: Annotated[int, Ge(1)] = 500
    """How long to wait for records."""
    max_future_s: Annotated[int, Ge(0)] = 300
    """A record further ahead of the clock is refused."""
    max_line_bytes: Annotated[int, Ge(1)] = 16_384
    """A longer record is refused."""
    store_patience_s: Annotated[float, Ge(0)] = 60.0
    """While the store fails, try again this long before giving up."""
    source_patience_s: Annotated[float, Ge(0)] = 600.0
    """While the log or the broker cannot be reached, try again this long before giving up."""
    skew_minutes: Annotated[int, Ge(1)] = 360
    """A partition waits while its records are further ahead than this of the slowest one that has more to give.
    Half of `store.dedup_horizon_days` at most is used."""
    partition_patience_s: Annotated[float, Ge(0)] = 60.0
    """A partition that gives nothing for this long holds the others no more."""
    dead_letters: str = "dead-letters"
    """Directory of refused records, below the run when relative."""
    dead_letter_mb: Annotated[int, Ge(1)] = 64
    """Size of that directory, per process."""

    @property
    def skew_us(self) -> int:
        """How far partitions may be ahead of each other, microseconds."""
        return self.skew_minutes * MINUTE_US

    def within(self, dedup_horizon_days: int) -> "StreamConfig":
        """The same with a skew that keeps what waits inside of the time for which a store remembers ids.

        >>> StreamConfig(skew_minutes=9999).within(dedup_horizon_days=1).skew_minutes
        720
        """
        return replace(self, skew_minutes=min(self.skew_minutes, dedup_horizon_days * DAY_US // MINUTE_US // 2))

    def __post_init__(self) -> None:
        if self.max_batch < self.min_batch:
            raise wrong(self, "max_batch", f"it must be at least stream.min_batch ({self.min_batch})")
        if "/" in self.topic:
            raise wrong(self, "topic", "it must be a name without '/'")
