"""Do the ids of two tables meet, and if not, how are they written differently?"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

LITTLE = 0.05
"""Where a smaller share of ids meets, other ways of writing them are tried."""
_CLEARLY_MORE = 5
_MOST_PREFIX = 24


@dataclass(frozen=True)
class Overlap:
    """How many ids of one side the other side knows.

    Attributes:
        ids: distinct ids of the first side.
        known: those that the second side has too.
        hint: what would make more of them meet, one sentence; empty where nothing would.
        examples: an id of each side that nothing pairs, or that the hint pairs.
    """

    ids: int
    known: int
    hint: str = ""
    examples: tuple[str, str] | None = None

    @property
    def share(self) -> float | None:
        """Share of the ids that are known, None where there are no ids."""
        return self.known / self.ids if self.ids else None

    def __str__(self) -> str:
        """Say it for people.

        >>> print(find_overlap(pa.array(["1.0", "2.0", "3.0"]), pa.array(["1", "2", "9"])))
        0 of 3; without '.0' at their ends 2 would meet, such as '1.0' and '1'
        """
        first = f"{self.known} of {self.ids}"
        if self.hint and self.examples:
            return f"{first}; {self.hint}, such as '{self.examples[0]}' and '{self.examples[1]}'"
        if self.examples:
            return f"{first}; one side has ids like '{self.examples[0]}', the other like '{self.examples[1]}'"
        return first


def find_overlap(left: pa.Array, right: pa.Array) -> Overlap:
    """Count the ids of `left` that `right` knows; where few or none, look for another way of writing them.

    Args:
        left: ids, strings; nulls and repetitions count for nothing.
        right: the same.

    >>> find_overlap(pa.array(["u1 ", "u2 "]), pa.array(["u1", "u2"])).hint
    'without spaces around them 2 would meet'
    >>> find_overlap(pa.array(["web:7", "web:8"]), pa.array(["7", "9"])).hint
    "without 'web:' in front 1 would meet"
    """
    left, right = (side.cast(pa.string()).drop_null().unique() for side in (left, right))
    known = _meeting(left, right)
    if not len(left) or not len(right) or known > LITTLE * len(left):
        return Overlap(len(left), known)
    for words, rewrite in _rewrites(left, right):
        left_now, right_now = (_without_empty(rewrite(side)) for side in (left, right))
        met = pc.is_in(left_now, value_set=right_now, skip_nulls=True)
        count = len(left_now.filter(met).unique())
        if count > max(_CLEARLY_MORE * known, LITTLE * len(left)):
            return Overlap(len(left), known, f"{words} {count} would meet", _pair(left, left_now, right, right_now))
    return Overlap(len(left), known, "", None if known else (left[0].as_py(), right[0].as_py()))


def _without_empty(ids: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(ids, ""), None, ids)


def _meeting(left: pa.Array, right: pa.Array) -> int:
    return int(pc.sum(pc.is_in(left, value_set=right)).as_py() or 0)


def _rewrites(left: pa.Array, right: pa.Array) -> list[tuple[str, Callable[[pa.Array], pa.Array]]]:
    found: list[tuple[str, Callable[[pa.Array], pa.Array]]] = [
        ("without spaces around them", pc.utf8_trim_whitespace),
        ("without '.0' at their ends", _without_fraction),
        ("ignoring case", pc.utf8_lower),
        ("without leading zeros", lambda ids: pc.replace_substring_regex(ids, r"^0+(\d)", r"\1")),
        ("without quotes and brackets", lambda ids: pc.utf8_trim(ids, characters="\"'[]{}()")),
        ("without hyphens", lambda ids: pc.replace_substring(ids, "-", "")),
    ]
    prefixes = dict.fromkeys(prefix for ids in (left, right) for prefix in _prefixes(ids))
    found += [(f"without '{prefix}' in front", _cut(prefix)) for prefix in prefixes]
    found.append(("by their digits alone", lambda ids: pc.replace_substring_regex(ids, r"\D", "")))
    plain = found[:4]
    found.append(("without spaces, case, '.0' and leading zeros", lambda ids: _all(plain, ids)))
    return found


def _all(rewrites: list[tuple[str, Callable[[pa.Array], pa.Array]]], ids: pa.Array) -> pa.Array:
    for _, rewrite in rewrites:
        ids = rewrite(ids)
    return ids


def _without_fraction(ids: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(ids, r"^(-?\d+)\.0+$", r"\1")


def _prefixes(ids: pa.Array) -> list[str]:
    """What all ids begin with: up to the last sign such as `:`, and up to their first digit or letter that differs."""
    if len(ids) < 2:
        return []
    first, last = str(pc.min(ids).as_py()), str(pc.max(ids).as_py())
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    whole = first[:same].rstrip("0123456789")[:_MOST_PREFIX]
    to_sign = re.sub(r"[^\W_]+$", "", whole)
    return [prefix for prefix in dict.fromkeys((to_sign, whole)) if prefix]


def _cut(prefix: str) -> Callable[[pa.Array], pa.Array]:
    return lambda ids: pc.if_else(pc.starts_with(ids, prefix), pc.utf8_slice_codeunits(ids, len(prefix)), ids)


def _pair(left: pa.Array, left_now: pa.Array, right: pa.Array, right_now: pa.Array) -> tuple[str, str]:
    """An id of each side that the rewriting pairs."""
    places = pc.index_in(left_now, value_set=right_now, skip_nulls=True)
    at = pc.index(pc.is_valid(places), True).as_py()
    return left[at].as_py(), right[places[at].as_py()].as_py()
