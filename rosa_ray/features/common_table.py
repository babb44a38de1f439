"""One search for the rows of all token fields: what a request pays grows little with the number of fields."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rosa_ray.arrays import Ints
from rosa_ray.features.vocabulary import Vocabulary
from rosa_ray.schema import MISSING_KEY, derive_key

_SALTS = 64
"""Ways of mixing keys with their fields that are tried, until no two known keys are one."""


@dataclass(frozen=True)
class CommonTable:
    """The vocabularies of K fields, their rows one behind another.

    Attributes:
        starts, ends: int64 (K,), the first row of each field, and that after its last.
        oov_buckets: uint64 (K,), rows for unseen keys of each field.
        mixed, rows: int64 (V,), all known keys mixed with their field, rising, and their rows.
        salts: uint64 (K,), what keys of each field are mixed with.
    """

    starts: np.ndarray
    ends: np.ndarray
    oov_buckets: np.ndarray
    mixed: np.ndarray
    rows: np.ndarray
    salts: np.ndarray

    @classmethod
    def of(cls, vocabularies: Sequence[Vocabulary]) -> "CommonTable":
        """Join vocabularies in order.

        >>> table = CommonTable.of([Vocabulary(np.array([5]), 1), Vocabulary(np.array([5, 7]), 1)])
        >>> table.lookup(np.array([[5, 5], [9, 7], [0, 0]])).tolist()
        [[2, 5], [1, 6], [0, 3]]
        """
        ends = np.cumsum([vocabulary.size for vocabulary in vocabularies], dtype=np.int64)
        starts = ends - [vocabulary.size for vocabulary in vocabularies]
        oov_buckets = np.array([vocabulary.oov_buckets for vocabulary in vocabularies], np.uint64)
        counts = [len(vocabulary.keys) for vocabulary in vocabularies]
        field = np.repeat(np.arange(len(counts)), counts)
        keys = np.concatenate([np.empty(0, np.int64), *(vocabulary.keys for vocabulary in vocabularies)])
        within = [1 + vocabulary.oov_buckets + np.arange(len(vocabulary.keys)) for vocabulary in vocabularies]
        rows = starts[field] + np.concatenate([np.empty(0, np.int64), *within])
        for attempt in range(_SALTS):
            salts = derive_key(np.arange(len(counts)) + 1, attempt + 1).astype(np.uint64)
            mixed = (keys.astype(np.uint64) ^ salts[field]).astype(np.int64)
            order = np.argsort(mixed)
            if not (np.diff(mixed[order]) == 0).any():
                return cls(starts, ends, oov_buckets, mixed[order], rows[order], salts)
        raise AssertionError("no salt tells the keys of all fields apart")

    def lookup(self, keys: np.ndarray) -> Ints:
        """Rows of keys in the common table, int64 of the same shape (n, K): those of `Vocabulary.lookup`."""
        unsigned = keys.astype(np.uint64)
        unseen = self.starts + 1 + (unsigned % self.oov_buckets).astype(np.int64)
        if len(self.mixed):
            mixed = (unsigned ^ self.salts).astype(np.int64)
            slot = np.minimum(np.searchsorted(self.mixed, mixed), len(self.mixed) - 1)
            row = self.rows[slot]
            # An unseen key may mix to a key of another field, whose rows are others.
            known = (self.mixed[slot] == mixed) & (row >= self.starts) & (row < self.ends)
            unseen = np.where(known, row, unseen)
        return np.where(keys == MISSING_KEY, self.starts, unseen)
