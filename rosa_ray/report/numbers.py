"""Numbers as the page writes them. What is undefined is a dash, never 0."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

MISSING = "–"
MINUS = "−"
SCORE_WORDS = {
    "roi": "expected ROI",
    "profit": "expected profit",
    "dual": "expected revenue less theta times cost",
    "roas": "expected ROAS",
    "ecpm": "expected revenue",
    "ctr": "click probability",
}
"""What each score kind ranks by, in words."""


def number(value: Any, digits: int = 4) -> str:
    """Return a number with a fixed count of decimals.

    >>> number(-0.24244), number(None), number(12345.6, 1)
    ('−0.2424', '–', '12,345.6')
    """
    return f"{value:,.{digits}f}".replace("-", MINUS) if is_number(value) else MISSING


def count(value: Any) -> str:
    """Return a whole number with separators.

    >>> count(17031)
    '17,031'
    """
    return number(value, 0)


def percent(value: Any, digits: int = 1) -> str:
    """Return a share as a percentage.

    >>> percent(0.61702)
    '61.7 %'
    """
    return f"{number(100 * value, digits)} %" if is_number(value) else MISSING


def plain(value: Any) -> str:
    """Return any JSON value as short text.

    >>> plain([128, 64]), plain(True), plain(0.0005), plain(None), plain("")
    ('128, 64', 'yes', '0.0005', '–', '–')
    """
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", MINUS)
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or MISSING
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items()) or MISSING
    return count(value) if isinstance(value, int) else str(value)


def minute(time_us: int) -> str:
    """Return a time to the minute.

    >>> minute(1767571266361682)
    '2026-01-05 00:01 UTC'
    """
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")


def hours(value: float) -> str:
    """Return a duration given in hours, in the unit a reader would choose.

    >>> hours(0.75), hours(7), hours(50), hours(24 * 90), hours(876000)
    ('45 min', '7.0 h', '2.1 d', '90.0 d', '100 y')
    """
    if value < 1:
        return f"{60 * value:.0f} min"
    if value < 48:
        return f"{value:.1f} h"
    return f"{value / 24:.1f} d" if value < 24 * 730 else f"{value / 24 / 365:,.0f} y"


def is_number(value: Any) -> bool:
    """Tell a finite number from everything else a JSON file may hold.

    >>> is_number(0.5), is_number(True), is_number("0.5"), is_number(float("nan"))
    (True, False, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def leaves(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a nested mapping under dotted names.

    >>> list(leaves({"loss": {"alpha": 1.0}, "seed": 7}))
    [('loss.alpha', 1.0), ('seed', 7)]
    """
    for name, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
