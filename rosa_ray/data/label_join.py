"""Labels of a partition's impressions out of the clicks and conversions that were brought to it, in contract tables."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.features import AdTable
from rosa_ray.labels import Joined, LabelsConfig, attribute
from rosa_ray.labels.outcomes import OUTCOMES, OVERDRAWN
from rosa_ray.labels.pairing import NEVER
from rosa_ray.schema import CLICKS, CONVERSIONS, MISSING_KEY, hash_ids

_EXAMPLE_IDS = ("conversion_id", "click_id", "impression_id", "user_id", "ad_id", "item_id")


def join_labels(
    impressions: pa.Table, clicks: pa.Table, conversions: pa.Table, ads: pa.Table, config: LabelsConfig
) -> tuple[pa.Table, dict[str, int], dict[str, str]]:
    """Give impressions the labels that clicks and conversions bring.

    Args:
        impressions, clicks, conversions: of their contracts; more columns may follow.
        ads: the catalogue.

    Returns:
        The impressions in their order; how many rows did not join, by the names of `rosa_ray.labels.outcomes`; and one
        example of each.
    """
    if not clicks.num_rows and not conversions.num_rows:
        return impressions, {}, {}
    joined = attribute(shown_columns(impressions, ads), click_columns(clicks), conversion_columns(conversions), config)
    counts, examples = {}, {}
    for contract, table, fates, time in (
        (CLICKS, clicks, joined.click_fate, "click_time"),
        (CONVERSIONS, conversions, joined.conversion_fate, "conversion_time"),
    ):
        for fate, outcome in OUTCOMES[contract.name].items():
            found = fates == fate
            if found.any():
                counts[outcome.name] = int(found.sum())
                examples[outcome.name] = _example(table.filter(pa.array(found)), time)
    if joined.overdrawn.any():
        counts[OVERDRAWN.name] = int(joined.overdrawn.sum())
        examples[OVERDRAWN.name] = (
            f"impression_id {pc.min(impressions['impression_id'].filter(pa.array(joined.overdrawn)))}"
        )
    return _with_labels(impressions, joined), counts, examples


def shown_columns(table: pa.Table, ads: pa.Table) -> dict[str, np.ndarray]:
    """What `attribute` reads of impressions."""
    ad_key = hash_ids(table["ad_id"])
    time_us = table["request_time"].cast(pa.int64())
    item_key, price = _advertised(ad_key, time_us.to_numpy(), ads)
    return {
        "impression_key": hash_ids(table["impression_id"]),
        "user_key": hash_ids(table["user_id"]),
        "ad_key": ad_key,
        "item_key": item_key,
        "time_us": time_us.to_numpy(),
        "click": table["click"].fill_null(False).to_numpy(),
        "click_us": pc.coalesce(table["click_time"].cast(pa.int64()), time_us).to_numpy(),
        "conversion": table["conversion"].fill_null(False).to_numpy(),
        "conversion_us": pc.coalesce(table["conversion_time"].cast(pa.int64()), time_us).to_numpy(),
        "revenue": np.where(table["revenue"].is_null(), price, table["revenue"].fill_null(0.0).to_numpy()),
        "cost": table["cost"].fill_null(0.0).to_numpy(),
        "price": price,
    }


def click_columns(table: pa.Table) -> dict[str, np.ndarray]:
    """What `attribute` reads of clicks."""
    return _keyed(table, CLICKS.schema.names) | {
        "time_us": table["click_time"].cast(pa.int64()).to_numpy(),
        "cost": table["cost"].fill_null(float("nan")).to_numpy(),
    }


def conversion_columns(table: pa.Table) -> dict[str, np.ndarray]:
    """What `attribute` reads of conversions."""
    return _keyed(table, CONVERSIONS.schema.names) | {
        "time_us": table["conversion_time"].cast(pa.int64()).to_numpy(),
        "revenue": table["revenue"].fill_null(float("nan")).to_numpy(),
    }


def _keyed(table: pa.Table, names: list[str]) -> dict[str, np.ndarray]:
    ids = [name for name in names if name.endswith("_id")]
    return {f"{name.removesuffix('_id')}_key": hash_ids(table[name]) for name in ids}


def _advertised(ad_key: np.ndarray, time_us: np.ndarray, ads: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Item and price of each ad as the catalogue had them at a time; missing and 1 where it knows no such ad."""
    table = AdTable.from_table(ads)
    row, known = table.lookup(ad_key, time_us)
    return np.where(known, table.item_key[row], MISSING_KEY), np.where(known, table.price[row], 1.0)


def _with_labels(table: pa.Table, joined: Joined) -> pa.Table:
    columns: Mapping[str, tuple[np.ndarray, np.ndarray | None]] = {
        "click": (joined.click, None),
        "click_time": (joined.click_us, joined.click_us == NEVER),
        "conversion": (joined.conversion, None),
        "conversion_time": (joined.conversion_us, joined.conversion_us == NEVER),
        "revenue": (np.where(joined.conversion, joined.revenue, 0.0), None),
        "cost": (joined.cost, None),
        "click_cost": (joined.click_cost, joined.click_cost == 0),
    }
    for name, (values, missing) in columns.items():
        place, field = table.column_names.index(name), table.schema.field(name)
        array = pa.array(values, mask=missing)
        table = table.set_column(place, field, array.cast(field.type))
    return table


def _example(rows: pa.Table, time: str) -> str:
    """The first row by its ids and time, so that no order of files decides."""
    names = [name for name in _EXAMPLE_IDS if name in rows.column_names]
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in (*names, time)])
    row = rows.take(order[:1]).to_pylist()[0]
    told = [f"{name} {row[name]!r}" for name in names if row[name] is not None]
    return f"{', '.join(told)}: {row[time].isoformat()}"
