"""Which times belong to a log: a stray row of 2099 moves no period, no vocabulary and no eviction.

Staging counts the rows of every day, file by file. The driver sums these counts and decides where each table begins and
ends. The fold sets rows outside aside, and counts them.

A table begins with its middle: all days but those of the first and the last few rows, a thousandth of them at either
end. From there it goes on, day by day, as long as the next day with rows is not further than a week, or a quarter of
the middle where that is more. What lies beyond such a gap is stray, and so is a conversion more than a year after the
last request.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import ConfigError
from rosa_ray.schema import CANDIDATES, EVENTS, IMPRESSIONS
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


def count_days(table: pa.Table) -> dict[str, Counter[int]]:
    """Rows per day of every time column of a contract table that decides bounds."""
    names = (*dict.fromkeys(TIME_COLUMNS.values()), CONVERSION_TIME)
    return {name: _count(table[name]) for name in names if name in table.column_names}


def add_days(counts: dict[str, Counter[int]], more: DayCounts) -> None:
    """Add the counts of other rows."""
    for name, days in more.items():
        counts.setdefault(name, Counter()).update(days)


@dataclass(frozen=True)
class LogBounds:
    """Which rows the fold takes.

    Attributes:
        period: what the configuration asks for, of every table.
        usual: contract to the bounds beyond which rows are stray.
    """

    period: TimeBounds = TimeBounds()
    usual: Mapping[str, TimeBounds] = field(default_factory=dict)


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


def within(table: pa.Table, contract: str, bounds: TimeBounds) -> tuple[pa.Table, pa.Table]:
    """Rows inside of the bounds, and the others."""
    if bounds == TimeBounds():
        return table, table.slice(0, 0)
    time_us = table[TIME_COLUMNS[contract]].cast(pa.int64()).to_numpy()
    kept = np.ones(len(time_us), bool)
    if bounds.from_us is not None:
        kept &= time_us >= bounds.from_us
    if bounds.until_us is not None:
        kept &= time_us < bounds.until_us
    if bounds.latest_conversion_us is not None and CONVERSION_TIME in table.column_names:
        bought_us = table[CONVERSION_TIME].cast(pa.int64()).fill_null(0).to_numpy()
        kept &= bought_us < bounds.latest_conversion_us
    return table.filter(pa.array(kept)), table.filter(pa.array(~kept))


def parse_time(name: str, text: str) -> int | None:
    """Microseconds of a configured moment, None where it is empty.

    Raises:
        ConfigError: it is not ISO 8601 with an offset.
    """
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"preprocess.{name} is '{text}'; give ISO 8601, e.g. 2017-12-01T16:00:00+00:00") from error
    if when.tzinfo is None:
        raise ConfigError(f"preprocess.{name} is '{text}', without an offset; add one, e.g. '{text}+00:00'")
    return round(when.timestamp() * 1_000_000)


def iso(time_us: int) -> str:
    """A moment for people.

    >>> iso(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds")


def days_to_plain(counts: DayCounts) -> dict[str, dict[str, int]]:
    """For JSON, whose keys are text."""
    return {name: {str(day): rows for day, rows in sorted(days.items())} for name, days in counts.items()}


def days_from_plain(counts: Mapping[str, Mapping[str, int]]) -> dict[str, Counter[int]]:
    """Inverse of `days_to_plain`."""
    return {name: Counter({int(day): rows for day, rows in days.items()}) for name, days in counts.items()}


def sum_days(parts: Iterable[DayCounts]) -> dict[str, Counter[int]]:
    """Counts of all parts together."""
    total: dict[str, Counter[int]] = {}
    for part in parts:
        add_days(total, part)
    return total


def _count(times: pa.ChunkedArray) -> Counter[int]:
    time_us = pc.drop_null(times).cast(pa.int64()).to_numpy()
    day, rows = np.unique(time_us // DAY_US, return_counts=True)
    return Counter(dict(zip(day.tolist(), rows.tolist(), strict=True)))
