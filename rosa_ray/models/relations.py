"""What other users went on to: how much likelier an ad's category is after those in the history, as counted.

Counts of transitions between categories need no training, and say from the first step what a state has to learn. They
are those of other users: a user's own transitions would tell its own future. So they are kept by fold of users, and in
training a user reads the counts without its fold. Elsewhere all count. Two readings are made of them:

- directed: the lift `P(category of the ad | category of an event) / P(category of the ad)`, from the next event and
  from the next few;
- undirected: cosines of the categories' rows of lifts (Levy & Goldberg 2014, positive PMI), counted in tiers (SimTier of
  Alibaba's MUSE, "Enhancing Taobao Display Advertising with Multimodal Representations", Sheng et al. 2024, §4.1).

Shape legend: B users, T events, N ads, K folds, G horizons, C slots of categories.
"""

import math
import os
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from rosa_ray.models.exact_match import HALF_LIVES_HOURS
from rosa_ray.models.history import window_mask
from rosa_ray.schema import MISSING_KEY
from rosa_ray.units import HOUR_US

FOLDS = 4
HORIZONS = tuple(int(x) for x in os.environ.get("REL_H", "1,8").split(","))
MOST_CATEGORIES = 1024
"""Category rows that are told apart; the rest have no relations."""

PRIOR_EVENTS = float(os.environ.get("REL_PRIOR","20"))
"""Transitions that a category's own popularity counts for."""

SPAN = 8
import os
MODE = os.environ.get("REL_MODE", "mean,count").split(",")
CAP = float(os.environ.get("REL_CAP", "10"))
TIERS = (0.15, 0.3, 0.45, 0.6, 0.8)
"""Cosines from which a tier begins; it ends at the next, the last at 1."""

_LEAST, _MOST = -4.0, 4.0


class CategoryCounts:
    """Transitions between categories by fold of users; counts of several parts add up.

    Attributes:
        counts_KGCC: float32, from row to column.
    """

    def __init__(self, categories: int) -> None:
        self.slots = min(categories, MOST_CATEGORIES)
        self.counts_KGCC = np.zeros((FOLDS, len(HORIZONS), self.slots, self.slots), np.float32)

    def add(self, category: np.ndarray, offsets: np.ndarray, fold: np.ndarray) -> None:
        """Count the timelines of some users.

        Args:
            category: int64 (E,), slots; -1 counts nowhere.
            offsets: int64 (U + 1,), which events are whose.
            fold: int64 (U,) in [0, FOLDS).
        """
        owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        for step in range(1, min(max(HORIZONS), len(category) - 1) + 1):
            first, then = category[:-step], category[step:]
            kept = (owner[:-step] == owner[step:]) & (first >= 0) & (then >= 0) & (first != then)
            cell = (fold[owner[:-step][kept]] * self.slots + first[kept]) * self.slots + then[kept]
            found = np.bincount(cell, minlength=FOLDS * self.slots**2).reshape(FOLDS, self.slots, self.slots)
            for at, horizon in enumerate(HORIZONS):
                if step <= horizon:
                    self.counts_KGCC[:, at] += found


def lifts(counts_GCC: Tensor) -> Tensor:
    """Log lift of each transition, (G, C, C), 0 where nothing is known.

    >>> lifts(torch.tensor([[[90.0, 10.0], [10.0, 90.0]]]))[0].sign().int().tolist()
    [[1, -1], [-1, 1]]
    """
    popularity_G1C = counts_GCC.sum(1, keepdim=True) + 1e-3
    popularity_G1C = popularity_G1C / popularity_G1C.sum(-1, keepdim=True)
    seen_GC1 = counts_GCC.sum(-1, keepdim=True)
    expected = (counts_GCC + PRIOR_EVENTS * popularity_G1C) / (seen_GC1 + PRIOR_EVENTS) / popularity_G1C
    return torch.log(expected).clamp(_LEAST, _MOST)


def cosines(lift_CC: Tensor) -> Tensor:
    """Cosines of categories by what comes after and before them, (C, C)."""
    positive = torch.cat([lift_CC, lift_CC.T], dim=1).clamp_min(0)
    unit = nn.functional.normalize(positive, dim=-1)
    return unit @ unit.T


