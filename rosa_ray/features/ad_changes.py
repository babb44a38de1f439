"""What live records say of ads in the catalogue: some of an ad's terms, from a moment on.

A term holds from the newest record that tells it, up to the time asked about, on; terms that a record does not tell
keep what they had. So an ad's versions are a function of the set of its records: neither their order nor repetitions
matter, and the fold of a log offline gives the same versions as a running service has.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from rosa_ray.features.catalogue import ALWAYS_US, NEVER_US

TERMS = (
    *("item_id", "campaign_id", "category", "bid", "price"),
    *("paused", "valid_until", "budget", "devices", "regions"),
)
"""What a record may tell of an ad, beside its declared columns by their full names.

`valid_until` is microseconds UTC; devices and regions are sorted lists of ids."""

REQUIRED_TERMS = ("campaign_id", "category", "bid", "price")
"""An ad cannot be ranked until these were told, as the ads contract needs them. Those of a table count as told."""

_ENCODE = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode

Terms = dict[str, Any]
"""Terms by name; one that is absent was never told."""


@dataclass(frozen=True, order=True)
class AdChange:
    """Terms of one ad from a moment on.

    Attributes:
        time_us: since when, microseconds UTC; `ALWAYS_US` is since ever.
        told: the terms as JSON in one form, so that equal texts tell the same.

    >>> AdChange.of("ad1", 5, {"price": 2.0, "bid": 0.5}).told
    '{"bid":0.5,"price":2.0}'
    """

    ad_id: str
    time_us: int
    told: str

    @classmethod
    def of(cls, ad_id: str, time_us: int, terms: Mapping[str, Any]) -> "AdChange":
        """Say some of `TERMS` of an ad."""
        return cls(ad_id, time_us, _ENCODE(dict(terms)))

    @cached_property
    def terms(self) -> Terms:
        """What it tells, by name."""
        told: Terms = json.loads(self.told)
        return told


@dataclass(frozen=True)
class AdLog:
    """Changes of ads that a store holds, as it learned of them.

    Attributes:
        log: names the store's list of changes; another one is read from its beginning.
        changes: by rising number.
        last: number of the last one; ask for what follows it next time.
        kept_us: what was superseded at this time may have been let go.
    """

    log: str
    changes: tuple[AdChange, ...]
    last: int
    kept_us: int = ALWAYS_US


def fold_changes(changes: Iterable[AdChange], base: Sequence[tuple[int, Terms]] = ()) -> list[tuple[int, Terms]]:
    """Versions of one ad by rising time: since when each holds, and all terms that are known then.

    Of one moment the terms that several records tell are united. Where they contradict, the larger JSON text counts.

    Args:
        changes: of one ad.
        base: versions that a table tells, by rising time, each with all its terms; a record of the same moment wins.

    >>> price = AdChange.of("ad1", 7, {"price": 3.0})
    >>> fold_changes([price, AdChange.of("ad1", 5, {"price": 2.0, "bid": 1.0}), price])
    [(5, {'bid': 1.0, 'price': 2.0}), (7, {'bid': 1.0, 'price': 3.0})]
    """
    of_base: dict[int, Terms] = {}
    for time_us, terms in base:
        of_base[time_us] = of_base.get(time_us, {}) | terms
    of_records = _by_moment(changes)
    versions: list[tuple[int, Terms]] = []
    held: Terms = {}
    for time_us in sorted({*of_base, *of_records}):
        held = held | of_base.get(time_us, {}) | of_records.get(time_us, {})
        versions.append((time_us, held))
    return versions


def _by_moment(changes: Iterable[AdChange]) -> dict[int, Terms]:
    """What all records of each moment tell together."""
    united: dict[int, Terms] = {}
    for change in set(changes):
        terms = united.setdefault(change.time_us, {})
        for name, value in change.terms.items():
            if name not in terms or _ENCODE(value) > _ENCODE(terms[name]):
                terms[name] = value
    return united


def is_complete(terms: Terms) -> bool:
    """Whether an ad of these terms can be ranked.

    >>> is_complete({"price": 2.0}), is_complete({"price": 2.0, "bid": 1.0, "campaign_id": "k1", "category": "shoes"})
    (False, True)
    """
    return terms.keys() >= set(REQUIRED_TERMS)


def until_us(from_us: int, terms: Terms) -> int:
    """When a version with these terms ends, microseconds UTC; at its begin where the ad is paused or over.

    >>> until_us(5, {"valid_until": 9}), until_us(5, {"paused": True}), until_us(10, {"valid_until": 9})
    (9, 5, 10)
    """
    if terms.get("paused"):
        return from_us
    end = terms.get("valid_until")
    return NEVER_US if end is None else max(end, from_us)


def let_go(changes: Iterable[AdChange], superseded_us: int) -> tuple[list[AdChange], list[AdChange]]:
    """Part changes of one ad into those to keep and those to let go, each in the order of time.

    A change is let go where every term that it tells was told again later, and not after a time.
    """
    kept: list[AdChange] = []
    gone: list[AdChange] = []
    superseded: set[str] = set()
    newest_first = sorted(set(changes), key=lambda one: (-one.time_us, one.told))
    for time_us, of_moment in groupby(newest_first, key=lambda one: one.time_us):
        told: set[str] = set()
        for change in of_moment:
            (gone if time_us < superseded_us and superseded.issuperset(change.terms) else kept).append(change)
            told |= change.terms.keys()
        if time_us <= superseded_us:
            superseded |= told
    return kept[::-1], gone[::-1]
