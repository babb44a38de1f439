"""How things follow things in the events of other users: relations between categories and items, by counting alone.

A pair of things counts how often the second came after the first, next or within some events of the same user. Only
events of the training period count. Users are cut into folds by their keys, and an impression reads the counts of all
folds but its user's: no own event says anything of it. That holds for users who were trained on and for new ones alike.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rosa_ray.arrays import Floats, Ints
from rosa_ray.features import EncodedUsers, UserRows
from rosa_ray.features.encoding import owners
from rosa_ray.models.exact_match import MATCHED
from rosa_ray.schema import MISSING_KEY, derive_key
from rosa_ray.studies.trees.history import LATELY, Past, chunks

FOLDS = 5
HORIZONS = (1, 10)
"""Within how many events the second of a pair must follow: the next one, or a session's worth."""

LONG = 20
"""Events before an impression whose transitions are averaged."""

PRIOR = 5.0
"""Events that a lift of 1 is worth, against which a pair must count."""

_FOLD_KIND = 0x7E
_ARRAYS = ("things", "codes", "counts", "before", "after")


@dataclass(frozen=True)
class Timelines:
    """Events of the training period, user after user, each in order.

    Attributes:
        user: int64 (E,), equal for events of one user.
        fold: int64 (E,), of that user.
        keys: `MATCHED`, each int64 (E,).
    """

    user: Ints
    fold: Ints
    keys: Mapping[str, Ints]

    @classmethod
    def of(cls, blocks: Iterable[UserRows], until_us: int) -> "Timelines":
        """Join the events of some blocks up to a time, that time among them."""
        users, keys = [np.empty(0, np.int64)], {name: [np.empty(0, np.int64)] for name in MATCHED}
        for rows in blocks:
            past = rows.events["time_us"] <= until_us
            users.append(rows.user_key[owners(rows.event_offsets)][past])
            for name in MATCHED:
                keys[name].append(rows.events[name][past])
        user = np.concatenate(users)
        return cls(user, fold_of(user), {name: np.concatenate(parts) for name, parts in keys.items()})

    def of_users(self, kept: np.ndarray) -> "Timelines":
        """The events of a boolean mask (E,), which keeps a user's all or none."""
        return Timelines(self.user[kept], self.fold[kept], {name: key[kept] for name, key in self.keys.items()})


