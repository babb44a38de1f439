"""Partitions read side by side, merged by the times of their records.

A backfill reads partitions of many days. One that is read far ahead of the others makes their records look late: the
store forgets ids by its newest record. So a partition waits while it is ahead of the least of those that have more to
give. The wait ends once that one has caught up, has nothing left, or gives nothing for too long.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rosa_ray.records import Refusal
from rosa_ray.streaming.protocol import PolledRecords

AT_END_US = 1 << 62
"""Time that a partition has reached when nothing of it is left to read: later than any record."""

_NEVER_US = -(1 << 62)


@dataclass
class _Queue:
    """Records of one partition that were polled and not taken.

    Attributes:
        time_us: int64 (n,), of each record the latest own time up to it.
        refusals: of each record, what was found wrong with it when it was polled.
        next_offset: after the last.
    """

    offsets: list[int]
    records: list[bytes]
    time_us: np.ndarray
    refusals: list[Refusal | None]
    next_offset: int

    def cut(self, stream: str, count: int) -> PolledRecords:
        """Take the first `count` records."""
        offsets, records = self.offsets[:count], self.records[:count]
        whole = count == len(self.records)
        batch = PolledRecords(stream, offsets, self.next_offset if whole else offsets[-1] + 1, records)
        self.offsets, self.records = self.offsets[count:], self.records[count:]
        self.time_us, self.refusals = self.time_us[count:], self.refusals[count:]
        return batch


@dataclass(frozen=True)
class Taken:
    """Records that no other partition is too far behind of.

    Attributes:
        batches: at most one of a partition.
        time_us: int64 (n,), by which times their records, in turn, come in order.
        refusals: of each record, what was found wrong with it when it was polled.
    """

    batches: list[PolledRecords]
    time_us: np.ndarray
    refusals: list[Refusal | None]


class PartitionMerge:
    """Holds records back that are too far ahead of other partitions.

    Args:
        skew_us: how far the applied records of one partition may be ahead of another, microseconds.
        patience_s: a partition that gives nothing for this long holds the others no more.
        most_held: records held in all at most, about; a partition with its share of them is not polled.
        now_s: a clock that never goes back.
    """

    def __init__(
        self, skew_us: int, patience_s: float, most_held: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._skew_us, self._patience_s, self._most_held, self._now_s = skew_us, patience_s, most_held, now_s
        self._queues: dict[str, _Queue] = {}
        self._polled_us: dict[str, int] = {}
        self._first_us = AT_END_US
        self._heard: dict[str, tuple[int | None, float]] = {}

    @property
    def held(self) -> int:
        """Records that were polled and not taken."""
        return sum(len(queue.records) for queue in self._queues.values())

    @property
    def holding(self) -> set[str]:
        """Partitions that they are of."""
        return {*self._queues}

    def clear(self) -> None:
        """Forget all that was polled: it will be polled again."""
        self._queues, self._polled_us, self._first_us, self._heard = {}, {}, AT_END_US, {}

    def keep(self, streams: Collection[str]) -> None:
        """Forget partitions that are another reader's now."""
        for stream in self._polled_us.keys() - set(streams):
            self._queues.pop(stream, None)
            self._polled_us.pop(stream)

    def full(self, streams: Collection[str]) -> set[str]:
        """Partitions that hold their share and need not be polled."""
        share = max(self._most_held // max(len(streams), 1), 1)
        return {stream for stream, queue in self._queues.items() if len(queue.records) >= share}

    def add(self, batches: Sequence[PolledRecords], time_us: np.ndarray, refusals: Sequence[Refusal] = ()) -> None:
        """Note what was polled.

        Args:
            time_us: int64 (n,), own times of all their records in turn; 0 where a record has none.
            refusals: of records among the n, by position.
        """
        start, refused = 0, {refusal.index: refusal for refusal in refusals}
        for batch in batches:
            stop = start + len(batch.records)
            self._append(batch, time_us[start:stop], [refused.get(row) for row in range(start, stop)])
            start = stop

    def _append(self, batch: PolledRecords, time_us: np.ndarray, refusals: list[Refusal | None]) -> None:
        queue = self._queues.get(batch.stream)
        first = batch.offsets[0] if batch.offsets else batch.next_offset
        if queue is not None and first < queue.next_offset:
            queue = None  # it was given to this reader anew, and begins again where the store stands
            self._polled_us.pop(batch.stream, None)
        reached_us = np.maximum.accumulate(np.r_[self._polled_us.get(batch.stream, _NEVER_US), time_us])[1:]
        if len(reached_us):
            self._polled_us[batch.stream] = int(reached_us[-1])
            known = time_us[time_us > 0]
            self._first_us = min(self._first_us, int(known[0]) if len(known) else AT_END_US)
        if queue is None:
            self._queues[batch.stream] = _Queue(
                [*batch.offsets], [*batch.records], reached_us.astype(np.int64), refusals, batch.next_offset
            )
            return
        queue.offsets += batch.offsets
        queue.records += batch.records
        queue.time_us = np.r_[queue.time_us, reached_us]
        queue.refusals += refusals
        queue.next_offset = batch.next_offset

    def ready(self, unfinished: Collection[str], others: Mapping[str, int | None]) -> bool:
        """Whether `take` would give anything."""
        return any(count or not queue.records for _, queue, count in self._cuts(self._ends(unfinished, others)))

    def take(self, unfinished: Collection[str], others: Mapping[str, int | None]) -> Taken:
        """Give what no other partition is too far behind of.

        Args:
            unfinished: partitions of this reader that have more to poll.
            others: partitions of other readers -> the time they have reached; None before their first record.
        """
        cuts = self._cuts(self._ends(unfinished, others))
        times = [queue.time_us[:count] for _, queue, count in cuts]
        refusals = [refusal for _, queue, count in cuts for refusal in queue.refusals[:count]]
        taken = [queue.cut(stream, count) for stream, queue, count in cuts if count or not queue.records]
        self._queues = {stream: queue for stream, queue in self._queues.items() if queue.records}
        return Taken(taken, np.concatenate([np.empty(0, np.int64), *times]), refusals)

    def _cuts(self, ends: Mapping[str, int]) -> list[tuple[str, _Queue, int]]:
        """Of each partition, how many records are not too far ahead of the others that hold them back."""
        least = sorted(ends.values())
        cuts = []
        for stream, queue in self._queues.items():
            others = least[1:] if ends.get(stream) == next(iter(least), None) else least
            limit_us = others[0] + self._skew_us if others else AT_END_US
            cuts.append((stream, queue, int(np.searchsorted(queue.time_us, limit_us, side="right"))))
        return cuts

    def _ends(self, unfinished: Collection[str], others: Mapping[str, int | None]) -> dict[str, int]:
        """Partitions that hold the others back, and the times that they were read to."""
        own = {stream: self._polled_us.get(stream) for stream in unfinished}
        held_up = {stream for stream in own if stream in self._queues}
        ends = {}
        for stream, end_us in {**others, **own}.items():
            if end_us == AT_END_US or (stream not in held_up and self._is_silent(stream, end_us)):
                continue
            unknown_us = self._first_us if stream in others else _NEVER_US
            ends[stream] = unknown_us if end_us is None else end_us
        return ends

    def _is_silent(self, stream: str, end_us: int | None) -> bool:
        """Whether a partition has given nothing for too long."""
        known_us, since_s = self._heard.get(stream, (-1, 0.0))
        if known_us != end_us:
            self._heard[stream] = (end_us, self._now_s())
            return False
        return self._now_s() - since_s > self._patience_s
