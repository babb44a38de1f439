"""Live records: events, impressions, clicks and conversions as one stream of columns, and what each of them counts.

A record is what a server learns at one moment. A log is written when all is known: its impression row holds the
impression, its click and its conversion together. `impression_records` takes such a row apart. The one `fold_records`
counts the records of both, so that features are the same offline and live, bit for bit.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

import numpy as np
import pyarrow as pa

from rosa_ray.arrays import Columns
from rosa_ray.features.config import FeatureConfig
from rosa_ray.features.counters import Counters
from rosa_ray.features.counting import CounterStates, bounded_micros, buckets_of, counted_views, to_micros
from rosa_ray.features.own_counters import part_columns
from rosa_ray.features.views import IMPRESSION_MEASURES
from rosa_ray.schema import MISSING_KEY, derive_key, hash_ids
from rosa_ray.units import DAY_US


class RecordKind(IntEnum):
    """What a record tells. The integer is its code in column `kind`.

    >>> RecordKind["click".upper()].value
    2
    """

    EVENT = 0
    IMPRESSION = 1
    CLICK = 2
    CONVERSION = 3


RECORD_COLUMNS: dict[str, np.dtype] = {
    "kind": np.dtype(np.int8),
    "record_id": np.dtype(object),
    "user_key": np.dtype(np.int64),
    "time_us": np.dtype(np.int64),
    "item_key": np.dtype(np.int64),
    "category_key": np.dtype(np.int64),
    "behavior": np.dtype(np.int8),
    "price": np.dtype(np.float32),
    "ad_key": np.dtype(np.int64),
    "campaign_key": np.dtype(np.int64),
    "shown_us": np.dtype(np.int64),
    "bid": np.dtype(np.float64),
    "cost": np.dtype(np.float64),
}
"""Columns of n records, each (n,).

`record_id` (str) is the event id, or the impression id of the other kinds. `time_us` is the record's own time: of the
event, the request, the click or the conversion; `shown_us` is the request time of the impression. Item, category,
behavior and price (NaN missing) belong to events, ad, campaign and `shown_us` to the rest, bid and cost (currency
units) to impressions. Where own counters of impressions need more keys (`part_columns`), the rest has them too, as
further columns or in those of item and category.
"""

_KEY = np.dtype(np.int64)
_OF_USER = 64
"""Apart from the kinds of records, which keys are mixed with too."""

_EMPTY_VALUES: dict[str, object] = {"record_id": "", "price": np.nan}


@dataclass(frozen=True)
class Contribution:
    """What records add to one view.

    Attributes:
        row: int64 (c,), positions of the records.
        entity_key, bucket: int64 (c,).
        amounts: int64 (c, M), one column per measure of the view.
        owner_key: int64 (c,), users whom the entities belong to, of a view with owners; else None.
    """

    row: np.ndarray
    entity_key: np.ndarray
    bucket: np.ndarray
    amounts: np.ndarray
    owner_key: np.ndarray | None = None


def empty_records(count: int, parts: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Return n records of zeros, empty ids and missing prices.

    Args:
        parts: further key columns that own counters need.

    >>> empty_records(1)["price"]
    array([nan], dtype=float32)
    """
    dtypes = RECORD_COLUMNS | {name: _KEY for name in parts if name not in RECORD_COLUMNS}
    return {name: np.full(count, _EMPTY_VALUES.get(name, 0), dtype) for name, dtype in dtypes.items()}


def records_of(kind: RecordKind, **given: np.ndarray) -> dict[str, np.ndarray]:
    """Return n records of one kind from some of their columns; the others are as in `empty_records`.

    >>> records_of(RecordKind.CLICK, record_id=np.array(["i1"], object), time_us=np.array([5]))["kind"]
    array([2], dtype=int8)
    """
    count = len(next(iter(given.values())))
    columns = empty_records(count) | {"kind": np.full(count, kind, np.int8)}
    for name, values in given.items():
        columns[name] = np.asarray(values).astype(RECORD_COLUMNS.get(name, _KEY), copy=False)
    return columns