class CategoryRelations(nn.Module):
    """Scalars of ads from what other users' events say of their category.

    Args:
        categories: rows of the category table.
        window: events before an ad that are looked at.
        directed, tiers: which readings to make.

    Attributes:
        width: scalars of an ad.
        counts_GCC: transitions of all users, with the weights.
    """

    counts_GCC: Tensor

    def __init__(self, categories: int, window: int, directed: bool, tiers: bool, behaviors: int = 4) -> None:
        super().__init__()
        self.window, self.directed, self.tiers, self.categories = window, directed, tiers, categories
        self.behaviors = behaviors
        per = ("mean" in MODE) * (3 + len(HALF_LIVES_HOURS)) + ("count" in MODE) * len(HALF_LIVES_HOURS) * behaviors
        self.width = directed * len(HORIZONS) * per + tiers * len(TIERS) * len(HALF_LIVES_HOURS)
        slots = min(categories, MOST_CATEGORIES)
        self.register_buffer("counts_GCC", torch.zeros(len(HORIZONS), slots, slots))
        rates = torch.tensor([math.log(2) / hours for hours in HALF_LIVES_HOURS])
        self.log_rate_H = nn.Parameter(torch.log(rates))
        self._tables: tuple[Tensor, ...] = ()
        self._read_at = -1
        self._folds: list[tuple[Tensor, ...]] = []

    def slots(self, category: Tensor) -> Tensor:
        first = self.categories - self.counts_GCC.shape[-1]
        return category - first

    def fit(self, counts_KGCC: Tensor) -> None:
        total = counts_KGCC.sum(0)
        self.counts_GCC.copy_(total)
        self._folds = [self._read(total - fold) for fold in counts_KGCC]

    def _read(self, counts_GCC: Tensor) -> tuple[Tensor, ...]:
        lift_GCC = lifts(counts_GCC)
        return (*lift_GCC, cosines(lift_GCC[-1]))

    def _now(self, fold_B: Tensor | None) -> list[Tensor]:
        """Per reading, (K or 1, C, C)."""
        if self.training and fold_B is not None and self._folds:
            return [torch.stack(tables) for tables in zip(*self._folds, strict=True)]
        if self._read_at != self.counts_GCC._version:
            self._tables, self._read_at = self._read(self.counts_GCC), self.counts_GCC._version
        return [table[None] for table in self._tables]

    def forward(self, shown: Mapping[str, Tensor], events: Mapping[str, Tensor], fold_B: Tensor | None) -> Tensor:
        first, then = self.slots(events["category"]), self.slots(shown["category"])
        slots = self.counts_GCC.shape[-1]
        known_BNT = (first >= 0)[:, None] & (then >= 0)[..., None] & (shown["category_key"] != MISSING_KEY)[..., None]
        known_BNT &= (events["category_key"] != MISSING_KEY)[:, None]
        seen_BNT = window_mask(shown["visible"], first.shape[1], self.window) & known_BNT
        tables = self._now(fold_B)
        fold = 0 if len(tables[0]) == 1 or fold_B is None else fold_B[:, None, None]
        cell = (fold * slots + first[:, None].clamp_min(0)) * slots + then[..., None].clamp_min(0)
        elapsed_h_BNT = (shown["time_us"][..., None] - events["time_us"][:, None]).clamp_min(0).float() / HOUR_US
        weights = [torch.exp(-rate * elapsed_h_BNT) * seen_BNT for rate in torch.exp(self.log_rate_H)]
        scalars: list[Tensor] = []
        if self.directed:
            seen_BNT = seen_BNT & (shown["category_key"][..., None] != events["category_key"][:, None])
            kind_BTK = nn.functional.one_hot(events["behavior"], self.behaviors).float()
            for table in tables[:-1]:
                lift_BNT = table.flatten()[cell]
                if "mean" in MODE: scalars += self._directed(lift_BNT, weights, shown["visible"], seen_BNT)
                if "count" in MODE:
                    more_BNT = (torch.exp(lift_BNT) - 1).clamp(0, CAP) * seen_BNT
                    scalars += [torch.log1p((more_BNT * weight) @ kind_BTK).unbind(-1) for weight in weights] and [x for weight in weights for x in torch.log1p((more_BNT * weight) @ kind_BTK).unbind(-1)]
        if self.tiers:
            scalars += self._tiers(tables[-1].flatten()[cell], weights, shown, events)
        return torch.stack(scalars, dim=-1)

    def _directed(self, lift_BNT: Tensor, weights: list[Tensor], visible_BN: Tensor, seen_BNT: Tensor) -> list[Tensor]:
        ratio = torch.exp(lift_BNT)
        decayed = [torch.log(((w * ratio).sum(-1) + 0.1) / (w.sum(-1) + 0.1)) for w in weights]
        recent = window_mask(visible_BN, lift_BNT.shape[-1], SPAN) & seen_BNT
        last = window_mask(visible_BN, lift_BNT.shape[-1], 1) & seen_BNT
        mean = (lift_BNT * recent).sum(-1) / recent.sum(-1).clamp_min(1)
        most = lift_BNT.masked_fill(~recent, _LEAST).amax(-1) * recent.any(-1)
        return [(lift_BNT * last).sum(-1), mean, most, *decayed]

    def _tiers(
        self, cosine_BNT: Tensor, weights: list[Tensor], shown: Mapping[str, Tensor], events: Mapping[str, Tensor]
    ) -> list[Tensor]:
        other_BNT = shown["category_key"][..., None] != events["category_key"][:, None]
        found = []
        for low, high in zip(TIERS, (*TIERS[1:], 2.0), strict=True):
            inside = (cosine_BNT >= low) & (cosine_BNT < high) & other_BNT
            found += [torch.log1p((weight * inside).sum(-1)) for weight in weights]
        return found
