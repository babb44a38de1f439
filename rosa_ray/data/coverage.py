"""Do the tables speak of the same users, items and categories? Counted per partition, summed on the driver.

Joins on ids that never meet fail silently: every timeline is empty, and training goes on. So the shares are counted,
and a share of zero is a warning. A hint then comes from looking at some ids of both tables.

Users and impressions are counted exactly. Ads are those of the smallest hashes, at most `SAMPLED_ADS`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.arrays import Columns
from rosa_ray.schema import MISSING_KEY, hash_id, hash_ids

SAMPLED_ADS = 4096
SAMPLED_IDS = 64
_ENOUGH = 0.5
"""Share of the sampled ids that a change must bring together for a hint."""


@dataclass(frozen=True)
class AdSample:
    """Items and categories of some ads, for the question whether events know them.

    Attributes:
        item_key, category_key: int64, distinct, sorted, of ads that have one.
    """

    item_key: np.ndarray
    category_key: np.ndarray

    @classmethod
    def of(cls, ads: pa.Table) -> "AdSample":
        """The ads whose ids have the smallest hashes."""
        few = ads.take(pa.array(np.argsort(hash_ids(ads["ad_id"]), kind="stable")[:SAMPLED_ADS]))
        keys = [np.unique(hash_ids(few[name])) for name in ("item_id", "category")]
        return cls(*(values[values != MISSING_KEY] for values in keys))


def count_partition(events: Columns, impressions: Columns, sample: AdSample, staged_events: pa.Table) -> dict[str, Any]:
    """What one partition says of coverage, ready for JSON.

    Args:
        events, impressions: keyed columns, sorted by user.
        staged_events: rows of the events contract, for ids to show.
    """
    users, first = np.unique(events["user_key"], return_index=True)
    shown, place = np.unique(impressions["user_key"], return_inverse=True)
    known = np.isin(shown, users)
    begins_us = np.full(len(shown), np.iinfo(np.int64).max)
    begins_us[known] = events["time_us"][first][np.searchsorted(users, shown[known])]
    met = {name: _met(events[f"{name}_key"], keys) for name, keys in _sampled(sample)}
    ids = {
        "users_shown": [] if known.any() else sample_ids(impressions["user_id"]),
        "users_of_events": [] if known.any() else sample_ids(events["user_id"]),
        "items": [] if met["item"].any() else sample_ids(_texts(staged_events, "item_id")),
        "categories": [] if met["category"].any() else sample_ids(_texts(staged_events, "category")),
    }
    return {
        "users_shown": len(shown),
        "users_shown_with_events": int(known.sum()),
        "impressions": len(place),
        "impressions_with_events_before": int((begins_us[place] < impressions["time_us"]).sum()),
        "events": len(events["time_us"]),
        "events_with_category": int((events["category_key"] != MISSING_KEY).sum()),
        "items_met": _pack(met["item"]),
        "categories_met": _pack(met["category"]),
        "ids": ids,
    }


@dataclass(frozen=True)
class Share:
    """One question of coverage.

    Attributes:
        what: such as "users with impressions have events".
        have, of: counts.
        hint: what seems wrong where `have` is zero; empty where it is not.
    """

    what: str
    have: int
    of: int
    hint: str = ""

    def __str__(self) -> str:
        share = f"{self.have:,} of {self.of:,} {self.what}"
        return f"{share}; {self.hint}" if self.hint else share


def coverage(parts: Sequence[dict[str, Any]], ads: pa.Table) -> list[Share]:
    """The shares of all partitions; none where the log has no events."""
    total = {name: sum(part[name] for part in parts) for name in _COUNTS}
    if not total["events"]:
        return []
    sample = AdSample.of(ads)
    ids = {name: _merge_ids(part["ids"][name] for part in parts) for name in parts[0]["ids"]}
    met = {
        name: np.logical_or.reduce([_unpack(part[key], len(keys)) for part in parts])
        for (name, keys), key in zip(_sampled(sample), ("items_met", "categories_met"), strict=True)
    }
    users, before = total["users_shown_with_events"], total["impressions_with_events_before"]
    shares = [
        Share(
            "users with impressions have events",
            users,
            total["users_shown"],
            "" if users else _hint(ids["users_shown"], ids["users_of_events"], "impressions.user_id", "events.user_id"),
        ),
        Share(
            "impressions have an event of their user before them",
            before,
            total["impressions"],
            # Users without events have no history either: that was said above.
            "" if before or not users else _NO_HISTORY,
        ),
    ]
    for name, column, where in (("item", "item_id", "items"), ("category", "category", "categories")):
        unasked = name == "category" and not total["events_with_category"]
        if not len(met[name]) or unasked:
            continue
        of_ads = [] if met[name].any() else sample_ids(_texts(ads, column))
        hint = "" if met[name].any() else _hint(of_ads, ids[where], f"ads.{column}", f"events.{column}")
        shares.append(Share(f"{where} of ads occur in events", int(met[name].sum()), len(met[name]), hint))
    return shares


def sample_ids(ids: Iterable[str]) -> list[str]:
    """Some ids, such that samples of two tables hold the same ones, however these are written.

    >>> sample_ids(["u7 "]) == sample_ids(["U07"]), [plain_form(name) for name in ("u7 ", "U07")]
    (False, ['7', '7'])
    """
    forms = {plain_form(name): name for name in sorted({name for name in ids if name}, reverse=True)}
    return [forms[form] for form in sorted(forms, key=hash_id)[:SAMPLED_IDS]]


def plain_form(name: str) -> str:
    """What stays of an id without its prefix, leading zeros, case, punctuation and `.0`."""
    text = re.sub(r"\.0+$", "", name.strip().casefold())
    text = re.sub(r"[\W_]", "", text)
    return re.sub(r"^\D+(?=\d)", "", text).lstrip("0")


_CHANGES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("spaces around them", str.strip),
    ("a '.0' at the end, as of integers that were read as decimals", lambda name: re.sub(r"\.0+$", "", name.strip())),
    ("upper and lower case", lambda name: name.strip().casefold()),
    ("leading zeros", lambda name: name.strip().lstrip("0")),
    ("punctuation", lambda name: re.sub(r"[\W_]", "", name.casefold())),
    ("a prefix", lambda name: re.sub(r"^\D+(?=\d)", "", name.strip())),
    ("more than one of prefix, zeros, case, spaces and punctuation", plain_form),
)


_NO_HISTORY = "no impression has a history: do both tables cover the same time, in the same zone?"


def _hint(left: Sequence[str], right: Sequence[str], left_name: str, right_name: str) -> str:
    """How the ids of two tables seem to differ."""
    if not left or not right:
        return f"{left_name if not left else right_name} has no ids at all"
    for what, change in _CHANGES:
        there = {change(name): name for name in right}
        pairs = [(name, there[change(name)]) for name in left if change(name) in there]
        if len(pairs) >= _ENOUGH * min(len(left), len(right)):
            first, second = pairs[0]
            return f"the ids differ by {what}: {left_name} has {first!r} where {right_name} has {second!r}"
    lengths = [sorted({len(name) for name in names}) for names in (left, right)]
    long = f", of {lengths[0][0]} and {lengths[1][0]} characters" if all(len(one) == 1 for one in lengths) else ""
    other = long if lengths[0] != lengths[1] else ""
    such = f"{left_name} is such as {left[0]!r}, {right_name} such as {right[0]!r}"
    return f"the ids have nothing in common{other}: {such}"


def _sampled(sample: AdSample) -> tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]:
    return ("item", sample.item_key), ("category", sample.category_key)


def _met(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of some sorted keys occur."""
    met = np.zeros(len(wanted), bool)
    if len(wanted):
        place = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
        met[place[wanted[place] == keys]] = True
    return met


def _texts(table: pa.Table, name: str) -> list[str]:
    return [str(text) for text in table[name].unique().drop_null().to_pylist()]


def _merge_ids(parts: Iterable[Sequence[str]]) -> list[str]:
    return sample_ids(name for part in parts for name in part)


def _pack(met: np.ndarray) -> str:
    return np.packbits(met).tobytes().hex()


def _unpack(packed: str, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(packed), np.uint8), count=count).astype(bool)


_COUNTS = (
    "users_shown",
    "users_shown_with_events",
    "impressions",
    "impressions_with_events_before",
    "events",
    "events_with_category",
)
