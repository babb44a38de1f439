"""A source and a store in memory, and a hand that kills whoever calls them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from rosa_ray.errors import StoreError
from rosa_ray.features import RECORD_COLUMNS, CounterStates, FeatureConfig, concat_records, fold_records, record_keys
from rosa_ray.features.changes import Changes
from rosa_ray.store import ApplyResult, StreamPosition
from rosa_ray.streaming.consumer import RecordStore
from rosa_ray.streaming.protocol import PolledRecords, PositionOf


class Killed(BaseException):
    """The process ends here."""


class Killer:
    """Ends the process at one in `one_in` of the moments it is asked."""

    def __init__(self, seed: int, one_in: int) -> None:
        self._rng, self._one_in, self.kills = np.random.default_rng(seed), one_in, 0

    def __call__(self) -> None:
        if self._one_in and self._rng.integers(self._one_in) == 0:
            self.kills += 1
            raise Killed


class MemorySource:
    """Streams of records in memory; asks the killer around every step."""

    def __init__(self, streams: Mapping[str, Sequence[bytes]], killer: Callable[[], None] = lambda: None) -> None:
        self._streams, self._killer = streams, killer
        self._next: dict[str, int] = {}

    def resume(self, position_of: PositionOf) -> None:
        self._killer()
        self._next = {stream: position_of(stream) or 0 for stream in self._streams}

    def poll(self, max_records: int, timeout_s: float, paused: Collection[str] = ()) -> list[PolledRecords]:
        self._killer()
        batches, left = [], max_records
        for stream, records in self._streams.items():
            if stream in paused:
                continue
            start = self._next[stream]
            some = records[start : start + left]
            if some:
                self._next[stream] = start + len(some)
                left -= len(some)
                batches.append(PolledRecords(stream, range(start, start + len(some)), start + len(some), some))
        self._killer()
        return batches

    def acknowledge(self, batches: Sequence[PolledRecords]) -> None:
        self._killer()

    def assigned(self) -> set[str]:
        return {*self._streams}

    def unfinished(self) -> set[str]:
        return {stream for stream, records in self._streams.items() if self._next[stream] < len(records)}

    def others(self) -> set[str]:
        return set()

    def lag(self) -> int:
        return sum(len(records) - self._next[stream] for stream, records in self._streams.items())

    def removed(self) -> int:
        return 0

    def close(self) -> None: ...


class MemoryStore:
    """Keeps what was applied, in transactions; with `dedup` each id of a kind once.

    Args:
        failures: so many calls of `apply` raise StoreError first.
    """

    def __init__(self, dedup: bool = True, failures: int = 0) -> None:
        self._dedup, self.failures = dedup, failures
        self.killer: Callable[[], None] = lambda: None
        self.applied: list[dict[str, np.ndarray]] = []
        self.batch_sizes: list[int] = []
        self._seen: set[int] = set()
        self._positions: dict[str, int] = {}

    def apply(
        self,
        records: Mapping[str, np.ndarray],
        positions: Sequence[StreamPosition] = (),
        changes: Sequence[Changes] = (),
    ) -> ApplyResult:
        self.killer()
        if self.failures:
            self.failures -= 1
            raise StoreError("store: down")
        keys = record_keys(records)
        rows = [row for row, key in enumerate(keys.tolist()) if not self._dedup or self._is_new(key)]
        self.applied.append({name: records[name][rows] for name in RECORD_COLUMNS})
        self.batch_sizes.append(len(keys))
        self._positions |= {position.stream: position.offset for position in positions}
        self.killer()
        empty = np.empty(0, np.int64)
        return ApplyResult(len(rows), len(keys) - len(rows), 0, empty, empty)

    def read_position(self, stream: str) -> int | None:
        return self._positions.get(stream)

    def counters(self, config: FeatureConfig) -> CounterStates:
        return fold_records(concat_records(self.applied), config)

    def _is_new(self, key: int) -> bool:
        new = key not in self._seen
        self._seen.add(key)
        return new


class KillingStore:
    """A real store whose caller is killed before or after a transaction."""

    def __init__(self, store: RecordStore, killer: Callable[[], None]) -> None:
        self._store, self._killer = store, killer

    def apply(
        self,
        records: Mapping[str, np.ndarray],
        positions: Sequence[StreamPosition] = (),
        changes: Sequence[Changes] = (),
    ) -> ApplyResult:
        self._killer()
        result = self._store.apply(records, positions, changes)
        self._killer()
        return result

    def read_position(self, stream: str) -> int | None:
        return self._store.read_position(stream)


def run_until_done(make: Callable[[], Any]) -> int:
    """Run consumers one after another until one ends by itself; returns how many were killed."""
    for kills in range(10_000):
        try:
            make().run(until_end=True)
        except Killed:
            continue
        return kills
    raise AssertionError("never done")
