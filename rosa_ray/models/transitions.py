"""What counts of other users say of an ad: whether its item and category follow the user's last events, and more.

A user who bought a tent may click an ad for a stove, though it never met one. Exact match is silent there, and a state
has to learn it from clicks or events. Counts of pairs of events say it from the first step. A user's own pairs would
tell its own future, so pairs are counted by fold of users: in training, a user reads the counts without its fold, and
elsewhere all of them. From the same pass come likeness of items and usual prices, where they are wanted.

Shape legend: B users, T events, N ads, M ads of any users, L last events, R rows of a table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rosa_ray.models import item_vectors, price_levels
from rosa_ray.models.item_vectors import ItemEvents, ItemVectors, event_hours
from rosa_ray.models.pairs import ARRAYS, MISSING_ROW, Pairs
from rosa_ray.models.price_levels import PriceLevels, PriceSums
from rosa_ray.schema import FOLDS

KINDS = ("item", "category")
"""Tables whose rows follow one another."""

HORIZONS = (1, 10)
"""Events within which the second of a pair must follow: the next one, or a session's worth."""

LATELY, LONG = 5, 20
"""Events before an ad that are read: one by one and together, or together alone."""

NAMES = ("next", *(f"follow_{n + 1}" for n in range(LATELY)), "mean_lately", "most_lately", "mean_long", "most_long")
"""Log lifts of an ad, of each kind: after the very last event; within a session after each of the last; their means and
the largest."""

_VECTOR_ARRAYS = ("rows", "vectors")
_USUAL = "category_usual_price"


@dataclass(frozen=True)
class Counted:
    """Pairs by kind and horizon, events of items and prices by category, of some users."""

    pairs: Mapping[tuple[str, int], Pairs]
    items: ItemEvents
    prices: PriceSums

    def merge(self, other: "Counted") -> "Counted":
        """Those of both; in whatever order parts are merged, the sum is the same, up to `MOST_PAIRS`."""
        pairs = {of: pairs.merge(other.pairs[of]) for of, pairs in self.pairs.items()}
        return Counted(pairs, self.items.merge(other.items), self.prices.merge(other.prices))


@dataclass(frozen=True)
class Followed:
    """What `Transitions` say of ads.

    Attributes:
        names: of the scalars, S.
        values: float32 (B, N, S).
    """

    names: tuple[str, ...]
    values: Tensor


class Transitions(nn.Module):
    """Log lifts of an ad's item and category after the last events of a history, and what else is counted of others.

    What is counted is no parameter and no buffer: no step, average or broadcast looks at it. It is part of the weights
    all the same, in whatever number there are.

    Args:
        rows: R, of the table of each of `KINDS`.
        within_category: also tell how like the ad's item is to those met in its category, see `ItemVectors`.
        prices: also tell where its price stands, see `PriceLevels`.

    Attributes:
        names: of the scalars of an ad.
        pairs: by kind and horizon.
        vectors: of items; None where their likeness is not told.
        levels: usual prices; None where prices are not told.
    """

    def __init__(self, rows: Mapping[str, int], within_category: bool = False, prices: bool = False) -> None:
        super().__init__()
        self.rows = {kind: rows[kind] for kind in KINDS}
        self.vectors = ItemVectors.none() if within_category else None
        self.levels = PriceLevels.none(rows["category"]) if prices else None
        self.names = tuple(f"{kind}_{name}" for kind in KINDS for name in NAMES)
        self.names += item_vectors.NAMES if within_category else ()
        self.names += price_levels.NAMES if prices else ()
        self.pairs = {(kind, horizon): Pairs.none(self.rows[kind]) for kind in KINDS for horizon in HORIZONS}

    @property
    def reads(self) -> int:
        """Events before an ad that are looked at."""
        return LONG if self.vectors is None and self.levels is None else max(LONG, item_vectors.LAST)

    @property
    def width(self) -> int:
        """Scalars of an ad."""
        return len(self.names)

    def nothing(self) -> "Counted":
        """Before anything was counted."""
        pairs = {of: Pairs.none(self.rows[of[0]]) for of in self.pairs}
        return Counted(pairs, ItemEvents.none(self.rows["item"]), PriceSums.none(self.rows["category"]))

    def count(self, events: Mapping[str, np.ndarray], offsets: np.ndarray, fold: np.ndarray) -> "Counted":
        """Count the events of some users, see `Pairs.count`; nothing of the module is changed."""
        pairs = {
            (kind, horizon): Pairs.count(events[kind], offsets, fold, self.rows[kind], horizon)
            for kind, horizon in self.pairs
        }
        items = ItemEvents.count(events["item"], events["category"], offsets, fold, self.rows["item"])
        rows = self.rows["category"]
        prices = PriceSums.count(events["log_price"], events["category"], offsets, fold, rows)
        return Counted(pairs, items, prices)

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
        if self.levels is not None:
            self.levels = PriceLevels.fit(whole.prices)

    @torch.no_grad()
    def forward(self, shown: Mapping[str, Tensor], events: Mapping[str, Tensor], fold_B: Tensor | None) -> Followed:
        """Scalars of ads from the events strictly before each.

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
        told = [self.read({kind: shown[kind] for kind in KINDS}, recent, there_BNL[..., :LONG], fold_B11)]
        category_BN1 = shown["category"][..., None]
        same_BNL = there_BNL & (last["category"] == category_BN1) & (category_BN1 != MISSING_ROW)
        fold_B1 = None if fold_B11 is None else fold_B11[..., 0]
        if self.vectors is not None:
            hours_BNL = event_hours(shown["time_us"], events["time_us"].flatten()[event_BNL])
            told.append(self.vectors.read(shown["item"], last["item"], same_BNL, hours_BNL, fold_B1))
        if self.levels is not None:
            price_BNL = events["log_price"].flatten()[event_BNL]
            ads, those = (shown["log_price"], shown["category"]), (price_BNL, last["category"])
            told.append(self.levels.read(ads, those, there_BNL, same_BNL, fold_B1))
        return Followed(self.names, torch.cat(told, dim=-1))

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
        self.levels = self.levels.to(fn) if self.levels is not None else None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for (kind, horizon), pairs in self.pairs.items():
            for name in ARRAYS:
                destination[f"{prefix}{kind}_{horizon}_{name}"] = getattr(pairs, name)
        if self.vectors is not None:
            for name in _VECTOR_ARRAYS:
                destination[f"{prefix}item_{name}"] = getattr(self.vectors, name)
        if self.levels is not None:
            destination[f"{prefix}{_USUAL}"] = self.levels.usual

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
            names = [f"{prefix}{kind}_{horizon}_{name}" for name in ARRAYS]
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
        if self.levels is not None:
            if (name := f"{prefix}{_USUAL}") not in state_dict:
                missing_keys.append(name)
            elif state_dict[name].shape != self.levels.usual.shape:
                wanted = tuple(self.levels.usual.shape)
                error_msgs.append(f"{name} has shape {tuple(state_dict[name].shape)}, the model {wanted}")
            else:
                self.levels = PriceLevels(state_dict[name].to(self.levels.usual.device))