@dataclass(frozen=True)
class Pairs:
    """How often V things followed each other, by fold of the users.

    Attributes:
        things: int64 (V,), sorted keys.
        codes: int64 (P,), sorted: `first · V + second` of each pair that was seen twice or more.
        counts: int64 (P, folds).
        before, after: int64 (V, folds), pairs that a thing is the first, or the second, of.
    """

    things: Ints
    codes: Ints
    counts: Ints
    before: Ints
    after: Ints

    @classmethod
    def count(cls, key: Ints, user: Ints, fold: Ints, horizon: int) -> "Pairs":
        """Count the pairs of events of one user that are at most `horizon` events apart; a missing key is no thing."""
        things, place = np.unique(key, return_inverse=True)
        first, second = _following(user, horizon)
        known = (key[first] != MISSING_KEY) & (key[second] != MISSING_KEY)
        first, second = first[known], second[known]
        codes, pair = np.unique(place[first] * len(things) + place[second], return_inverse=True)
        counts = _by_fold(pair, fold[first], len(codes))
        # Most pairs of items were seen once. A reader takes those for none, see `_of_others`, so they need no room.
        often = counts.sum(axis=1) > 1
        before, after = (_by_fold(place[end], fold[first], len(things)) for end in (first, second))
        return cls(things, codes[often], counts[often], before, after)

    def log_lift(self, first: Ints, second: Ints, fold: Ints) -> Floats:
        """Log of how much oftener than by chance the second thing follows the first, in the other folds.

        `(pairs + PRIOR) / (expected + PRIOR)`, where `expected` is what independence would give. 0 of unknown things.

        Args:
            first, second, fold: keys of things and folds of the readers; their shapes broadcast.
        """
        one, known_one = _find(self.things, first)
        other, known_other = _find(self.things, second)
        pair, known_pair = _find(self.codes, one * len(self.things) + other)
        if not len(self.things):
            return np.zeros(np.broadcast_shapes(known_pair.shape, np.shape(fold)))
        before, after, total, counts = self._of_others
        expected = before[one, fold] * after[other, fold] / total[fold].clip(1)
        found = np.where(known_pair, counts[pair, fold], 0) if len(counts) else 0
        return np.where(known_one & known_other, np.log((found + PRIOR) / (expected + PRIOR)), 0.0)

    @cached_property
    def _of_others(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Before, after, all pairs and counts as each fold reads them: without its own."""
        before, after, counts = (
            rows.sum(axis=1, keepdims=True) - rows for rows in (self.before, self.after, self.counts)
        )
        # Of a pair that others had once, the reader's own fold would decide whether it was kept: none is read of it.
        return before, after, before.sum(axis=0), np.where(counts > 1, counts, 0)


@dataclass(frozen=True)
class Transitions:
    """Pairs by kind of thing and horizon."""

    pairs: Mapping[tuple[str, int], Pairs]

    @classmethod
    def count(cls, timelines: Timelines) -> "Transitions":
        """Count all pairs of the training period."""
        user, fold = timelines.user, timelines.fold
        return cls(
            {
                (name, horizon): Pairs.count(key, user, fold, horizon)
                for name, key in timelines.keys.items()
                for horizon in HORIZONS
            }
        )

    def columns(self, users: EncodedUsers) -> dict[str, Floats]:
        """Columns of every impression, float32 (I,), of items and categories; NaN where there is no such event.

        Returns:
            `category_next`, log lift of the ad after the last event; `category_follow_1` and so on, that of the ad
            within a horizon of the last events one by one; and their mean and maximum over the last few and many.
        """
        parts = [self._columns(users, rows) for rows in chunks(users)] or [self._columns(users, np.empty(0, np.int64))]
        return {name: np.concatenate([part[name] for part in parts]).astype(np.float32) for name in parts[0]}

    def state_dict(self) -> dict[str, Tensor]:
        """All counts as tensors."""
        return {
            f"transitions.{name}.{horizon}.{array}": torch.from_numpy(getattr(pairs, array))
            for (name, horizon), pairs in self.pairs.items()
            for array in _ARRAYS
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> "Transitions":
        """Inverse of `state_dict`."""
        return cls(
            {
                (name, horizon): Pairs(*(state[f"transitions.{name}.{horizon}.{array}"].numpy() for array in _ARRAYS))
                for name in MATCHED
                for horizon in HORIZONS
            }
        )

    def _columns(self, users: EncodedUsers, rows: Ints) -> dict[str, Floats]:
        past = Past.of(users, rows, LONG)
        fold = fold_of(users.user_key[owners(users.impression_offsets)[rows]])[:, None]
        columns: dict[str, Floats] = {}
        for name in MATCHED:
            kind, ad, seen = (
                name.removesuffix("_key"),
                users.impressions[name][rows][:, None],
                past.read(users.events[name]),
            )
            last = self.pairs[name, HORIZONS[0]].log_lift(seen[:, :1], ad, fold)
            columns[f"{kind}_next"] = np.where(past.there[:, :1], last, np.nan)[:, 0]
            lifts = self.pairs[name, HORIZONS[1]].log_lift(seen, ad, fold)
            columns |= {
                f"{kind}_follow_{n + 1}": np.where(past.there[:, n], lifts[:, n], np.nan) for n in range(LATELY)
            }
            columns |= _summaries(kind, lifts, past.there)
        return columns


def fold_of(user_key: Ints) -> Ints:
    """Fold of each user, 0 to `FOLDS - 1`, by its key alone.

    >>> fold_of(np.arange(6)).tolist()
    [0, 3, 2, 3, 2, 3]
    """
    return ((derive_key(user_key, _FOLD_KIND).astype(np.uint64) >> np.uint64(11)) % np.uint64(FOLDS)).astype(np.int64)


def _summaries(kind: str, lifts: Floats, there: np.ndarray) -> dict[str, Floats]:
    found = {}
    for name, count in (("lately", LATELY), ("long", LONG)):
        known, values = there[:, :count], lifts[:, :count]
        number = known.sum(axis=1)
        mean = np.where(known, values, 0).sum(axis=1) / np.maximum(number, 1)
        highest = np.where(known, values, -np.inf).max(axis=1)
        found[f"{kind}_mean_{name}"] = np.where(number > 0, mean, np.nan)
        found[f"{kind}_most_{name}"] = np.where(number > 0, highest, np.nan)
    return found


def _following(user: Ints, horizon: int) -> tuple[Ints, Ints]:
    """Rows of all pairs of events of one user that are at most `horizon` apart."""
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for gap in range(1, min(horizon, len(user) - 1) + 1):
        first = np.flatnonzero(user[:-gap] == user[gap:])
        firsts.append(first)
        seconds.append(first + gap)
    return np.concatenate(firsts), np.concatenate(seconds)


def _by_fold(place: Ints, fold: Ints, count: int) -> Ints:
    return np.bincount(place * FOLDS + fold, minlength=count * FOLDS).reshape(count, FOLDS)


def _find(sorted_keys: Ints, asked: Ints) -> tuple[Ints, np.ndarray]:
    """Place of each key, and whether it is there at all; (…) as asked."""
    if not len(sorted_keys):
        return np.zeros(np.shape(asked), np.int64), np.zeros(np.shape(asked), bool)
    at = np.minimum(np.searchsorted(sorted_keys, asked), len(sorted_keys) - 1)
    return at, sorted_keys[at] == asked
