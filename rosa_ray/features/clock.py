"""Local time of a market, for hour of day and weekday: the same function offline and online."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from rosa_ray.arrays import Ints
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUARTER_US = 15 * MINUTE_US
"""Clocks change at quarters of an hour, so a quarter has one offset."""

_EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday; Monday is 0."""

_FIXED = re.compile(r"([+-])(\d{2}):?(\d{2})")


def calendar(local_us: Ints) -> dict[str, Ints]:
    """Hour of day, 0 to 23, and weekday, 0 for Monday, of local times, each (n,).

    >>> {name: values.tolist() for name, values in calendar(np.array([0])).items()}
    {'hour': [0], 'weekday': [3]}
    """
    return {"hour": local_us % DAY_US // HOUR_US, "weekday": (local_us // DAY_US + _EPOCH_WEEKDAY) % 7}


def to_local_us(time_us: Ints, zone: str) -> Ints:
    """Return the clock on a zone's wall, as microseconds since 1970 if it stood in UTC, (n,).

    >>> from rosa_ray.units import HOUR_US
    >>> noon = np.array([datetime(2026, 1, 15, 12), datetime(2026, 7, 15, 12)], "datetime64[us]").astype(np.int64)
    >>> ((to_local_us(noon, "Europe/Berlin") - noon) // HOUR_US).tolist()
    [1, 2]
    """
    quarters, place = np.unique(time_us // _QUARTER_US, return_inverse=True)
    offsets = [_offset_us(zone, quarter) for quarter in quarters.tolist()]
    return time_us + np.array(offsets, np.int64)[place]


@lru_cache(maxsize=1 << 17)
def _offset_us(name: str, quarter: int) -> int:
    moment = _EPOCH + timedelta(microseconds=quarter * _QUARTER_US)
    offset = moment.astimezone(find_zone(name)).utcoffset() or timedelta()
    return round(offset.total_seconds()) * SECOND_US


@lru_cache
def find_zone(name: str) -> tzinfo:
    """Return a zone of the tz database, or a fixed offset such as `+05:30`.

    Raises:
        ValueError: there is none of this name.

    >>> find_zone("+05:30").utcoffset(None)
    datetime.timedelta(seconds=19800)
    """
    fixed = _FIXED.fullmatch(name)
    if fixed:
        sign, hours, minutes = fixed.groups()
        return timezone((1 if sign == "+" else -1) * timedelta(hours=int(hours), minutes=int(minutes)))
    try:
        return ZoneInfo(name)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"'{name}' is no time zone") from error
