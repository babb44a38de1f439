"""The fold loop: poll, parse, apply in one transaction with the positions, note what was refused.

It may be killed between any two steps. The store keeps what was applied together with how far the stream was read, so
a restart neither loses a record nor counts it twice. What was polled and not applied is polled again.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features.ad_changes import AdLog
from rosa_ray.features.changes import Changes
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.features.records import empty_records
from rosa_ray.records import Parsed, RecordParser, Refusal, late_refusals
from rosa_ray.records.dead_letters import DeadLetter, DeadLetters
from rosa_ray.store import ApplyResult, StreamPosition
from rosa_ray.store.ad_feed import AdFeed
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.streaming.consumer_metrics import ConsumerMetrics
from rosa_ray.streaming.protocol import PolledRecords, RecordSource

_LAG_EVERY_S = 1.0
_ADS_EVERY_S = 0.2
_RETRY_S = 0.1
_LONGEST_RETRY_S = 5.0

logger = logging.getLogger(__name__)


class RecordStore(Protocol):
    """What a consumer needs of an `OnlineStore`."""

    def apply(
        self, records: Columns, positions: Sequence[StreamPosition] = (), changes: Sequence[Changes] = ()
    ) -> ApplyResult: ...

    def read_position(self, stream: str) -> int | None: ...

    def read_ads(self, after: int, limit: int) -> AdLog: ...


class Consumer:
    """Folds a source into a store.

    A parser with a live catalogue reads ads as the store has them: those that other processes told, some times a
    second, and those of a batch before its other records are counted.

    Args:
        dead_letters: None only counts what was refused.
        on_progress: called about every second.
    """

    def __init__(
        self,
        source: RecordSource,
        store: RecordStore,
        parser: RecordParser,
        dead_letters: DeadLetters | None = None,
        config: StreamConfig | None = None,
        metrics: ConsumerMetrics | None = None,
        on_progress: Callable[[ConsumerMetrics], object] = lambda metrics: None,
    ) -> None:
        self._source, self._store, self._parser = source, store, parser
        self._dead_letters, self._config = dead_letters, config or StreamConfig()
        self.metrics = metrics or ConsumerMetrics()
        self._on_progress = on_progress
        self._batch_size = self._config.min_batch
        self._resumed, self._lag_asked_s = False, 0.0
        self._ads = AdFeed(parser.ads) if isinstance(parser.ads, LiveCatalogue) else None
        self._ads_asked_s = 0.0

    def run(self, stopped: Callable[[], bool] = lambda: False, until_end: bool = False) -> ConsumerMetrics:
        """Fold until `stopped`, or with `until_end` until nothing is left to read.

        Raises:
            StoreError: the store failed for longer than the configured patience.
            StreamError: the source cannot be read, or dead letters cannot be written.
        """
        failing_since_s, pause_s = 0.0, _RETRY_S
        while not stopped():
            try:
                found = self.step()
            except StoreError as error:
                failing_since_s = failing_since_s or time.monotonic()
                if time.monotonic() - failing_since_s > self._config.store_patience_s:
                    raise
                logger.warning("store failed, trying again: %s", error)
                self.metrics.retried()
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_RETRY_S)
                continue
            failing_since_s, pause_s = 0.0, _RETRY_S
            self._report(finished=False)
            if until_end and not found and not self._source.lag():
                break
        self._report(finished=True)
        return self.metrics

    def step(self) -> int:
        """Poll once and apply what came, in one transaction.

        After an error the next step goes back to the store's positions.

        Returns:
            Records polled.
        """
        try:
            if not self._resumed:
                self._source.resume(self._store.read_position)
                self._resumed = True
            batches = self._source.poll(self._batch_size, self._config.poll_ms / 1000)
            if batches:
                self._fold(batches)
        except BaseException:
            self._resumed = False
            raise
        return sum(len(batch.records) for batch in batches)

    def _fold(self, batches: Sequence[PolledRecords]) -> None:
        lines = [line for batch in batches for line in batch.records]
        parsed = self._parse(lines)
        self._set_aside(batches, lines, parsed.refusals)
        positions = [StreamPosition(batch.stream, batch.next_offset) for batch in batches]
        started_s = time.perf_counter()
        result = self._store.apply(parsed.columns, positions, parsed.changes)
        self._adapt(len(lines), (time.perf_counter() - started_s) * 1000)
        self._set_aside(batches, lines, late_refusals(parsed, result.late_rows))
        self._count(len(lines), parsed, result)
        self._source.acknowledge(batches)

    def _parse(self, lines: list[bytes]) -> Parsed:
        """Parse lines with the ads as the store has them, and with those that the lines tell of."""
        if self._ads is None:
            return self._parser.parse_lines(lines)
        if time.monotonic() - self._ads_asked_s > _ADS_EVERY_S:
            self._ads.catch_up(self._store)
            self._ads_asked_s = time.monotonic()
        parsed = self._parser.parse_lines(lines)
        if not parsed.ads:
            return parsed
        # Told again with the batch itself, they change nothing.
        self._store.apply(empty_records(0), (), parsed.changes)
        self._ads.catch_up(self._store)
        return self._parser.parse_lines(lines) if len(parsed.rows) else parsed

    def _set_aside(self, batches: Sequence[PolledRecords], lines: list[bytes], refusals: Sequence[Refusal]) -> None:
        if not refusals or self._dead_letters is None:
            return
        places = [(batch.stream, offset) for batch in batches for offset in batch.offsets]
        private = self._parser.pseudonym is not None
        self._dead_letters.write(
            DeadLetter(
                refusal.reason, refusal.detail, *places[refusal.index], None if private else lines[refusal.index]
            )
            for refusal in refusals
        )

    def _count(self, records: int, parsed: Parsed, result: ApplyResult) -> None:
        applied_us = np.delete(parsed.columns["time_us"], result.late_rows)
        self.metrics.applied(
            records, result.accepted + parsed.changed, result.duplicates, int(applied_us.max(initial=0))
        )
        late = {"late": result.late} if result.late else {}
        self.metrics.met_unknown_ads(parsed.unknown_ads)
        self.metrics.ignore(parsed.ignored_fields)
        self.metrics.refuse({**Counter(refusal.reason for refusal in parsed.refusals), **late})

    def _adapt(self, records: int, elapsed_ms: float) -> None:
        """Double a full batch that was quick, halve a slow one."""
        config = self._config
        if elapsed_ms > config.batch_ms:
            self._batch_size = max(records // 2, config.min_batch)
        elif records >= self._batch_size and elapsed_ms < config.batch_ms / 2:
            self._batch_size = min(2 * self._batch_size, config.max_batch)

    def _report(self, finished: bool) -> None:
        if finished or time.monotonic() - self._lag_asked_s >= _LAG_EVERY_S:
            self._lag_asked_s = time.monotonic()
            self.metrics.measured(self._source.lag() if self._resumed else self.metrics.lag_records)
            self._on_progress(self.metrics)
