"""Where an ad's price stands in its category, and against the prices of what its user looked at.

What is dear depends on what is sold, so that every price is taken less its category's usual one. Users who look at
dear shoes are then told from those who look at dear things. The usual price of a category is counted of other folds of
users in training, as transitions are. All of it is in whole thousandths of natural logs, so that sums are exact, in
whatever order.

Shape legend: U users, E events, R rows of the categories' table, F folds, L last events.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rosa_ray.schema import FOLDS
from rosa_ray.units import NO_PRICE, THOUSANDTHS

PRIOR_EVENTS = 5
"""Events at the usual price of all categories that each category's own are added to."""

USUAL_EVENTS = 3
"""Events at usual prices that each user's own are added to: one event says little."""

LATELY = 10
"""Events before an ad that say what the user looks at now."""

MOST = 5 * THOUSANDTHS
"""A price is read as at most e^5, 148 times, above or below the usual one: a slip of the comma moves no mean far."""

NAMES = (
    "price_level",
    "user_price_level",
    "user_price_level_in_category",
    "price_to_user",
    "price_to_lately",
    "price_to_category",
    "price_to_newest",
    "price_gap_newest",
)
"""Log of the ad's price over its category's usual one; the mean of the same over the last events, with `USUAL_EVENTS`
added, and over those of the ad's category. Then the first less the second, less the mean of the last few, less the
third, less that of the newest of the category; and how far from that one it is, to either side."""


@dataclass(frozen=True)
class PriceSums:
    """Prices that some users' events have, by category and fold of the users.

    Attributes:
        events: int64 (R, F), with a price.
        total: int64 (R, F), of log prices, thousandths.
    """

    events: Tensor
    total: Tensor

    @classmethod
    def none(cls, rows: int) -> "PriceSums":
        """Before any event."""
        return cls(*(torch.zeros(rows, FOLDS, dtype=torch.int64) for _ in range(2)))

    @classmethod
    def count(
        cls, log_price: np.ndarray, category: np.ndarray, offsets: np.ndarray, fold: np.ndarray, rows: int
    ) -> "PriceSums":
        """Add up the events of some users.

        Args:
            log_price: of each event, thousandths, int64 (E,); `NO_PRICE` is not counted.
            category: its row, int64 (E,).
            offsets: int64 (U + 1,), which events are whose.
            fold: int64 (U,), in [0, F).

        >>> found = PriceSums.count(np.array([700, 900]), np.array([1, 1]), np.array([0, 2]), np.array([3]), rows=2)
        >>> found.events[1].tolist(), found.total[1].tolist()
        ([0, 0, 0, 2], [0, 0, 0, 1600])
        """
        known = log_price != NO_PRICE
        cell = (category * FOLDS + np.repeat(fold, np.diff(offsets)))[known]
        events, total = np.bincount(cell, minlength=rows * FOLDS), np.zeros(rows * FOLDS, np.int64)
        np.add.at(total, cell, log_price[known])
        return cls(*(torch.from_numpy(values.reshape(rows, FOLDS)) for values in (events, total)))

    def merge(self, other: "PriceSums") -> "PriceSums":
        """Both together, in whatever order."""
        return PriceSums(self.events + other.events, self.total + other.total)


@dataclass(frozen=True)
class PriceLevels:
    """Usual prices of categories.

    Attributes:
        usual: int64 (R, F + 1), log price, thousandths, as each fold reads it, without its own users' events; the last
            one is of all events. `NO_PRICE` where no event has a price.
    """

    usual: Tensor

    @classmethod
    def none(cls, rows: int) -> "PriceLevels":
        """Before anything was counted."""
        return cls(torch.full((rows, FOLDS + 1), NO_PRICE, dtype=torch.int64))

    @classmethod
    def fit(cls, sums: PriceSums) -> "PriceLevels":
        """Usual prices as counted; that of a category with few events is near the usual one of all.

        >>> sums = PriceSums.count(np.array([700, 900]), np.array([1, 1]), np.array([0, 2]), np.array([3]), rows=2)
        >>> PriceLevels.fit(sums).usual[1].tolist()[:3], PriceLevels.fit(sums).usual[1, 3].item() == NO_PRICE
        ([800, 800, 800], True)
        """
        events, total = (
            torch.cat([of_all - each, of_all], dim=1)
            for each in (sums.events, sums.total)
            for of_all in (each.sum(1, keepdim=True),)
        )
        known = events.sum(0)
        mean = total.sum(0).div(known.clamp_min(1), rounding_mode="floor")
        usual = (total + PRIOR_EVENTS * mean).div(events + PRIOR_EVENTS, rounding_mode="floor")
        return cls(torch.where(known > 0, usual, NO_PRICE))

    def read(
        self,
        shown: tuple[Tensor, Tensor],
        last: tuple[Tensor, Tensor],
        there: Tensor,
        same: Tensor,
        fold: Tensor | None,
    ) -> Tensor:
        """Scalars of ads in any arrangement, float32 (…, `NAMES`), 0 where nothing is known.

        Args:
            shown: log prices of the ads and rows of their categories, int64 (…).
            last: the same of the last events before each, newest first, int64 (…, L).
            there: whether there is such an event, bool (…, L).
            same: whether it is of the ad's category too, bool (…, L).
            fold: of the readers, broadcast over (…); None reads the counts of all events.
        """
        ad, known = self._above_usual(*shown, fold)
        event, priced = self._above_usual(*last, None if fold is None else fold[..., None])
        priced = priced & there
        alike = priced & same
        user = _mean(event, priced, USUAL_EVENTS)
        of_category = _mean(event, alike)
        lately = _mean(event[..., :LATELY], priced[..., :LATELY])
        # The newest of the category is the one before which there is none.
        newest = _mean(event, alike & (alike.cumsum(-1) == 1))
        ad = ad.double()
        to_newest = _difference(ad, newest, known & alike.any(-1))
        scalars = (
            ad,
            user,
            of_category,
            _difference(ad, user, known),
            _difference(ad, lately, known & priced[..., :LATELY].any(-1)),
            _difference(ad, of_category, known & alike.any(-1)),
            to_newest,
            to_newest.abs(),
        )
        return (torch.stack(scalars, dim=-1) / THOUSANDTHS).float()

    def to(self, move: Any) -> "PriceLevels":
        """The same as a function gives arrays, such as one that moves them to a device."""
        return PriceLevels(move(self.usual))

    def _above_usual(self, log_price: Tensor, category: Tensor, fold: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log prices less the usual ones, 0 where either is not known, and whether both are."""
        usual = self.usual[category, FOLDS if fold is None else fold]
        known = (log_price != NO_PRICE) & (usual != NO_PRICE)
        return torch.where(known, log_price - usual, 0).clamp(-MOST, MOST), known


def _mean(values: Tensor, among: Tensor, more: int = 0) -> Tensor:
    """Mean of some whole numbers over the last dimension, float64; `more` of 0 are added, and of none it is 0."""
    return torch.where(among, values, 0).sum(-1).double() / (among.sum(-1) + more).clamp_min(1)


def _difference(one: Tensor, other: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, one - other, 0.0)
