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
        hint: how more of them would meet; empty where no other way of writing helps.
        would_meet: ids of the first side that meet as the hint says.
        examples: an id of each side that nothing pairs, or that the hint pairs.
        without_ids: the side that has no ids, 0 or 1; None where both have some.
    """

    ids: int
    known: int
    hint: str = ""
    would_meet: int = 0
    examples: tuple[str, str] | None = None
    without_ids: int | None = None

    @property
    def share(self) -> float | None:
        """Share of the ids that are known, None where there are no ids."""
        return self.known / self.ids if self.ids else None

    def told(self, left: str, right: str) -> str:
        """Say for people why few ids meet; empty where enough do.

        Args:
            left, right: names of the sides.

        >>> overlap = find_overlap(pa.array(["1.0", "2.0", "3.0"]), pa.array(["1", "2", "9"]))
        >>> overlap.told("ads.item_id", "events.item_id")
        "more would meet without '.0' at their ends: ads.item_id has '1.0' where events.item_id has '1'"
        """
        if self.without_ids is not None:
            return f"{(left, right)[self.without_ids]} has no ids at all"
        if self.examples is None:
            return ""
        first, second = self.examples
        if self.hint:
            return f"{self.hint}: {left} has '{first}' where {right} has '{second}'"
        return f"the ids have nothing in common: {left} has ids like '{first}', {right} like '{second}'"


def find_overlap(left: pa.Array, right: pa.Array) -> Overlap:
    """Count the ids of `left` that `right` knows; where few or none, look for another way of writing them.

    The way is taken that pairs most ids, the plainest of several.

    Args:
        left: ids, strings; nulls and repetitions count for nothing.
        right: the same.

    >>> find_overlap(pa.array(["u1 ", "u2 "]), pa.array(["u1", "u2"])).hint
    'more would meet without spaces around them'
    >>> find_overlap(pa.array(["web:7", "web:8"]), pa.array(["7", "9"])).hint
    "more would meet without 'web:' in front"
    """
    left, right = (side.cast(pa.string()).drop_null().unique() for side in (left, right))
    known = _meeting(left, right)
    if not len(left) or not len(right):
        return Overlap(len(left), known, without_ids=1 if len(left) else 0)
    if known > LITTLE * len(left):
        return Overlap(len(left), known)
    most, best = max(_CLEARLY_MORE * known, LITTLE * len(left)), None
    for words, rewrite in _rewrites(left, right):
        left_now, right_now = (_without_empty(rewrite(side)) for side in (left, right))
        met = pc.is_in(left_now, value_set=right_now, skip_nulls=True)
        count = len(left_now.filter(met).unique())
        if count > most:
            most, best = count, (words, left_now, right_now)
    if best:
        words, left_now, right_now = best
        pair = _pair(left, left_now, right, right_now)
        return Overlap(len(left), known, f"more would meet {words}", int(most), pair)
    return Overlap(len(left), known, examples=None if known else (left[0].as_py(), right[0].as_py()))


def plain_forms(ids: pa.Array) -> pa.Array:
    """What stays of ids without their prefixes, leading zeros, case, punctuation and `.0`.

    >>> plain_forms(pa.array(["u7 ", "U-07", "Ä", "user"])).to_pylist()
    ['7', '7', 'ä', 'user']
    """
    texts = pc.utf8_lower(_without_fraction(pc.utf8_trim_whitespace(ids)))
    texts = pc.replace_substring_regex(texts, r"[^\p{L}\p{N}]", "")
    texts = pc.replace_substring_regex(texts, r"^[^0-9]+([0-9])", r"\1")
    return pc.utf8_ltrim(texts, characters="0")


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
    found.append(("without prefix, spaces, case, punctuation, '.0' and leading zeros", plain_forms))
    return found


def _all(rewrites: list[tuple[str, Callable[[pa.Array], pa.Array]]], ids: pa.Array) -> pa.Array:
    for _, rewrite in rewrites:
        ids = rewrite(ids)
    return ids


def _without_fraction(ids: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(ids, r"(\d)\.0+$", r"\1")


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
