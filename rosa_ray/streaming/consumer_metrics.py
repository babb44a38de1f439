"""What a consumer counts: throughput, lag and refusals, for a line on the console and for Ray's metrics."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rosa_ray.records.ignored_fields import OTHERS, add_fields, in_words
from rosa_ray.units import SECOND_US

_RATE_SPAN_S = 5.0
"""Time that the rate is taken over."""


@dataclass
class ConsumerMetrics:
    """Counts since the start.

    Attributes:
        records: polled; the sum of accepted, duplicates, refused and blank.
        blank: lines of blanks, and messages of Kafka without a value.
        refused: by reason.
        unknown_ads: records, not refused, of ads that the catalogue lacks.
        ignored_fields: fields that no contract knows, and in how many records each stood.
        newest_us: latest own time of an applied record.
        lag_records: polled by nobody yet, as last asked.
        held_records: of these, polled and held back for slower partitions.
        removed_records: that the log let go before they were read.
        retries: batches that were tried again because the store or the source failed.
    """

    records: int = 0
    accepted: int = 0
    duplicates: int = 0
    blank: int = 0
    batches: int = 0
    retries: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unknown_ads: int = 0
    ignored_fields: dict[str, int] = field(default_factory=dict)
    newest_us: int = 0
    lag_records: int = 0
    held_records: int = 0
    removed_records: int = 0
    started_s: float = field(default_factory=time.monotonic)
    _window: tuple[float, int, float] = (0.0, 0, 0.0)

    def applied(self, records: int, accepted: int, duplicates: int, newest_us: int, blank: int = 0) -> None:
        """Count one transaction."""
        self.records += records
        self.accepted += accepted
        self.duplicates += duplicates
        self.blank += blank
        self.batches += 1
        self.newest_us = max(self.newest_us, newest_us)

    def refuse(self, reasons: Mapping[str, int]) -> None:
        """Count refused records by reason."""
        self.refused.update(reasons)

    def met_unknown_ads(self, records: int) -> None:
        """Count records of ads that the catalogue lacks."""
        self.unknown_ads += records

    def ignore(self, fields: Mapping[str, int]) -> None:
        """Count fields that no contract knows."""
        add_fields(self.ignored_fields, fields)

    def retried(self) -> None:
        """Count a batch that will be tried again."""
        self.retries += 1

    def hold(self, records: int) -> None:
        """Note how many records are held back for slower partitions."""
        self.held_records = records

    def measured(self, lag_records: int, removed_records: int = 0) -> None:
        """Note the lag, and how many records are gone unread."""
        self.lag_records, self.removed_records = lag_records, removed_records

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_s

    @property
    def lag_s(self) -> float | None:
        """How far the newest applied record lies behind the clock, seconds; None before the first."""
        return (time.time_ns() // 1000 - self.newest_us) / SECOND_US if self.newest_us else None

    def rate(self) -> float:
        """Records per second over the last seconds."""
        now_s, (since_s, records, rate) = self.seconds, self._window
        if now_s - since_s >= _RATE_SPAN_S or not rate:
            rate = (self.records - records) / max(now_s - since_s, 1e-9)
            if now_s - since_s >= _RATE_SPAN_S:
                self._window = (now_s, self.records, rate)
        return rate

    def snapshot(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {
            "records": self.records,
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "blank": self.blank,
            "refused": dict(sorted(self.refused.items())),
            "unknown_ads": self.unknown_ads,
            "ignored_fields": dict(self.ignored_fields),
            "batches": self.batches,
            "retries": self.retries,
            "records_per_s": round(self.rate(), 1),
            "lag_records": self.lag_records,
            "held_records": self.held_records,
            "removed_records": self.removed_records,
            "lag_s": None if self.lag_s is None else round(self.lag_s, 3),
            "seconds": round(self.seconds, 3),
        }

    def line(self) -> str:
        """One line for people."""
        newest = f"{datetime.fromtimestamp(self.newest_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}Z" if self.newest_us else "none"
        refused = ", ".join(f"{count} {reason}" for reason, count in sorted(self.refused.items())) or "none refused"
        ignored = f", ignored fields {in_words(self.ignored_fields)}" if self.ignored_fields else ""
        unknown = f", {self.unknown_ads} of unknown ads" if self.unknown_ads else ""
        blank = f", {self.blank} blank" if self.blank else ""
        held = f", {self.held_records} of them for slower partitions" if self.held_records else ""
        removed = f", {self.removed_records} removed unread" if self.removed_records else ""
        return (
            f"{self.records} records, {self.rate():.0f}/s, {self.accepted} new, {self.duplicates} repeated, "
            f"{refused}{blank}{unknown}{ignored}; "
            f"newest {newest}, {self.lag_records} waiting{held}{removed}"
        )


class RayConsumerMetrics(ConsumerMetrics):
    """The same, also as Ray exports them to Prometheus."""

    def __init__(self, consumer: str) -> None:
        from ray.util.metrics import Counter as RayCounter
        from ray.util.metrics import Gauge

        super().__init__()
        names = ("consumer",)
        self._outcomes = RayCounter("rosa_stream_records", "Records by outcome.", (*names, "outcome"))
        self._ignored = RayCounter(
            "rosa_stream_ignored_fields", "Records with a field that no contract knows.", (*names, "field")
        )
        self._lag_records = Gauge("rosa_stream_lag_records", "Records that wait to be applied.", names)
        self._lag_s = Gauge("rosa_stream_lag_seconds", "Age of the newest applied record.", names)
        self._unknown_ads = RayCounter("rosa_stream_unknown_ads", "Records of ads that the catalogue lacks.", names)
        self._retries = RayCounter("rosa_stream_retries", "Batches tried again because store or source failed.", names)
        self._held = Gauge("rosa_stream_held_records", "Records that wait for slower partitions.", names)
        self._removed = Gauge("rosa_stream_removed_records", "Records that the log let go unread.", names)
        counted = (self._outcomes, self._ignored, self._unknown_ads, self._retries)
        for metric in (*counted, self._lag_records, self._lag_s, self._held, self._removed):
            metric.set_default_tags({"consumer": consumer})

    def applied(self, records: int, accepted: int, duplicates: int, newest_us: int, blank: int = 0) -> None:
        """Count one transaction."""
        super().applied(records, accepted, duplicates, newest_us, blank)
        self._count({"accepted": accepted, "duplicate": duplicates, "blank": blank})

    def refuse(self, reasons: Mapping[str, int]) -> None:
        """Count refused records by reason."""
        super().refuse(reasons)
        self._count(reasons)

    def met_unknown_ads(self, records: int) -> None:
        """Count records of ads that the catalogue lacks."""
        super().met_unknown_ads(records)
        if records:
            self._unknown_ads.inc(records)

    def ignore(self, fields: Mapping[str, int]) -> None:
        """Count fields that no contract knows."""
        super().ignore(fields)
        for name, count in fields.items():
            self._ignored.inc(count, {"field": name if name in self.ignored_fields else OTHERS})

    def retried(self) -> None:
        """Count a batch that will be tried again."""
        super().retried()
        self._retries.inc()

    def hold(self, records: int) -> None:
        """Note how many records are held back."""
        super().hold(records)
        self._held.set(records)

    def measured(self, lag_records: int, removed_records: int = 0) -> None:
        """Note the lag."""
        super().measured(lag_records, removed_records)
        self._lag_records.set(lag_records)
        self._removed.set(removed_records)
        self._lag_s.set(self.lag_s or 0.0)

    def _count(self, outcomes: Mapping[str, int]) -> None:
        for outcome, count in outcomes.items():
            if count:
                self._outcomes.inc(count, {"outcome": outcome})
