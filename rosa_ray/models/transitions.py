"""What other users went on to: how much oftener than by chance an ad's item and category follow a user's last events.

A user who bought a tent may click an ad for a stove, though it never met one. Exact match is silent there, and a state
has to learn it from clicks or events. Counts of pairs of events say it from the first step. A user's own pairs would
tell its own future, so pairs are counted by fold of users: in training, a user reads the counts without its fold, and
elsewhere all of them (out-of-fold statistics, as of Prokhorenkova et al. 2018, CatBoost §3.2).

Shape legend: B users, T events, N ads, M ads of any users, L last events, P pairs, R rows of a table, K folds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rosa_ray.models import item_vectors
from rosa_ray.models.item_vectors import MISSING_ROW, ItemEvents, ItemVectors, event_hours
from rosa_ray.schema import FOLDS

KINDS = ("item", "category")
"""Tables whose rows follow one another."""

HORIZONS = (1, 10)
"""Events within which the second of a pair must follow: the next one, or a session's worth."""

LATELY, LONG = 5, 20
"""Events before an ad that are read: one by one and together, or together alone."""

PRIOR_PAIRS = 5.0
"""Pairs as frequent as by chance that are added to each one's own, so that one coincidence says little (DuMouchel 1999,
§2.1: the gamma-Poisson shrinker)."""

MOST_PAIRS = 2_000_000
"""Pairs kept of a kind and horizon, the most frequent ones: memory has an end, whatever the log."""

NAMES = ("next", *(f"follow_{n + 1}" for n in range(LATELY)), "mean_lately", "most_lately", "mean_long", "most_long")
"""Log lifts of an ad, of each kind: after the very last event; within a session after each of the last; their means and
the largest."""

SCALARS = (*(f"{kind}_{name}" for kind in KINDS for name in NAMES), *item_vectors.NAMES)
"""All that is told of an ad; the last ones only where likeness is."""

_ARRAYS = ("codes", "counts", "before", "after")
_VECTOR_ARRAYS = ("rows", "vectors")


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
        return Pairs(*(move(getattr(self, name)) for name in _ARRAYS))

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


@dataclass(frozen=True)
class Counted:
    """Pairs by kind and horizon, and events of items, of some users."""

    pairs: Mapping[tuple[str, int], Pairs]
    items: ItemEvents

    def merge(self, other: "Counted") -> "Counted":
        """Those of both; in whatever order parts are merged, the sum is the same, up to `MOST_PAIRS`."""
        pairs = {of: pairs.merge(other.pairs[of]) for of, pairs in self.pairs.items()}
        return Counted(pairs, self.items.merge(other.items))


