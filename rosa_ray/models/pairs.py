"""How often rows of one table follow each other in the events of users, by fold of the users.

In training a user reads the counts without its own fold, elsewhere all of them (out-of-fold statistics, as of
Prokhorenkova et al. 2018, CatBoost §3.2).

Shape legend: E events, U users, P pairs, R rows of a table, K folds.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rosa_ray.schema import FOLDS

MISSING_ROW = 0
"""Of every table: an id that is missing."""

PRIOR_PAIRS = 5.0
"""Pairs as frequent as by chance that are added to each one's own, so that one coincidence says little (DuMouchel 1999,
§2.1: the gamma-Poisson shrinker)."""

MOST_PAIRS = 2_000_000
"""Pairs kept of a kind and horizon, the most frequent ones: memory has an end, whatever the log."""

ARRAYS = ("codes", "counts", "before", "after")
"""Fields of `Pairs`."""


@dataclass(frozen=True)
class Pairs:
    """How often rows of one table followed each other, by fold of the users.

    Attributes:
        codes: int64 (P,), sorted: `first · R + second` of each pair.
        counts: int64 (P, K).
        before, after: int64 (R, K), pairs that a row is the first, or the second, of.
    """

    codes: Tensor
    counts: Tensor
    before: Tensor
    after: Tensor

    @classmethod
    def none(cls, rows: int) -> "Pairs":
        """Before anything was counted."""
        codes, counts = torch.zeros(0, dtype=torch.int64), torch.zeros(0, FOLDS, dtype=torch.int64)
        before, after = (torch.zeros(rows, FOLDS, dtype=torch.int64) for _ in range(2))
        return cls(codes, counts, before, after)

    @classmethod
    def count(cls, row: np.ndarray, offsets: np.ndarray, fold: np.ndarray, rows: int, horizon: int) -> "Pairs":
        """Count the pairs that are at most `horizon` events of one user apart.

        Args:
            row: int64 (E,), of each event; `0` is a missing id, which follows nothing.
            offsets: int64 (U + 1,), which events are whose.
            fold: int64 (U,), in [0, K).

        >>> found = Pairs.count(np.array([1, 1, 2]), np.array([0, 3]), np.array([0]), rows=3, horizon=2)
        >>> found.codes.tolist(), found.counts[:, 0].tolist()
        ([4, 5], [1, 2])
        """
        owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        firsts = [np.empty(0, np.int64)]
        gaps = [np.empty(0, np.int64)]
        for gap in range(1, min(horizon, len(row) - 1) + 1):
            one, other = row[:-gap], row[gap:]
            kept = (owner[:-gap] == owner[gap:]) & (one != MISSING_ROW) & (other != MISSING_ROW)
            firsts.append(np.flatnonzero(kept))
            gaps.append(np.full(len(firsts[-1]), gap))
        first = np.concatenate(firsts)
        then, of_fold = first + np.concatenate(gaps), fold[owner[first]]
        codes, pair = np.unique(row[first].astype(np.int64) * rows + row[then], return_inverse=True)
        return cls(
            torch.from_numpy(codes),
            _by_fold(pair, of_fold, len(codes)),
            _by_fold(row[first], of_fold, rows),
            _by_fold(row[then], of_fold, rows),
        )

    def merge(self, other: "Pairs") -> "Pairs":
        """Both together; where there are more than `MOST_PAIRS`, the rarest are left out, those seen once first."""
        codes, place = torch.unique(torch.cat([self.codes, other.codes]), return_inverse=True)
        counts = torch.zeros(len(codes), FOLDS, dtype=torch.int64)
        counts.index_add_(0, place, torch.cat([self.counts, other.counts]))
        if len(codes) > MOST_PAIRS:
            kept = torch.argsort(counts.sum(1), descending=True, stable=True)[:MOST_PAIRS].sort().values
            codes, counts = codes[kept], counts[kept]
        return Pairs(codes, counts, self.before + other.before, self.after + other.after)

    def to(self, move: Any) -> "Pairs":
        """Each array as a function gives it, such as one that moves it to a device."""
        return Pairs(*(move(getattr(self, name)) for name in ARRAYS))

    def log_lift(self, first: Tensor, then: Tensor, fold: Tensor | None) -> Tensor:
        """Log of how much oftener than by chance the second row follows the first, float32.

        `(pairs + PRIOR_PAIRS) / (expected + PRIOR_PAIRS)`, where `expected` is what independence would give; a pair
        seen once counts as none. 0 of a missing row.

        Args:
            first, then, fold: their shapes broadcast; without folds all counts are read.
        """
        rows = len(self.before)
        before, after, total, counts = self._sums
        code = first * rows + then
        known = torch.zeros_like(code, dtype=torch.bool)
        at = torch.zeros_like(code)
        if len(self.codes):
            at = torch.searchsorted(self.codes, code).clamp_max(len(self.codes) - 1)
            known = self.codes[at] == code
        others = FOLDS if fold is None else fold
        found = torch.where(known, counts[at, others], 0) if len(self.codes) else torch.zeros_like(code)
        found = torch.where(found > 1, found, 0)
        expected = before[first, others] * after[then, others] / total[others].clamp_min(1)
        lift = torch.log((found + PRIOR_PAIRS) / (expected + PRIOR_PAIRS))
        return lift * ((first != MISSING_ROW) & (then != MISSING_ROW))

    @cached_property
    def _sums(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Before, after, all pairs and counts as each fold reads them, without its own; in the last column, all."""
        before, after, counts = (
            torch.cat([of_all - each, of_all], dim=1)
            for each in (self.before, self.after, self.counts)
            for of_all in (each.sum(1, keepdim=True),)
        )
        return before.double(), after.double(), before.sum(0).double(), counts


def _by_fold(place: np.ndarray, fold: np.ndarray, count: int) -> Tensor:
    return torch.from_numpy(np.bincount(place * FOLDS + fold, minlength=count * FOLDS).reshape(count, FOLDS))
