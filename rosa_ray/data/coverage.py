"""Do the tables speak of the same users, items and categories? Counted per partition, summed on the driver.

Joins on ids that never meet fail silently: every timeline is empty, and training goes on. So the shares are counted,
and a share of zero is a warning. A hint then comes from looking at some ids of both tables.

Users and impressions are counted exactly. Ads are those of the smallest hashes, at most `SAMPLED_ADS` of their
versions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.arrays import Columns
from rosa_ray.schema import MISSING_KEY, hash_id, hash_ids
from rosa_ray.schema.overlap import find_overlap, plain_forms

SAMPLED_ADS = 4096
SAMPLED_IDS = 64


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
    of_users = impressions["user_key"] != MISSING_KEY
    shown, place = np.unique(impressions["user_key"][of_users], return_inverse=True)
    known = np.isin(shown, users)
    begins_us = np.full(len(shown), np.iinfo(np.int64).max)
    begins_us[known] = events["time_us"][first][np.searchsorted(users, shown[known])]
    met = {name: _met(events[f"{name}_key"], keys) for name, keys in _sampled(sample)}
    ids = {
        "users_shown": [] if known.any() else sample_ids(impressions["user_id"][of_users]),
        "users_of_events": [] if known.any() else sample_ids(events["user_id"]),
        "items": [] if met["item"].any() else sample_ids(_texts(staged_events, "item_id")),
        "categories": [] if met["category"].any() else sample_ids(_texts(staged_events, "category")),
    }
    return {
        "users_shown": len(shown),
        "users_shown_with_events": int(known.sum()),
        "impressions": len(place),
        "impressions_with_events_before": int((begins_us[place] < impressions["time_us"][of_users]).sum()),
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
    if not total["events"] or not total["users_shown"]:
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

    >>> sample_ids(["u7 ", "u8"]), sample_ids(["U08", "U07"])
    (['u8', 'u7 '], ['U08', 'U07'])
    """
    names = sorted({name for name in ids if name}, reverse=True)
    forms = dict(zip(plain_forms(pa.array(names, pa.string())).to_pylist(), names, strict=True))
    return [forms[form] for form in sorted(forms, key=hash_id)[:SAMPLED_IDS]]


_NO_HISTORY = "no impression has a history: do both tables cover the same time, in the same zone?"


def _hint(left: Sequence[str], right: Sequence[str], left_name: str, right_name: str) -> str:
    """How the ids of two tables seem to differ."""
    return find_overlap(pa.array(left, pa.string()), pa.array(right, pa.string())).told(left_name, right_name)


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