class Transitions(nn.Module):
    """Log lifts of an ad's item and category after the last events of a history, and likeness within its category.

    What is counted is no parameter and no buffer: no step, average or broadcast looks at it. It is part of the weights
    all the same, in whatever number there are.

    Args:
        rows: R, of the table of each of `KINDS`.
        within_category: also tell how like the ad's item is to those met in its category, see `ItemVectors`.

    Attributes:
        width: scalars of an ad, the first ones of `SCALARS`.
        pairs: by kind and horizon.
        vectors: of items; None where their likeness is not told.
    """

    def __init__(self, rows: Mapping[str, int], within_category: bool = False) -> None:
        super().__init__()
        self.rows = {kind: rows[kind] for kind in KINDS}
        self.vectors = ItemVectors.none() if within_category else None
        self.width = len(SCALARS) if within_category else len(KINDS) * len(NAMES)
        self.pairs = {(kind, horizon): Pairs.none(self.rows[kind]) for kind in KINDS for horizon in HORIZONS}

    @property
    def reads(self) -> int:
        """Events before an ad that are looked at."""
        return LONG if self.vectors is None else max(LONG, item_vectors.LAST)

    def nothing(self) -> "Counted":
        """Before anything was counted."""
        pairs = {of: Pairs.none(self.rows[of[0]]) for of in self.pairs}
        return Counted(pairs, ItemEvents.none(self.rows["item"]))

    def count(self, events: Mapping[str, np.ndarray], offsets: np.ndarray, fold: np.ndarray) -> "Counted":
        """Count the pairs of some users, see `Pairs.count`; nothing of the module is changed."""
        pairs = {
            (kind, horizon): Pairs.count(events[kind], offsets, fold, self.rows[kind], horizon)
            for kind, horizon in self.pairs
        }
        items = ItemEvents.count(events["item"], events["category"], offsets, fold, self.rows["item"])
        return Counted(pairs, items)

    def take(self, parts: Iterable["Counted"]) -> None:
        """Read from now on what was counted in parts, all together. A pair that was seen once needs no room."""
        whole = self.nothing()
        for part in parts:
            whole = whole.merge(part)
        for of, pairs in whole.pairs.items():
            often = pairs.counts.sum(1) > 1
            self.pairs[of] = Pairs(pairs.codes[often], pairs.counts[often], pairs.before, pairs.after)
        if self.vectors is not None:
            self.vectors = ItemVectors.fit(whole.pairs["item", HORIZONS[1]], whole.items)

    @torch.no_grad()
    def forward(self, shown: Mapping[str, Tensor], events: Mapping[str, Tensor], fold_B: Tensor | None) -> Tensor:
        """Scalars of ads from the events strictly before each, (B, N, `width`).

        Args:
            fold_B: fold of each user, looked at in training.
        """
        visible_BN = shown["visible"]
        batch, length = events["item"].shape
        position_BNL = visible_BN[..., None] - 1 - torch.arange(self.reads, device=visible_BN.device)
        there_BNL = position_BNL >= 0
        first = torch.arange(batch, device=visible_BN.device)[:, None, None] * length
        event_BNL = position_BNL.clamp(0, length - 1) + first
        last = {kind: events[kind].flatten()[event_BNL] for kind in KINDS}
        fold_B11 = fold_B[:, None, None] if self.training and fold_B is not None else None
        recent = {kind: rows[..., :LONG] for kind, rows in last.items()}
        lifts = self.read({kind: shown[kind] for kind in KINDS}, recent, there_BNL[..., :LONG], fold_B11)
        if self.vectors is None:
            return lifts
        category_BN1 = shown["category"][..., None]
        same_BNL = there_BNL & (last["category"] == category_BN1) & (category_BN1 != MISSING_ROW)
        hours_BNL = event_hours(shown["time_us"], events["time_us"].flatten()[event_BNL])
        fold_B1 = None if fold_B11 is None else fold_B11[..., 0]
        likeness = self.vectors.read(shown["item"], last["item"], same_BNL, hours_BNL, fold_B1)
        return torch.cat([lifts, likeness], dim=-1)

    def read(
        self, shown: Mapping[str, Tensor], last: Mapping[str, Tensor], there: Tensor, fold: Tensor | None
    ) -> Tensor:
        """Lifts of M ads in any arrangement, float32 (…, `NAMES` of each kind), 0 where there is no such event.

        Args:
            shown: rows of the ads, int64 (…).
            last: rows of the last events before each, newest first, int64 (…, L).
            there: whether there is such an event, bool (…, L).
            fold: of the readers, broadcast over (…, L); None reads all counts.
        """
        found: list[Tensor] = []
        for kind in KINDS:
            then = shown[kind][..., None]
            follows = self.pairs[kind, HORIZONS[1]].log_lift(last[kind], then, fold) * there
            found.append(self.pairs[kind, HORIZONS[0]].log_lift(last[kind][..., :1], then, fold) * there[..., :1])
            found.append(follows[..., :LATELY])
            for count in (LATELY, LONG):
                some, known = follows[..., :count], there[..., :count]
                found.append(some.sum(-1, keepdim=True) / known.sum(-1, keepdim=True).clamp_min(1))
                most = some.masked_fill(~known, -torch.inf).amax(-1, keepdim=True)
                found.append(torch.where(known[..., :1], most, 0.0))
        return torch.cat(found, dim=-1).float()

    def _apply(self, fn: Any, recurse: bool = True) -> "Transitions":
        self.pairs = {of: pairs.to(fn) for of, pairs in self.pairs.items()}
        self.vectors = self.vectors.to(fn) if self.vectors is not None else None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for (kind, horizon), pairs in self.pairs.items():
            for name in _ARRAYS:
                destination[f"{prefix}{kind}_{horizon}_{name}"] = getattr(pairs, name)
        if self.vectors is not None:
            for name in _VECTOR_ARRAYS:
                destination[f"{prefix}item_{name}"] = getattr(self.vectors, name)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Tensor],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        for (kind, horizon), pairs in self.pairs.items():
            names = [f"{prefix}{kind}_{horizon}_{name}" for name in _ARRAYS]
            if absent := [name for name in names if name not in state_dict]:
                missing_keys += absent
                continue
            device, rows = pairs.codes.device, len(pairs.before)
            given = Pairs(*(state_dict[name].to(device) for name in names))
            if given.before.shape != (rows, FOLDS):
                error_msgs.append(f"{names[2]} has shape {tuple(given.before.shape)}, the model {(rows, FOLDS)}")
                continue
            self.pairs[kind, horizon] = given
        if self.vectors is not None:
            names = [f"{prefix}item_{name}" for name in _VECTOR_ARRAYS]
            if absent := [name for name in names if name not in state_dict]:
                missing_keys += absent
            else:
                device = self.vectors.rows.device
                self.vectors = ItemVectors(*(state_dict[name].to(device) for name in names))


def _by_fold(place: np.ndarray, fold: np.ndarray, count: int) -> Tensor:
    return torch.from_numpy(np.bincount(place * FOLDS + fold, minlength=count * FOLDS).reshape(count, FOLDS))