def concat_records(batches: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the records of all batches, in order. Keys that a batch lacks are missing in its records."""
    parts = own_parts(*batches)
    batches = [empty_records(0), *batches]
    common = {name: np.concatenate([batch[name] for batch in batches]) for name in RECORD_COLUMNS}
    return common | {name: np.concatenate([_part(batch, name) for batch in batches]) for name in parts}


def own_parts(*batches: Columns) -> tuple[str, ...]:
    """Key columns that records have beside `RECORD_COLUMNS`, for own counters."""
    return tuple(dict.fromkeys(name for batch in batches for name in batch if name not in RECORD_COLUMNS))


def take_records(records: Columns, rows: np.ndarray | slice) -> dict[str, np.ndarray]:
    """Some of the records, with all their columns."""
    return {name: records[name][rows] for name in (*RECORD_COLUMNS, *own_parts(records))}


def _part(batch: Columns, name: str) -> np.ndarray:
    return batch[name] if name in batch else np.full(len(batch["kind"]), MISSING_KEY)


def event_records(events: Columns) -> dict[str, np.ndarray]:
    """Return EVENT records of event columns: event_id, user_key, time_us, item_key, category_key, behavior, price."""
    names = ("user_key", "time_us", "item_key", "category_key", "behavior", "price")
    return records_of(RecordKind.EVENT, record_id=events["event_id"], **{name: events[name] for name in names})


def impression_records(impressions: Columns, parts: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Take the impression rows of a log apart: every impression, then the clicks, then the conversions.

    Args:
        impressions: user_key, ad_key, campaign_key, time_us, conversion_time_us, click, conversion, bid, cost, as from
            `keyed_impressions`; click_time_us where it is known, else clicks take the request time; click_cost, what of
            the cost comes with the click; and impression_id (object of str) where the records are to be told apart.
        parts: further key columns that every record takes along.
    """
    if "click_cost" in impressions:
        paid = np.where(impressions["click"], impressions["click_cost"], 0.0)
        impressions = {**impressions, "cost": impressions["cost"] - impressions["click_cost"], "click_cost": paid}
    rows = np.arange(len(impressions["time_us"]))
    clicked, bought = (np.flatnonzero(impressions[name]) for name in ("click", "conversion"))
    click_time = "click_time_us" if "click_time_us" in impressions else "time_us"
    return concat_records(
        [
            _feedback(RecordKind.IMPRESSION, impressions, rows, "time_us", ("bid", "cost", *parts)),
            _feedback(RecordKind.CLICK, impressions, clicked, click_time, (*parts,), paid_in="click_cost"),
            _feedback(RecordKind.CONVERSION, impressions, bought, "conversion_time_us", (*parts,)),
        ]
    )


def record_keys(records: Columns, *, with_users: bool = True) -> np.ndarray:
    """Return what repetitions are found by, int64 (n,): `mixed_keys` of the ids.

    Args:
        with_users: an id tells records of one user apart, as it does in a log. Without, it tells those of all users.
    """
    keys = hash_ids(pa.array(records["record_id"], pa.string()))
    return mixed_keys(keys, records["kind"], records["user_key"] if with_users else None)


def mixed_keys(id_key: np.ndarray, kind: np.ndarray, user_key: np.ndarray | None) -> np.ndarray:
    """Return hashes of ids mixed with kind and user, int64 (n,), so that the keys of the user rows give them too.

    Args:
        id_key: int64 (n,), hash of the event's or impression's id.
        kind: (n,), `RecordKind`; an event's key is not mixed with it.
        user_key: int64 (n,), or None.

    >>> users = np.array([1, 2])
    >>> len(set(mixed_keys(np.array([5, 5]), np.array([0, 0]), users).tolist()))
    2
    """
    is_event = kind == RecordKind.EVENT
    keys = id_key if is_event.all() else np.where(is_event, id_key, derive_key(id_key, kind))
    return keys if user_key is None else derive_key(keys ^ derive_key(user_key, _OF_USER), _OF_USER)


def contributions(records: Columns, config: FeatureConfig, weight: np.ndarray | None = None) -> dict[str, Contribution]:
    """Return what each record counts, view by view.

    Everything counts at its own time: an event, an impression with its bid and cost at its request, a click with what
    it cost, and a conversion, when they came. What has no user counts for no user, and what lacks a part of an own
    counter does not count there.

    Args:
        weight: how many records each one stands for, (n,), of feedback alone; None is 1, as of every live record.
    """
    kind, bucket = records["kind"], buckets_of(config).of(records["time_us"])
    of_log: dict[str, tuple[np.ndarray, Callable[[Columns, np.ndarray], np.ndarray]]] = {
        "events": (
            np.flatnonzero(kind == RecordKind.EVENT),
            partial(_count_events, behaviors=len(config.behaviors)),
        ),
        "impressions": (
            np.flatnonzero((kind != RecordKind.EVENT) & ~_comes_late(records, config)),
            partial(_count_feedback, units=config.units_per_impression, weight=weight),
        ),
    }
    found: dict[str, Contribution] = {}
    for log, (rows, count) in of_log.items():
        views = [view for view in counted_views(config) if view.log == log]
        amounts = count(records, rows) if len(rows) else np.empty((0, len(views[0].measures) if views else 0), np.int64)
        for view in views:
            keys = view.keys({name: _part(records, name)[rows] for name in view.key_columns})
            owner = records["user_key"][rows] if view.has_owners else None
            part = Contribution(rows, keys, bucket[rows], amounts, owner)
            found[view.name] = part if view.counts_missing else _of_entities(part)
    return found


def _comes_late(records: Columns, config: FeatureConfig) -> np.ndarray:
    """Whether records are conversions after the days in which they count, (n,)."""
    late = (records["kind"] == RecordKind.CONVERSION) & (config.conversion_days > 0)
    return late & (records["time_us"] - records["shown_us"] > round(config.conversion_days * DAY_US))


def _of_entities(part: Contribution) -> Contribution:
    known = part.entity_key != MISSING_KEY
    if known.all():
        return part
    owner = None if part.owner_key is None else part.owner_key[known]
    return Contribution(part.row[known], part.entity_key[known], part.bucket[known], part.amounts[known], owner)


def fold_records(records: Columns, config: FeatureConfig, weight: np.ndarray | None = None) -> CounterStates:
    """Count records, each of them once, into every view; for `weight` see `contributions`."""
    return {
        name: Counters.fold(part.entity_key, part.bucket, part.amounts, part.owner_key)
        for name, part in contributions(records, config, weight).items()
    }


def fold_impressions(impressions: Columns, config: FeatureConfig) -> CounterStates:
    """Count the impression rows of a log into every impression view: `fold_records` of `impression_records`.

    Args:
        impressions: as of `impression_records`, with the keys that own counters need; with `weight`, a row counts so
            many impressions, clicks and conversions, and so many times its bid and cost.
    """
    views = [view for view in counted_views(config) if view.log == "impressions"]
    records = impression_records(impressions, part_columns(views))
    states = fold_records(records, config, _record_weights(impressions))
    return {view.name: states[view.name] for view in views}


def _feedback(
    kind: RecordKind,
    impressions: Columns,
    rows: np.ndarray,
    time: str,
    more: tuple[str, ...] = (),
    paid_in: str = "",
) -> dict[str, np.ndarray]:
    names = {name: name for name in ("user_key", "ad_key", "campaign_key", *more)}
    names |= {"time_us": time, "shown_us": "time_us"}
    if paid_in in impressions:
        names["cost"] = paid_in
    if "impression_id" in impressions:
        names["record_id"] = "impression_id"
    return records_of(kind, **{name: impressions[source][rows] for name, source in names.items()})


def _record_weights(impressions: Columns) -> np.ndarray | None:
    """Weight of each of the `impression_records`; None where all are 1."""
    weight = impressions.get("weight")
    if weight is None or (weight == 1).all():
        return None
    return np.concatenate([weight, *(weight[impressions[name] != 0] for name in ("click", "conversion"))])


def _count_events(records: Columns, rows: np.ndarray, behaviors: int) -> np.ndarray:
    return np.eye(behaviors, dtype=np.int64)[records["behavior"][rows]]


def _count_feedback(records: Columns, rows: np.ndarray, units: int, weight: np.ndarray | None) -> np.ndarray:
    kind = records["kind"][rows]
    shown = kind == RecordKind.IMPRESSION
    paid = shown | (kind == RecordKind.CLICK)
    stands_for = None if weight is None else weight[rows]
    # Rounded row by row, so that sums are of whole numbers and free of order.
    counted = units if stands_for is None else np.rint(stands_for * units).astype(np.int64)
    counts = {
        "impressions": shown * counted,
        "clicks": (kind == RecordKind.CLICK) * counted,
        "conversions": (kind == RecordKind.CONVERSION) * counted,
        "bid_micros": np.where(shown, _weighted_micros(records["bid"][rows], stands_for), 0),
        "cost_micros": np.where(paid, _weighted_micros(records["cost"][rows], stands_for), 0),
    }
    return np.stack([counts[name].astype(np.int64) for name in IMPRESSION_MEASURES], axis=1)


def _weighted_micros(amount: np.ndarray, stands_for: np.ndarray | None) -> np.ndarray:
    micros = to_micros(amount)
    return micros if stands_for is None else bounded_micros(micros * stands_for)
