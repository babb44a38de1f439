"""Times in text: a form becomes a regular expression, and what it finds microseconds of a clock."""

import re
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.sources.values import integers_of, mask_of
from rosa_ray.sources.zones import OFFSET, offset_of

ISO = (
    r"(?i)^(?P<Y>\d{4})[-/](?P<m>\d{1,2})[-/](?P<d>\d{1,2})"
    r"(?:[T\s]\s*(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d+))?)?\s*(?P<z>" + OFFSET + r")?)?$"
)
"""ISO 8601 with dashes or slashes, with or without an offset, with a fraction of any length."""

_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{1,2}",
    "d": r"\d{1,2}",
    "e": r"\s?\d{1,2}",
    "b": r"[[:alpha:]]{3,9}\.?",
    "H": r"\d{1,2}",
    "I": r"\d{1,2}",
    "M": r"\d{1,2}",
    "S": r"\d{1,2}",
    "f": r"\d+",
    "p": r"[AaPp]\.?[Mm]\.?",
    "z": OFFSET,
    "a": r"[[:alpha:]]{2,9}\.?",
}
_ALIASES = {"B": "b", "h": "b", "A": "a", "k": "H", "l": "I", "Z": "z"}
_SHORTHANDS = {"%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y", "%F": "%Y-%m-%d"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@cache
def pattern_of(time_format: str) -> str:
    """Turn a `strptime` form into a regular expression with a group for each directive.

    >>> pattern_of("%d/%m")
    Traceback (most recent call last):
    ValueError: it needs %Y, %m and %d

    Raises:
        ValueError: a directive is unknown or there twice, or the date is not whole.
    """
    for short, long in _SHORTHANDS.items():
        time_format = time_format.replace(short, long)
    seen: list[str] = []
    pieces = [_piece(piece, seen) for piece in re.findall(r"%.?|\s+|.", time_format, re.DOTALL)]
    twice = next((name for name in seen if seen.count(name) > 1), None)
    if twice:
        raise ValueError(f"%{twice} is there twice")
    if not {"Y", "y"} & {*seen} or not {"m", "b"} & {*seen} or not {"d", "e"} & {*seen}:
        raise ValueError("it needs %Y, %m and %d")
    return "^" + "".join(pieces) + "$"


def local_microseconds(parts: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a clock and a calendar show, in microseconds since 1970, and which values are a day and an hour.

    Args:
        parts: what the groups of a `pattern_of` found, (n,).
    """
    names = {field.name for field in parts.type}
    year = integers_in(parts, "Y") if "Y" in names else _century(integers_in(parts, "y"))
    month = integers_in(parts, "m") if "m" in names else _month_numbers(group_of(parts, "b"))
    day = integers_in(parts, "d") if "d" in names else integers_in(parts, "e")
    hour = integers_in(parts, "H") if "H" in names else integers_in(parts, "I")
    fits = (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1)
    if "p" in names:
        fits &= (hour >= 1) & (hour <= 12)
        hour = hour % 12 + 12 * mask_of(pc.match_substring_regex(group_of(parts, "p"), "^[Pp]"))
    minute, second = integers_in(parts, "M"), integers_in(parts, "S")
    fits &= (hour < 24) & (minute < 60) & (second <= 60)
    months = np.where(fits, (year - 1970) * 12 + month - 1, 0).astype("M8[M]")
    days = months.astype("M8[D]") + np.where(fits, day - 1, 0)
    fits &= days.astype("M8[M]") == months
    seconds = days.astype("M8[s]").astype(np.int64) + hour * 3600 + minute * 60 + second
    return seconds * 1_000_000 + _fraction(parts, names), fits


def offsets_in(parts: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the microseconds east of UTC, and which values say so."""
    if "z" not in {field.name for field in parts.type}:
        return np.zeros(len(parts), np.int64), np.zeros(len(parts), bool)
    encoded = group_of(parts, "z").combine_chunks().dictionary_encode()
    known = [offset_of(text) for text in encoded.dictionary.to_pylist()]
    micros = pc.take(pa.array(known, pa.int64()), encoded.indices)
    return integers_of(micros), mask_of(pc.is_valid(micros))


def group_of(parts: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return what a group found, as text; empty where it found nothing in a text that matches."""
    return pc.struct_field(parts, name)


def integers_in(parts: pa.ChunkedArray, name: str) -> np.ndarray:
    """Return what a group found, as integers; 0 where it found nothing or is none of the pattern."""
    if name not in {field.name for field in parts.type}:
        return np.zeros(len(parts), np.int64)
    texts = _nonempty(pc.utf8_trim_whitespace(group_of(parts, name)), "0")
    return integers_of(texts)


def _fraction(parts: pa.ChunkedArray, names: set[str]) -> np.ndarray:
    if "f" not in names:
        return np.zeros(len(parts), np.int64)
    digits = pc.utf8_slice_codeunits(pc.utf8_rpad(group_of(parts, "f"), 6, "0"), 0, 6)
    return integers_of(_nonempty(digits, "000000"))


def _piece(piece: str, seen: list[str]) -> str:
    if piece.isspace():
        return r"\s+"
    if piece == "%%" or not piece.startswith("%"):
        return re.escape(piece[-1])
    name = _ALIASES.get(piece[1:], piece[1:])
    if name not in _DIRECTIVES:
        raise ValueError(f"{piece} is unknown; known are {', '.join(f'%{known}' for known in _DIRECTIVES)}")
    seen.append(name)
    return f"(?P<{name}>{_DIRECTIVES[name]})"


def _nonempty(texts: pa.ChunkedArray, default: str) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(texts, ""), default, texts)


def _century(years: np.ndarray) -> np.ndarray:
    return np.where(years < 69, years + 2000, years + 1900)


def _month_numbers(names: pa.ChunkedArray) -> np.ndarray:
    encoded = names.combine_chunks().dictionary_encode()
    known = [
        _MONTHS.index(name[:3].lower()) + 1 if name[:3].lower() in _MONTHS else 0
        for name in encoded.dictionary.to_pylist()
    ]
    return integers_of(pc.take(pa.array(known, pa.int64()), encoded.indices))
