"""Vocabularies: from a 64-bit key to a row of an embedding table, with rows for ids never seen.

Row 0 is "missing". Rows 1 … `oov_buckets` take unseen keys by hash, so that one unseen item stays itself across a
timeline. The rows after that belong to the keys seen in training, in key order: the mapping depends on the set of
keys alone, not on the order they arrived in.
"""

from dataclasses import dataclass

import numpy as np

from rosa_ray.schema import MISSING_KEY


@dataclass(frozen=True)
class KeyCounts:
    """How often each key occurred; counts of several parts merge exactly.

    >>> KeyCounts.of(np.array([5, 3, 5])).merge(KeyCounts.of(np.array([3]))).count
    array([2, 2])
    """

    key: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray) -> "KeyCounts":
        key, count = np.unique(keys, return_counts=True)
        return cls(key, count)

    def merge(self, *others: "KeyCounts") -> "KeyCounts":
        """Sum of the counts."""
        keys = np.concatenate([self.key, *(other.key for other in others)])
        counts = np.concatenate([self.count, *(other.count for other in others)])
        key, inverse = np.unique(keys, return_inverse=True)
        return KeyCounts(key, np.bincount(inverse, counts, len(key)).astype(np.int64))


@dataclass(frozen=True)
class Vocabulary:
    """Sorted known keys and the number of rows for unseen ones.

    >>> vocabulary = Vocabulary(np.array([10, 20]), oov_buckets=4)
    >>> vocabulary.lookup(np.array([20, 10, 0])), vocabulary.size
    (array([6, 5, 0]), 7)
    """

    keys: np.ndarray
    oov_buckets: int

    @classmethod
    def fit(cls, counts: KeyCounts, min_count: int, oov_buckets: int) -> "Vocabulary":
        """Keep the keys seen at least `min_count` times."""
        frequent = (counts.count >= min_count) & (counts.key != MISSING_KEY)
        return cls(counts.key[frequent].astype(np.int64), oov_buckets)

    @property
    def size(self) -> int:
        """Rows an embedding table needs."""
        return 1 + self.oov_buckets + len(self.keys)

    def lookup(self, keys: np.ndarray) -> np.ndarray:
        """Row of each key, int64 of the same shape, in [0, size)."""
        unseen = 1 + (keys.astype(np.uint64) % np.uint64(self.oov_buckets)).astype(np.int64)
        rows = np.where(keys == MISSING_KEY, 0, unseen)
        if len(self.keys):
            slot = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            rows = np.where(self.keys[slot] == keys, 1 + self.oov_buckets + slot, rows)
        return rows
