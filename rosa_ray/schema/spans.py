"""Which times belong to a log: a stray row of 2099 moves no period, no vocabulary and no eviction.

A table begins with its middle: all days but those of the first and the last few rows, a thousandth of them at either
end. From there it goes on, day by day, as long as the next day with rows is not further than a week, or a quarter of
the middle where that is more. What lies beyond such a gap is stray, and so is a conversion more than a year after the
last request.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rosa_ray.schema.contracts import CANDIDATES, EVENTS, IMPRESSIONS
from rosa_ray.units import DAY_US

TIME_COLUMNS = {EVENTS.name: "event_time", IMPRESSIONS.name: "request_time", CANDIDATES.name: "request_time"}
"""Contract to the column that says when its row was."""

CONVERSION_TIME = "conversion_time"
CONVERSION_DAYS = 366
"""A conversion may come this long after the last request."""
GAP_DAYS = 7
GAP_SHARE = 0.25
STRAY_SHARE = 0.001
STRAY_ROWS, ROWS_FOR_ONE = 3, 50
"""A small table may have up to three stray rows at either end, and one in fifty."""

STRAY = "lie far outside of the log's time"
"""What is said of stray rows, after their number."""
STRAY_REMEDY = "preprocess.time_outliers=keep takes them"

DayCounts = Mapping[str, Mapping[int, int]]
"""Column to {days since 1970: rows}."""


@dataclass(frozen=True)
class TimeBounds:
    """When a table begins and ends.

    Attributes:
        from_us: rows before are left out; None has no bound.
        until_us: rows from this moment on are left out; None has no bound.
        latest_conversion_us: rows that convert from this moment on are left out; None has no bound.
    """

    from_us: int | None = None
    until_us: int | None = None
    latest_conversion_us: int | None = None

    def inside(self, time_us: np.ndarray, conversion_us: np.ndarray | None = None) -> np.ndarray:
        """Whether rows lie within.

        Args:
            time_us: int64 (n,).
            conversion_us: int64 (n,), 0 where nothing was bought; None without such a column.
        """
        kept = np.ones(len(time_us), bool)
        if self.from_us is not None:
            kept &= time_us >= self.from_us
        if self.until_us is not None:
            kept &= time_us < self.until_us
        if self.latest_conversion_us is not None and conversion_us is not None:
            kept &= conversion_us < self.latest_conversion_us
        return kept


ANY_TIME = TimeBounds()
"""No bound at all."""


def rows_of_days(time_us: np.ndarray) -> Counter[int]:
    """Rows of each day since 1970.

    >>> rows_of_days(np.array([0, 1, DAY_US]))
    Counter({0: 2, 1: 1})
    """
    day, rows = np.unique(time_us // DAY_US, return_counts=True)
    return Counter(dict(zip(day.tolist(), rows.tolist(), strict=True)))


def find_bounds(contract: str, counts: DayCounts, period: TimeBounds) -> TimeBounds:
    """Where a table begins and ends; no bound where nothing lies beyond it.

    Args:
        counts: rows per day of the whole table.
        period: days outside of it do not count.
    """
    low, high = (None if bound is None else bound // DAY_US for bound in (period.from_us, period.until_us))
    days = {
        day: rows
        for day, rows in counts.get(TIME_COLUMNS.get(contract, ""), {}).items()
        if (low is None or day >= low) and (high is None or day <= high)
    }
    if not days:
        return TimeBounds()
    first, last = usual_days(days)
    bought, latest = counts.get(CONVERSION_TIME, {}), last + CONVERSION_DAYS
    return TimeBounds(
        first * DAY_US if first > min(days) else None,
        (last + 1) * DAY_US if last < max(days) else None,
        (latest + 1) * DAY_US if bought and latest < max(bought) else None,
    )


def usual_days(days: Mapping[int, int]) -> tuple[int, int]:
    """First and last day that belong to a table.

    >>> usual_days({20_000: 40, 20_001: 50, 20_003: 30, 47_000: 1})
    (20000, 20003)
    """
    day = np.array(sorted(days))
    rows = np.array([days[int(one)] for one in day])
    total = int(rows.sum())
    stray = max(int(STRAY_SHARE * total), min(STRAY_ROWS, total // ROWS_FOR_ONE))
    before, after = np.cumsum(rows), np.cumsum(rows[::-1])[::-1]
    low, high = int(np.argmax(before > stray)), len(day) - 1 - int(np.argmax(after[::-1] > stray))
    low, high = min(low, high), max(low, high)
    gap = max(GAP_DAYS, GAP_SHARE * (day[high] - day[low]))
    while low > 0 and day[low] - day[low - 1] <= gap:
        low -= 1
    while high < len(day) - 1 and day[high + 1] - day[high] <= gap:
        high += 1
    return int(day[low]), int(day[high])
