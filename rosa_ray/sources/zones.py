"""Zones of times: names with summer time, and offsets from UTC."""

import re
from functools import cache
from zoneinfo import available_timezones

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

OFFSET = r"(?:Z|UTC|GMT|(?:UTC|GMT)?[+-](?:\d{2}(?::?\d{2})?|\d:\d{2})(?:\s*UTC)?)"
"""Regular expression of how a time says its own offset."""


def known_zone(zone: str) -> bool:
    """Tell whether a zone is a known name or an offset.

    >>> known_zone("Europe/Paris"), known_zone("+05:30"), known_zone("Mars")
    (True, True, False)
    """
    return bool(_fixed_offset(zone) is not None or zone in _zone_names())


def offset_of(text: str) -> int | None:
    """Return the microseconds east of UTC that a text says; None for the empty one.

    >>> [offset_of(text) for text in ("UTC", "-0330", "")]
    [0, -12600000000, None]
    """
    if not text:
        return None
    found = re.search(r"([+-])(\d{1,2}):?(\d{2})?", text)
    if not found:
        return 0
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return (-minutes if found[1] == "-" else minutes) * 60_000_000


def offset_of_clock(micros: np.ndarray, zone: str) -> np.ndarray | int:
    """Return the microseconds east of UTC of a zone's clock at clock times.

    A time that the clock skips counts on from before the gap; of a time that it shows twice, the first is meant.

    Args:
        micros: what the clock shows, microseconds since 1970, (n,).
        zone: a name or an offset.

    Returns:
        (n,), or one for all where the zone is an offset.
    """
    fixed = _fixed_offset(zone)
    if fixed is not None:
        return fixed
    local = pa.array(micros).cast(pa.timestamp("us"))
    guess = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest")
    shown = pc.local_timestamp(guess).cast(pa.int64()).to_numpy()
    east: np.ndarray = shown - guess.cast(pa.int64()).to_numpy()
    return east


def _fixed_offset(zone: str) -> int | None:
    return offset_of(zone) if re.fullmatch(r"[+-]\d{2}:?\d{2}", zone) else None


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())
