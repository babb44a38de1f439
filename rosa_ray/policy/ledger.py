"""What campaigns spent and earned, by the hour: sums of whole numbers, free of order.

Money is int64 micro-units, so that any order and grouping of the same impressions gives the same sums, bit for bit.
Only some days are kept. A day falls out once something is told of a day so much later, and what is told of it
afterwards is left out too. So the order of telling decides nothing.

Shape legend: C campaigns, H = 24 hours of a day, D days.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.units import DAY_US, HOUR_US, MICROS_PER_UNIT

HOURS = DAY_US // HOUR_US
COST, REVENUE = 0, 1
"""Columns of sums."""


class Ledger:
    """Cost and revenue of campaigns by hour.

    Args:
        campaign_key: int64 (C,), rising; what is told of others is left out.
        kept_days: days that are kept, the newest one among them, at least 1.
        offset_us: what is added to a time before its day and hour are taken; that of a time zone.
    """

    def __init__(self, campaign_key: Ints, kept_days: int, offset_us: int = 0) -> None:
        self.campaign_key, self.kept_days, self.offset_us = campaign_key, kept_days, offset_us
        self.days: dict[int, Ints] = {}
        """By number of the day since 1970: int64 (C, H, 2) micro-units."""
        self._newest: int | None = None

    def rows_of(self, campaign_key: Ints) -> tuple[Ints, np.ndarray]:
        """Place of n campaigns, int64 (n,), and whether it is theirs, bool (n,)."""
        if not len(self.campaign_key):
            return np.zeros(len(campaign_key), np.int64), np.zeros(len(campaign_key), bool)
        at = np.minimum(np.searchsorted(self.campaign_key, campaign_key), len(self.campaign_key) - 1)
        return at, self.campaign_key[at] == campaign_key

    def moment(self, time_us: int) -> tuple[int, int]:
        """Day and hour of a time.

        >>> Ledger(np.array([7]), 1).moment(DAY_US + 2 * HOUR_US)
        (1, 2)
        """
        day, in_day_us = divmod(time_us + self.offset_us, DAY_US)
        return day, in_day_us // HOUR_US

    def fold(self, campaign_key: Ints, time_us: Ints, cost_micros: Ints, revenue_micros: Ints) -> Ints:
        """Add n amounts, int64 (n,) each; returns the hours since 1970 that changed, int64 (k,), rising."""
        at, mine = self.rows_of(campaign_key)
        at, hours = at[mine], (time_us[mine] + self.offset_us) // HOUR_US
        if not len(at):
            return hours
        day, hour = np.divmod(hours, HOURS)
        self._keep_until(int(day.max()))
        amounts = np.stack([cost_micros[mine], revenue_micros[mine]], axis=-1)
        for one in np.unique(day[day > self._forgotten]).tolist():
            rows = day == one
            np.add.at(self._of_day(one), (at[rows], hour[rows]), amounts[rows])
        changed: Ints = np.unique(hours[day > self._forgotten])
        return changed

    def of_day(self, day: int) -> Ints:
        """Micro-units that each campaign spent and earned on a day, int64 (C, 2)."""
        found = self.days.get(day)
        return np.zeros((len(self.campaign_key), 2), np.int64) if found is None else found.sum(axis=1)

    def total(self) -> Ints:
        """Micro-units of all days that are kept, int64 (C, 2)."""
        total = np.zeros((len(self.campaign_key), 2), np.int64)
        for sums in self.days.values():
            total += sums.sum(axis=1)
        return total

    def equals(self, other: "Ledger", day: int, hour: int) -> bool:
        """Whether both hold the same of every hour before a moment."""
        nothing = np.zeros((len(self.campaign_key), HOURS, 2), np.int64)
        for one in self.days.keys() | other.days.keys():
            hours = slice(0 if one > day else hour if one == day else HOURS)
            mine, theirs = (ledger.days.get(one, nothing)[:, hours] for ledger in (self, other))
            if not np.array_equal(mine, theirs):
                return False
        return True

    def snapshot(self) -> dict[str, Any]:
        """campaign_key (C,); day (D,), rising; sums int64 (D, C, H, 2)."""
        days = sorted(self.days)
        sums = [self.days[day] for day in days]
        empty = np.zeros((0, len(self.campaign_key), HOURS, 2), np.int64)
        return {
            "campaign_key": self.campaign_key,
            "day": np.array(days, np.int64),
            "sums": np.stack(sums) if sums else empty,
        }

    def merge(self, snapshot: Mapping[str, Any]) -> None:
        """Add the sums of another process, which was told other amounts; campaigns that are unknown here fall out."""
        at, mine = self.rows_of(snapshot["campaign_key"])
        days = snapshot["day"].tolist()
        if days:
            self._keep_until(max(days))
        for day, sums in zip(days, snapshot["sums"], strict=True):
            if day > self._forgotten:
                self._of_day(day)[at[mine]] += sums[mine]

    @property
    def _forgotten(self) -> int:
        """The newest day that fell out."""
        return np.iinfo(np.int64).min if self._newest is None else self._newest - self.kept_days

    def _keep_until(self, day: int) -> None:
        self._newest = day if self._newest is None else max(self._newest, day)
        self.days = {one: sums for one, sums in self.days.items() if one > self._forgotten}

    def _of_day(self, day: int) -> Ints:
        if day not in self.days:
            self.days[day] = np.zeros((len(self.campaign_key), HOURS, 2), np.int64)
        return self.days[day]


def micros(money: Floats) -> Ints:
    """Currency units as whole micro-units.

    >>> micros(np.array([0.1234567]))
    array([123457])
    """
    whole: Ints = np.rint(np.asarray(money, np.float64) * MICROS_PER_UNIT).astype(np.int64)
    return whole
