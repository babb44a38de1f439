"""The fold loop: poll, parse, merge by time, apply in one transaction with the positions, note what was refused.

It may be killed between any two steps. The store keeps what was applied together with how far the stream was read, so
a restart neither loses a record nor counts it twice. What was polled and not applied is polled again.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import RosaError, StoreError, StreamAwayError
from rosa_ray.features.ad_changes import AdLog
from rosa_ray.features.changes import Changes, changes_of_ads
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.features.records import empty_records
from rosa_ray.records import Parsed, RecordParser, Refusal, late_refusals
from rosa_ray.records.dead_letters import DeadLetter, DeadLetters
from rosa_ray.store import ApplyResult, StreamPosition
from rosa_ray.store.ad_feed import AdFeed
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.streaming.consumer_metrics import ConsumerMetrics
from rosa_ray.streaming.merge import PartitionMerge, Taken
from rosa_ray.streaming.protocol import PolledRecords, RecordSource
from rosa_ray.streaming.reached import ReachedTimes

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
        self._merge = PartitionMerge(self._config.skew_us, self._config.partition_patience_s, self._config.max_batch)
        self._reached = ReachedTimes(store.read_position)
        self._resumed, self._lag_asked_s = False, 0.0
        self._ads = AdFeed(parser.ads) if isinstance(parser.ads, LiveCatalogue) else None
        self._ads_asked_s = 0.0

    def run(self, stopped: Callable[[], bool] = lambda: False, until_end: bool = False) -> ConsumerMetrics:
        """Fold until `stopped`, or with `until_end` until nothing is left to read.

        Raises:
            StoreError: the store failed for longer than the configured patience.
            StreamError: the source cannot be read, or not for longer than the patience, or dead letters cannot be
                written.
        """
        patience = Patience(self._config)
        while not stopped():
            try:
                found = self.step()
                finished = until_end and not found and not self._merge.held and not self._source.lag()
            except (StoreError, StreamAwayError) as error:
                patience.wait(error)
                self.metrics.retried()
                continue
            patience.restore()
            self._report(finished=False)
            if finished:
                break
        self._report(finished=True)
        return self.metrics

    def step(self) -> int:
        """Poll once and apply, in one transaction, what no other partition is too far behind of.

        After an error the next step goes back to the store's positions.

        Returns:
            Records polled or applied.
        """
        try:
            return self._step()
        except BaseException:
            self._resumed = False
            raise

    def _step(self) -> int:
        if not self._resumed:
            self._source.resume(self._store.read_position)
            self._merge.clear()
            self._reached.forget()
            self._resumed = True
        source, merge = self._source, self._merge
        fresh = not merge.held
        wait = fresh or not merge.ready(source.unfinished(), self._reached.of(source.others()))
        polled = source.poll(
            self._batch_size, self._config.poll_ms / 1000 if wait else 0.0, merge.full(source.assigned())
        )
        merge.keep(source.assigned())
        parsed = self._parse(_lines(polled))
        merge.add(polled, _times(parsed, polled), parsed.refusals)
        taken = merge.take(source.unfinished(), self._reached.of(source.others()))
        if taken.batches:
            self._fold(taken.batches, parsed if fresh and not merge.held else self._parse_again(taken), taken.time_us)
        elif told := self._tell([], taken.time_us):
            self._store.apply(empty_records(0), told)
        self.metrics.hold(merge.held)
        return max(len(_lines(polled)), len(taken.time_us))

    def _fold(self, batches: Sequence[PolledRecords], parsed: Parsed, time_us: np.ndarray) -> None:
        lines = _lines(batches)
        parsed = _in_order(parsed, time_us) if len(batches) > 1 else parsed
        self._set_aside(batches, lines, parsed.refusals)
        positions = [StreamPosition(batch.stream, batch.next_offset) for batch in batches]
        positions += self._tell(batches, time_us)
        started_s = time.perf_counter()
        result = self._store.apply(parsed.columns, positions, parsed.changes)
        self._adapt(len(lines), (time.perf_counter() - started_s) * 1000)
        self._set_aside(batches, lines, late_refusals(parsed, result.late_rows))
        self._count(len(lines), parsed, result)
        self._source.acknowledge(batches)

    def _parse(self, lines: list[bytes]) -> Parsed:
        """Parse lines with the ads as the store has them, and with those that the lines tell of."""
        if self._ads is not None:
            self._follow_ads(self._ads, lines)
        return self._parser.parse_lines(lines)

    def _follow_ads(self, ads: AdFeed, lines: list[bytes]) -> None:
        """Store what lines tell of ads before others are counted; told again with their batch it changes nothing."""
        told = replace(self._parser, money=None).parse_lines([line for line in lines if b'"ad"' in line]).ads
        if told:
            self._store.apply(empty_records(0), (), [changes_of_ads(told)])
        if told or time.monotonic() - self._ads_asked_s > _ADS_EVERY_S:
            ads.catch_up(self._store)
            self._ads_asked_s = time.monotonic()

    def _parse_again(self, taken: Taken) -> Parsed:
        """Of records some of which were held: each was judged when it was polled, and that stands."""
        lines = _lines(taken.batches)
        sound = [row for row, refusal in enumerate(taken.refusals) if refusal is None]
        parsed = replace(self._parser, money=None).parse_lines([lines[row] for row in sound])
        found = {sound[refusal.index]: refusal for refusal in parsed.refusals}
        found |= {row: refusal for row, refusal in enumerate(taken.refusals) if refusal is not None}
        refusals = tuple(replace(found[row], index=row) for row in sorted(found))
        return replace(parsed, rows=np.array(sound, np.int64)[parsed.rows], refusals=refusals)

    def _tell(self, batches: Sequence[PolledRecords], time_us: np.ndarray) -> list[StreamPosition]:
        """How far this reader will be in time, where there are others who wait for it."""
        source = self._source
        ended = source.assigned() - source.unfinished() - self._merge.holding
        return self._reached.tell(batches, time_us, ended) if source.others() else []

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
        blank = records - len(parsed.rows) - parsed.changed - len(parsed.refusals)
        newest_us = int(applied_us.max(initial=0))
        self.metrics.applied(records, result.accepted + parsed.changed, result.duplicates, newest_us, blank)
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
            self.metrics.measured(self._lag(), self._source.removed())
            self._on_progress(self.metrics)

    def _lag(self) -> int:
        """Records that wait; as last known while the source cannot say."""
        try:
            return self._source.lag() + self._merge.held if self._resumed else self.metrics.lag_records
        except StreamAwayError as error:
            logger.warning("the lag is not known: %s", error)
            return self.metrics.lag_records


class Patience:
    """How long failures of the store and of the source are waited out, by `StreamConfig`."""

    def __init__(self, config: StreamConfig) -> None:
        self._config = config
        self.restore()

    def restore(self) -> None:
        """Something succeeded."""
        self._since_s: dict[str, float] = {}
        self._pause_s = _RETRY_S

    def wait(self, error: RosaError) -> None:
        """Pause before the next try, or raise the error once its patience is over."""
        part = "store" if isinstance(error, StoreError) else "stream"
        patience_s = self._config.store_patience_s if part == "store" else self._config.source_patience_s
        now_s = time.monotonic()
        if now_s - self._since_s.setdefault(part, now_s) >= patience_s:
            raise error
        logger.warning("%s failed, trying again: %s", part, error)
        time.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_RETRY_S)


def _lines(batches: Sequence[PolledRecords]) -> list[bytes]:
    return [line for batch in batches for line in batch.records]


def _times(parsed: Parsed, batches: Sequence[PolledRecords]) -> np.ndarray:
    """Own times of all polled lines, int64 (n,); 0 of one that is not counted."""
    time_us = np.zeros(sum(len(batch.records) for batch in batches), np.int64)
    time_us[parsed.rows] = parsed.columns["time_us"]
    return time_us


def _in_order(parsed: Parsed, time_us: np.ndarray) -> Parsed:
    """The same with records in the order of these times, of each line."""
    order = np.argsort(time_us[parsed.rows], kind="stable")
    return replace(
        parsed, columns={name: values[order] for name, values in parsed.columns.items()}, rows=parsed.rows[order]
    )
