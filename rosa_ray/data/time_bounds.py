"""Which rows of a log the fold takes, by their time; `rosa_ray.schema.spans` has the rule.

Staging counts the rows of every day, file by file. The driver sums these counts and decides where each table begins and
ends. The fold sets rows outside aside, and counts them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import ConfigError
from rosa_ray.schema.spans import ANY_TIME, CONVERSION_TIME, TIME_COLUMNS, DayCounts, TimeBounds, rows_of_days


def count_days(table: pa.Table) -> dict[str, Counter[int]]:
    """Rows per day of every time column of a contract table that decides bounds."""
    names = (*dict.fromkeys(TIME_COLUMNS.values()), CONVERSION_TIME)
    return {
        name: rows_of_days(pc.drop_null(table[name]).cast(pa.int64()).to_numpy())
        for name in names
        if name in table.column_names
    }


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

    period: TimeBounds = ANY_TIME
    usual: Mapping[str, TimeBounds] = field(default_factory=dict)


def within(table: pa.Table, contract: str, bounds: TimeBounds) -> tuple[pa.Table, pa.Table]:
    """Rows inside of the bounds, and the others."""
    if bounds == ANY_TIME:
        return table, table.slice(0, 0)
    time_us = table[TIME_COLUMNS[contract]].cast(pa.int64()).to_numpy()
    bought_us = None
    if CONVERSION_TIME in table.column_names:
        bought_us = table[CONVERSION_TIME].cast(pa.int64()).fill_null(0).to_numpy()
    kept = bounds.inside(time_us, bought_us)
    return table.filter(pa.array(kept)), table.filter(pa.array(~kept))


def parse_time(key: str, text: str) -> int | None:
    """Microseconds of a moment that a person wrote, None where it is empty.

    Args:
        key: of the setting or the option, for messages.

    Raises:
        ConfigError: it is not ISO 8601 with an offset.
    """
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{key} is '{text}'; give ISO 8601, e.g. 2017-12-01T16:00:00+00:00") from error
    if when.tzinfo is None:
        raise ConfigError(f"{key} is '{text}', without an offset; add one, e.g. '{text}+00:00'")
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
