"""What other users went on to: how many events of the history lead to an ad's category, by counted transitions.

A user who bought a tent may click an ad for a stove, though it never met one. Exact match is silent there, and a state
has to learn it from clicks or events. Counts of transitions say it from the first step. A user's own transitions would
tell its own future, so they are counted by fold of users: in training, a user reads the counts without its fold, and
elsewhere all of them (out-of-fold statistics, as of Prokhorenkova et al. 2018, CatBoost §3.2).

Shape legend: B users, T events, N ads, K folds, G horizons, R rows of the category table, C slots of categories.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rosa_ray.models.exact_match import HALF_LIVES_HOURS
from rosa_ray.models.history import window_mask
from rosa_ray.schema import FOLDS
from rosa_ray.units import HOUR_US

HORIZONS = (4, 32)
"""Events after an event within which a category counts as one that it led to."""

MOST_CATEGORIES = 1024
"""Categories that are told apart, the most frequent ones; others lead nowhere. Tables grow with the square."""

PRIOR_EVENTS = 5.0
"""Transitions at the usual rate that are added to each pair's own, so that one coincidence says little (DuMouchel 1999,
§2.1: the gamma-Poisson shrinker)."""

MOST_LIFT = 3.0
"""An event counts at most as so many: the lift of what is rare is uncertain."""

USUAL_LIFT = 0.25
"""Excess lift that an event has on average."""

_NOWHERE = 0


def choose_slots(events_R: Tensor) -> Tensor:
    """Slot of each row of the category table, int64 (R,): 1 and up by falling frequency, 0 for the rest.

    Row 0, a missing category, has none.

    >>> choose_slots(torch.tensor([9, 0, 3, 5])).tolist()
    [0, 0, 2, 1]
    """
    frequent = events_R.clone()
    frequent[0] = 0
    order = torch.argsort(frequent, descending=True, stable=True)[:MOST_CATEGORIES]
    order = order[frequent[order] > 0]
    slot_R = torch.zeros(len(events_R), dtype=torch.int64)
    slot_R[order] = torch.arange(1, len(order) + 1)
    return slot_R


def count_transitions(slot: np.ndarray, offsets: np.ndarray, fold: np.ndarray, slots: int) -> np.ndarray:
    """Count how often an event of one category is followed by one of another within each horizon.

    Args:
        slot: int64 (E,), of each event's category.
        offsets: int64 (U + 1,), which events are whose.
        fold: int64 (U,), in [0, `FOLDS`).
        slots: C.

    Returns:
        float32 (K, G, C, C), from row to column.

    >>> found = count_transitions(np.array([1, 1, 2]), np.array([0, 3]), np.array([0]), slots=3)
    >>> found[0, 0].astype(int).tolist()
    [[0, 0, 0], [0, 0, 2], [0, 0, 0]]
    """
    counts_KGCC = np.zeros((FOLDS, len(HORIZONS), slots, slots), np.float32)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    for step in range(1, min(max(HORIZONS), len(slot) - 1) + 1):
        first, then = slot[:-step], slot[step:]
        kept = (owner[:-step] == owner[step:]) & (first != _NOWHERE) & (then != _NOWHERE) & (first != then)
        cell = (fold[owner[:-step][kept]] * slots + first[kept]) * slots + then[kept]
        found = np.bincount(cell, minlength=FOLDS * slots**2).reshape(FOLDS, slots, slots)
        for at, horizon in enumerate(HORIZONS):
            if step <= horizon:
                counts_KGCC[:, at] += found
    return counts_KGCC


def excess_lift(counts: Tensor) -> Tensor:
    """How much likelier than usual each category is after another: lift less 1, in [0, `MOST_LIFT`].

    Args:
        counts: (..., C, C), from row to column.

    >>> moves = torch.tensor([[0.0, 90.0, 10.0], [50.0, 0.0, 50.0], [20.0, 80.0, 0.0]])
    >>> excess_lift(moves).sign().int().tolist()
    [[0, 1, 0], [0, 0, 1], [0, 1, 0]]
    """
    popularity = counts.sum(-2, keepdim=True) + 1e-6
    popularity = popularity / popularity.sum(-1, keepdim=True)
    usual = popularity / (1 - popularity.mT).clamp_min(1e-6)
    seen = counts.sum(-1, keepdim=True)
    lift = (counts + PRIOR_EVENTS) / (seen * usual + PRIOR_EVENTS)
    return (lift - 1).clamp(0, MOST_LIFT)


class Transitions(nn.Module):
    """Decayed counts of the events that lead to an ad's category, each by its excess lift.

    Args:
        rows: R, of the category table.
        window: events before an ad that are looked at.
        behaviors: how many an event may have.

    Attributes:
        width: scalars of an ad, one per horizon, half-life and behaviour.
        counts_GCC: transitions of all users.
        slot_R: slots of the category rows; whole numbers, held as float32, as running means of weights take those as
            they are and round integers down.
    """

    counts_GCC: Tensor
    slot_R: Tensor

    def __init__(self, rows: int, window: int, behaviors: int) -> None:
        super().__init__()
        self.window, self.behaviors = window, behaviors
        self.width = len(HORIZONS) * len(HALF_LIVES_HOURS) * behaviors
        self.slots = min(rows, MOST_CATEGORIES) + 1
        self.register_buffer("counts_GCC", torch.zeros(len(HORIZONS), self.slots, self.slots))
        self.register_buffer("slot_R", torch.zeros(rows))
        self._of_others_GX: Tensor | None = None
        self._of_all_GX, self._version = self.counts_GCC.flatten(1), -1

    def set_counts(self, slot_R: Tensor, counts_KGCC: Tensor) -> None:
        """Take what `choose_slots` and `count_transitions` gave, summed over all users."""
        total_GCC = counts_KGCC.sum(0)
        self.slot_R.copy_(slot_R)
        self.counts_GCC.copy_(total_GCC)
        # Fold by fold one after another, so that a step reads it without a copy.
        self._of_others_GX = excess_lift(total_GCC - counts_KGCC).transpose(0, 1).flatten(1)

    @torch.no_grad()
    def forward(self, shown: Mapping[str, Tensor], events: Mapping[str, Tensor], fold_B: Tensor | None) -> Tensor:
        """`log1p` of the counts less that of a usual count, (B, N, `width`); of the events strictly before each ad.

        A long history leads everywhere. So a count is set against `USUAL_LIFT` of as many events of that age: 0 where
        nothing has happened, below it where little leads to the ad.

        Args:
            fold_B: fold of each user, looked at in training.
        """
        slot_R = self.slot_R.long()
        first_BT, then_BN = slot_R[events["category"]], slot_R[shown["category"]]
        seen_BNT = window_mask(shown["visible"], first_BT.shape[1], self.window)
        cell_BNT = first_BT[:, None] * self.slots + then_BN[..., None]
        lift_GBNT = self._lift(cell_BNT, fold_B) * seen_BNT
        elapsed_h_BNT = (shown["time_us"][..., None] - events["time_us"][:, None]).clamp_min(0).float() / HOUR_US
        kind_BTK = functional.one_hot(events["behavior"], self.behaviors).float()
        fresh = [torch.exp(-math.log(2) / hours * elapsed_h_BNT) for hours in HALF_LIVES_HOURS]
        total = [torch.log1p(USUAL_LIFT * (seen_BNT * fresh_BNT).sum(-1, keepdim=True)) for fresh_BNT in fresh]
        scalars = []
        for lift_BNT in lift_GBNT:
            for fresh_BNT, total_BN1 in zip(fresh, total, strict=True):
                scalars.append(torch.log1p((lift_BNT * fresh_BNT) @ kind_BTK) - total_BN1)
        return torch.cat(scalars, dim=-1)

    def _lift(self, cell_BNT: Tensor, fold_B: Tensor | None) -> Tensor:
        """Excess lifts of pairs of an event and an ad, (G, B, N, T)."""
        if self.training and fold_B is not None and self._of_others_GX is not None:
            return self._of_others_GX[:, fold_B[:, None, None] * self.slots**2 + cell_BNT]
        if self._version != self.counts_GCC._version:
            self._of_all_GX, self._version = excess_lift(self.counts_GCC).flatten(1), self.counts_GCC._version
        return self._of_all_GX[:, cell_BNT]
