"""How like an ad's item is to the items that a user met in the ad's category, as other users' histories tell.

A user who looks at running shoes has a taste within the category, which neither the category nor the very items tell.
Items that others meet close together have like vectors (co-occurrence and truncated SVD; Levy & Goldberg 2014, Neural
Word Embedding as Implicit Matrix Factorization). Most of a vector says which category an item is of, which is known
already. So each vector is taken less the mean one of its category: what is left tells items of one category apart.

Shape legend: U users, E events, R rows of the items' table, K items with a vector, F folds, D numbers of a vector, L
last events.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rosa_ray.models.pairs import MISSING_ROW, Pairs
from rosa_ray.schema import FOLDS
from rosa_ray.units import HOUR_US

WIDTH = 64
"""D. A small catalogue has fewer numbers that say something; the others are 0."""

LEAST_EVENTS = 5
"""Events of an item, of the folds that are read, from which on it has a vector. What is rarer has none, so that its
likeness to all is 0, the same as of an ad in whose category the user never was."""

MOST_ITEMS = 50_000
"""Items with a vector, the most frequent ones: memory has an end, whatever the catalogue."""

LAST = 50
"""Events before an ad that are compared with it."""

HALF_LIFE_HOURS = 12.0
"""After which an event counts a half for `like_lately`."""

NAMES = ("like_mean", "like_lately", "like_newest", "like_sum")
"""Mean cosine with the items of the category; the same with newer events counting more; that with the newest one; and
the mean with one event more that says nothing, so that few events say little."""

_CELLS = 1 << 14
"""Pairs of an ad and an event that are compared at a time: some 25 MB."""


@dataclass(frozen=True)
class ItemEvents:
    """What is known of items, of some users' events.

    Attributes:
        events: int64 (R, F), by fold of the users.
        category: int64 (R,), the category's row, the largest where events name several; 0 where none does.
    """

    events: Tensor
    category: Tensor

    @classmethod
    def none(cls, rows: int) -> "ItemEvents":
        """Before any event."""
        return cls(torch.zeros(rows, FOLDS, dtype=torch.int64), torch.zeros(rows, dtype=torch.int64))

    @classmethod
    def count(
        cls, item: np.ndarray, category: np.ndarray, offsets: np.ndarray, fold: np.ndarray, rows: int
    ) -> "ItemEvents":
        """Count the events of some users.

        Args:
            item, category: rows of each event, int64 (E,).
            offsets: int64 (U + 1,), which events are whose.
            fold: int64 (U,), in [0, F).

        >>> found = ItemEvents.count(np.array([1, 1, 2]), np.array([7, 7, 8]), np.array([0, 3]), np.array([0]), rows=3)
        >>> found.events[:, 0].tolist(), found.category.tolist()
        ([0, 2, 1], [0, 7, 8])
        """
        of_fold = np.repeat(fold, np.diff(offsets))
        events = np.bincount(item * FOLDS + of_fold, minlength=rows * FOLDS).reshape(rows, FOLDS)
        found = np.zeros(rows, np.int64)
        np.maximum.at(found, item, category)
        return cls(torch.from_numpy(events), torch.from_numpy(found))

    def merge(self, other: "ItemEvents") -> "ItemEvents":
        """Both together, in whatever order."""
        return ItemEvents(self.events + other.events, torch.maximum(self.category, other.category))


@dataclass(frozen=True)
class ItemVectors:
    """Vectors of items within their categories.

    Attributes:
        rows: int64 (K,), sorted rows of the items that have one.
        vectors: float32 (F + 1, K, D), of length 1, or 0 where too little is known: as each fold reads them, without
            its own users' events; the last one is of all events.
    """

    rows: Tensor
    vectors: Tensor

    @classmethod
    def none(cls) -> "ItemVectors":
        """Before anything was counted."""
        return cls(torch.zeros(0, dtype=torch.int64), torch.zeros(FOLDS + 1, 0, WIDTH))

    @classmethod
    def fit(cls, pairs: Pairs, items: ItemEvents) -> "ItemVectors":
        """Vectors of items from how often they follow each other.

        Args:
            pairs: of items.
        """
        most = items.events.sum(1)
        most[MISSING_ROW] = 0
        frequent = torch.argsort(most, descending=True, stable=True)[:MOST_ITEMS]
        rows = frequent[most[frequent] >= LEAST_EVENTS].sort().values
        place = torch.full((len(most),), -1, dtype=torch.int64)
        place[rows] = torch.arange(len(rows))
        one, other = (place[part].numpy() for part in (pairs.codes // len(most), pairs.codes % len(most)))
        kept = (one >= 0) & (other >= 0) & (one != other)
        one, other, category = one[kept], other[kept], items.category[rows].numpy()
        found = []
        for left_out in [*range(FOLDS), None]:
            read = np.arange(FOLDS) != left_out
            count, events = pairs.counts.numpy()[kept][:, read].sum(1), items.events[rows].numpy()[:, read].sum(1)
            vectors = _vectors(one, other, count.astype(np.float64), len(rows))
            vectors[events < LEAST_EVENTS] = 0
            found.append(_within(vectors, category))
        return cls(rows, torch.from_numpy(np.stack(found).astype(np.float32)))

    def read(self, shown: Tensor, last: Tensor, same: Tensor, hours: Tensor, fold: Tensor | None) -> Tensor:
        """Scalars of ads in any arrangement, float32 (…, `NAMES`), 0 where nothing is known.

        Each number is computed from one ad's own events, so that no company changes its last digit.

        Args:
            shown: rows of the ads' items, int64 (…).
            last: rows of the items of the last events before each, newest first, int64 (…, L).
            same: whether there is such an event, and of the ad's category, bool (…, L).
            hours: how long before the ad each event was, float64 (…, L).
            fold: of the readers, broadcast over (…); None reads the vectors of all events.
        """
        ad, event = self._place(shown)[..., None].expand_as(last), self._place(last)
        folds = None if fold is None else fold[..., None].expand_as(last)
        like = torch.zeros(last.shape, dtype=torch.float64, device=last.device)
        for part in (same & (ad >= 0) & (event >= 0)).nonzero().split(_CELLS):
            cell = part.unbind(1)
            which = FOLDS if folds is None else folds[cell]
            product = self.vectors[which, ad[cell]].double() * self.vectors[which, event[cell]].double()
            like[cell] = product.sum(-1).float().double()
        # Ages count from the newest of the category on, so that weights stay above 0 however long ago that was.
        age_h = hours - torch.where(same, hours, torch.inf).amin(-1, keepdim=True)
        fresh = torch.where(same, torch.exp2(-age_h / HALF_LIFE_HOURS), 0.0)
        known = same.sum(-1)
        newest = like.gather(-1, same.int().argmax(-1, keepdim=True))[..., 0]
        scalars = (
            like.sum(-1) / known.clamp_min(1),
            (like * fresh).sum(-1) / fresh.sum(-1).clamp_min(0.5),
            torch.where(known > 0, newest, 0.0),
            like.sum(-1) / (known + 1),
        )
        return torch.stack(scalars, dim=-1).float()

    def to(self, move: Any) -> "ItemVectors":
        """Each array as a function gives it, such as one that moves it to a device."""
        return ItemVectors(move(self.rows), move(self.vectors))

    def _place(self, row: Tensor) -> Tensor:
        """Where the vectors of rows stand, -1 where they have none."""
        if not len(self.rows):
            return torch.full_like(row, -1)
        at = torch.searchsorted(self.rows, row).clamp_max(len(self.rows) - 1)
        return torch.where(self.rows[at] == row, at, -1)


def event_hours(shown_us: Tensor, event_us: Tensor) -> Tensor:
    """Hours from events (…, L) to ads (…), float64."""
    return (shown_us[..., None] - event_us).double() / HOUR_US


def _vectors(one: np.ndarray, other: np.ndarray, count: np.ndarray, items: int) -> npt.NDArray[np.float64]:
    """Vectors (K, D) of length 1 whose products tell how much oftener than by chance two items meet.

    They are those of the positive logs of lifts, by truncated SVD, on the root of the scale of each direction.
    """
    from scipy import sparse

    found = np.zeros((items, WIDTH))
    met = sparse.csr_matrix((count, (one, other)), shape=(items, items))
    met = (met + met.T).tocoo()
    often, total = np.asarray(met.sum(axis=1)).ravel(), met.data.sum()
    met.data = np.log(np.maximum(met.data, 1e-300) * total / np.maximum(often[met.row] * often[met.col], 1e-300))
    met.data[met.data < 0] = 0
    met = met.tocsr()
    met.eliminate_zeros()
    directions = min(WIDTH, items - 1)
    if directions < 1 or not met.nnz:
        return found
    left, scale = _decompose(met, directions)
    found[:, : len(scale)] = left * np.sqrt(scale)
    return _unit(found)


def _decompose(matrix: Any, directions: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and scales of the largest directions of a symmetric sparse matrix, the same each time.

    A direction on which items that meet point away from each other has the scale 0.
    """
    from sklearn.utils.extmath import randomized_svd

    if matrix.shape[0] <= 2 * WIDTH:
        left, scale, right = np.linalg.svd(matrix.toarray())
    else:
        left, scale, right = randomized_svd(matrix, directions, random_state=0)
    left, scale, right = left[:, :directions], scale[:directions], right[:directions]
    return left, np.where((left * right.T).sum(axis=0) > 0, scale, 0.0)


def _within(vectors: np.ndarray, category: np.ndarray) -> np.ndarray:
    """What vectors say beyond the mean one of their category, of length 1."""
    known = (vectors != 0).any(axis=1)
    kind = np.unique(category, return_inverse=True)[1]
    number = np.bincount(kind[known], minlength=kind.max(initial=-1) + 1)
    total = np.zeros((len(number), vectors.shape[1]))
    np.add.at(total, kind[known], vectors[known])
    return _unit(np.where(known[:, None], vectors - (total / np.maximum(number, 1)[:, None])[kind], 0))


def _unit(vectors: np.ndarray) -> npt.NDArray[np.float64]:
    """Vectors of length 1; those that are 0 but for rounding are 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 1e-9, vectors / np.maximum(length, 1e-9), 0.0)
