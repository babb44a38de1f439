"""From parsed records to the columns that the store folds: ids to keys, times to microseconds, ads to campaigns."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.arrays import Columns
from rosa_ray.features import FeatureConfig, with_categories
from rosa_ray.features.catalogue import Ads
from rosa_ray.features.counting import counted_views
from rosa_ray.features.own import ColumnConfigs, category_text, keyed_columns
from rosa_ray.features.own_counters import part_columns, said_name
from rosa_ray.features.records import RecordKind, empty_records
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.records.record_types import ClickIn, ConversionIn, CountedRecord, EventIn, ImpressionIn
from rosa_ray.records.times import RecordTimes
from rosa_ray.schema import MISSING_KEY, hash_ids

Pseudonym = Callable[[str], str]

_KINDS: dict[type, RecordKind] = {
    EventIn: RecordKind.EVENT,
    ImpressionIn: RecordKind.IMPRESSION,
    ClickIn: RecordKind.CLICK,
    ConversionIn: RecordKind.CONVERSION,
}
_NAN = float("nan")
DEFAULT_FEATURES = FeatureConfig()


def record_columns(
    records: Sequence[CountedRecord],
    times: RecordTimes,
    ads: Ads,
    pseudonym: Pseudonym | None = None,
    features: FeatureConfig = DEFAULT_FEATURES,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of n records in their order, and whether each one's ad is in the catalogue.

    Feedback belongs to the campaign that its ad had at the request; of an ad that the catalogue lacks, to none.

    Args:
        times: of these records, without faults.
        pseudonym: what a user id becomes before it is hashed; the id itself when absent.
        features: whose own counters need further keys of feedback; events have one of its behaviours.

    Returns:
        `RECORD_COLUMNS` and those keys, each (n,), and a boolean (n,) that is True for events.
    """
    parts = part_columns(counted_views(features))
    columns = empty_records(len(records), parts)
    columns["kind"] = np.array([_KINDS[type(record)] for record in records], np.int8)
    users = [record.user_id for record in records]
    hidden = users if pseudonym is None else [user and pseudonym(user) for user in users]
    columns["user_key"] = _keys(hidden)
    columns["time_us"], columns["shown_us"] = times.own_us, times.shown_us
    known = np.ones(len(records), bool)
    is_event = columns["kind"] == RecordKind.EVENT
    events, shown = np.flatnonzero(is_event).tolist(), np.flatnonzero(~is_event).tolist()
    if events:
        _put(columns, events, with_categories(_event_columns([records[row] for row in events], features), ads))
    if shown:
        feedback = [records[row] for row in shown]
        values, known[shown], row = _shown_columns(feedback, times.shown_us[shown], ads)
        values |= {name: _part_keys(name, feedback, row, ads, features.columns) for name in parts}
        _put(columns, shown, values)
    return columns, known


def unknown_behaviors(records: Sequence[CountedRecord], behaviors: Sequence[str]) -> dict[int, str]:
    """Position of an event to what is wrong with its behaviour, where it is none of those named."""
    strange = [at for at, one in enumerate(records) if isinstance(one, EventIn) and one.behavior not in behaviors]
    return dict.fromkeys(strange, f"behavior: is none of {', '.join(behaviors)}")


def _event_columns(events: list[Any], features: FeatureConfig) -> dict[str, np.ndarray]:
    codes = {name: code for code, name in enumerate(features.behavior_names)}
    return {
        "record_id": np.array([event.event_id for event in events], object),
        "item_key": _keys([event.item_id for event in events]),
        "category_key": _keys([event.category for event in events]),
        "behavior": np.array([codes[event.behavior] for event in events], np.int8),
        "price": np.array([_NAN if event.price is None else event.price for event in events], np.float32),
    }


def _shown_columns(
    records: list[Any], shown_us: np.ndarray, ads: Ads
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Columns of impressions, clicks and conversions. Bids are of impressions alone, costs of impressions and clicks.

    What an impression does not say is filled as in a log that lacks the column. Returned beside them: whether each
    ad is in the catalogue, and its row there, -1 where it is not.
    """
    ad_key = _keys([record.ad_id for record in records])
    row, known = ads.lookup(ad_key, shown_us)
    paid = [_paid(record) for record in records]
    bid, cost = np.array(paid, np.float64).T
    bid = np.where(np.isnan(bid), np.where(known, ads.bid[row], 1.0), bid)
    return (
        {
            "record_id": np.array([record.impression_id for record in records], object),
            "ad_key": ad_key,
            "campaign_key": np.where(known, ads.campaign_key[row], MISSING_KEY),
            "bid": bid,
            "cost": np.nan_to_num(cost, nan=0.0),
        },
        known,
        np.where(known, row, -1),
    )


def _part_keys(name: str, records: list[Any], row: np.ndarray, ads: Ads, columns: ColumnConfigs) -> np.ndarray:
    """Keys that own counters count by: what the catalogue says of the ad, -1 is none; or what the record says."""
    if name in CATALOGUE_KEYS:
        return np.where(row >= 0, getattr(ads, name)[row], MISSING_KEY)
    if name in ("device_key", "region_key"):
        return _keys([getattr(record, name.removesuffix("_key")) for record in records])
    texts = [category_text((record.columns or {}).get(said_name(name))) for record in records]
    return keyed_columns(pa.table({name: pa.array(texts, pa.string())}), {name: columns[name]})[name]


def _paid(record: Any) -> tuple[float | None, float | None]:
    """Bid and cost of a record, None where it does not say."""
    if isinstance(record, ImpressionIn):
        return record.bid, record.cost
    return 0.0, record.cost if isinstance(record, ClickIn) else 0.0


def _put(columns: dict[str, np.ndarray], rows: list[int], values: Columns) -> None:
    for name, given in values.items():
        columns[name][rows] = given


def _keys(ids: list[str | None] | list[str]) -> np.ndarray:
    return hash_ids(pa.array(ids, pa.string()))
