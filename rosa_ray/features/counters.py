"""Counters over event-time buckets: states with fold, merge and read, exact and free of order.

A counter holds int64 sums per (entity, bucket). Folding observations, and merging two counters, are sums of
integers, so any grouping and any order give the same state. Reading looks at closed buckets only: what a request
sees depends on event time, never on when a machine got round to the computation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from rosa_ray.features.search import search_spans
from rosa_ray.units import MINUTE_US


@dataclass(frozen=True)
class Buckets:
    """The event-time grid.

    Attributes:
        width_us: bucket width in microseconds.
        settle_us: time after its end at which a bucket closes.

    >>> Buckets(width_us=60, settle_us=10).last_closed(np.array([129, 130]))
    array([0, 1])
    """

    width_us: int
    settle_us: int

    @classmethod
    def of_minutes(cls, width_minutes: int, settle_minutes: int) -> "Buckets":
        return cls(width_minutes * MINUTE_US, settle_minutes * MINUTE_US)

    def of(self, time_us: np.ndarray) -> np.ndarray:
        """Bucket number of each time."""
        return time_us // self.width_us

    def last_closed(self, time_us: np.ndarray) -> np.ndarray:
        """Number of the last bucket that is closed at each time."""
        return (time_us - self.settle_us) // self.width_us - 1

    def closes_us(self, bucket: int) -> int:
        """First time at which a bucket is the last closed one.

        >>> Buckets(width_us=60, settle_us=10).closes_us(1)
        130
        """
        return (bucket + 1) * self.width_us + self.settle_us


@dataclass(frozen=True)
class Counters:
    """Sums per (entity, bucket), sorted by entity and then bucket.

    Attributes:
        entity_key: int64 (R,).
        bucket: int64 (R,).
        sums: int64 (R, M), one column per measure; money is in micro-units.
        owner_key: int64 (R,), the user whom each entity belongs to, where its key does not tell; else None.

    >>> one = Counters.fold(np.array([7, 7]), np.array([0, 0]), np.array([[1], [2]]))
    >>> one.merge(one).sums
    array([[6]])
    """

    entity_key: np.ndarray
    bucket: np.ndarray
    sums: np.ndarray
    owner_key: np.ndarray | None = None

    @classmethod
    def empty(cls, measures: int) -> "Counters":
        """A counter that has seen nothing."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, measures), np.int64))

    @classmethod
    def fold(
        cls, entity_key: np.ndarray, bucket: np.ndarray, amounts: np.ndarray, owner_key: np.ndarray | None = None
    ) -> "Counters":
        """Sum observations, shape (n,), (n,) and (n, M), by entity and bucket; every entity has one owner, if any."""
        if len(entity_key) == 0:
            return replace(cls.empty(amounts.shape[1]), owner_key=owner_key)
        order = np.lexsort((bucket, entity_key))
        entity, when = entity_key[order], bucket[order]
        begins = np.ones(len(entity), bool)
        begins[1:] = (entity[1:] != entity[:-1]) | (when[1:] != when[:-1])
        first = np.flatnonzero(begins)
        sums = np.add.reduceat(amounts[order].astype(np.int64), first, axis=0)
        return cls(entity[first], when[first], sums, None if owner_key is None else owner_key[order][first])

    def merge(self, *others: "Counters") -> "Counters":
        """Sum of this and other counters of the same measures."""
        parts = (self, *others)
        return Counters.fold(
            np.concatenate([part.entity_key for part in parts]),
            np.concatenate([part.bucket for part in parts]),
            np.concatenate([part.sums for part in parts]),
            _owners_of(parts),
        )

    def read(self, entity_key: np.ndarray, last_bucket: np.ndarray, windows: tuple[int | None, ...]) -> np.ndarray:
        """Sums over the `window` buckets that end with `last_bucket`, for n reads.

        Args:
            entity_key: int64 (n,).
            last_bucket: int64 (n,), the newest bucket each read may see.
            windows: window lengths in buckets; None reads from the beginning.

        Returns:
            int64 (n, len(windows), M); an entity never seen reads zero.
        """
        # A window's sum is a difference of two running sums; a zero row in front stands for "before the first".
        cumulative = np.concatenate([np.zeros((1, self.sums.shape[1]), np.int64), np.cumsum(self.sums, axis=0)])
        starts = _first_of_each(self.entity_key)
        entities, ends = self.entity_key[starts], np.append(starts[1:], len(self.entity_key))
        slot = np.searchsorted(entities, entity_key)
        known = slot < len(entities)
        known[known] = entities[slot[known]] == entity_key[known]
        slot = np.where(known, slot, 0)
        first = starts[slot] if len(entities) else np.zeros(len(entity_key), np.int64)
        stop = ends[slot] if len(entities) else np.zeros(len(entity_key), np.int64)
        upper = search_spans(self.bucket, first, stop, last_bucket)
        read = np.empty((len(entity_key), len(windows), self.sums.shape[1]), np.int64)
        for index, window in enumerate(windows):
            lower = first if window is None else search_spans(self.bucket, first, stop, last_bucket - window)
            read[:, index] = cumulative[upper] - cumulative[lower]
        read[~known] = 0
        return read

    def to_table(self, view: str) -> pa.Table:
        """Rows (view, entity_key, bucket, sums) for storage, with owner_key where entities have one."""
        flat = pa.array(self.sums.reshape(-1))
        offsets = pa.array(np.arange(len(self.bucket) + 1, dtype=np.int32) * self.sums.shape[1])
        columns = {
            "view": pa.array([view] * len(self.bucket), pa.string()),
            "entity_key": self.entity_key,
            "bucket": self.bucket,
            "sums": pa.ListArray.from_arrays(offsets, flat),
        }
        return pa.table(columns if self.owner_key is None else {**columns, "owner_key": self.owner_key})

    @classmethod
    def from_table(cls, table: pa.Table, measures: int) -> "Counters":
        """Inverse of `to_table` for the rows of one view; rows of several parts are summed."""
        if table.num_rows == 0:
            return cls.empty(measures)
        sums = table["sums"].combine_chunks().flatten().to_numpy().reshape(-1, measures)
        owned = "owner_key" in table.column_names and not table["owner_key"].null_count
        owner = table["owner_key"].to_numpy() if owned else None
        return cls.fold(table["entity_key"].to_numpy(), table["bucket"].to_numpy(), sums, owner)


def _owners_of(parts: Sequence[Counters]) -> np.ndarray | None:
    known = [part.owner_key for part in parts if part.owner_key is not None]
    whole = all(part.owner_key is not None for part in parts if len(part.bucket))
    return np.concatenate(known) if known and whole else None


def _first_of_each(sorted_keys: np.ndarray) -> np.ndarray:
    """Where each distinct key begins."""
    begins = np.ones(len(sorted_keys), bool)
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=begins[1:])
    return np.flatnonzero(begins)
