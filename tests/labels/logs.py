"""A joined log taken apart: impressions without labels, clicks and conversions in tables of their own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from rosa_ray.schema import CLICKS, CONVERSIONS, IMPRESSIONS
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.sources import SourceConfig
from rosa_ray.units import HOUR_US, MINUTE_US
from tests.synthetic import ads_table, events_table, impressions_table

LABELS = ("click", "click_time", "conversion", "conversion_time", "revenue", "cost", "click_cost")


def joined_log(seed: int, spread: bool = False) -> pa.Table:
    """Impressions with clicks some minutes late, conversions some hours after these, and costs of clicks.

    Args:
        spread: every user sees an ad once only, so that user and ad tell an impression.
    """
    rng = np.random.default_rng(seed)
    table = impressions_table(rng)
    if spread:
        pair = pc.binary_join_element_wise(table["user_id"], table["ad_id"], "/").to_numpy(zero_copy_only=False)
        _, first = np.unique(pair, return_index=True)
        table = table.take(pa.array(np.sort(first)))
    shown_us = table["request_time"].cast(pa.int64()).to_numpy()
    click = table["click"].to_numpy()
    bought = table["conversion"].to_numpy()
    click_us = shown_us + rng.integers(1, 50, len(shown_us)) * MINUTE_US
    bought_us = click_us + rng.integers(1, 200, len(shown_us)) * HOUR_US
    columns = {
        "click_time": pa.array(click_us, mask=~click).cast(TIMESTAMP),
        "conversion_time": pa.array(bought_us, mask=~bought).cast(TIMESTAMP),
        "cost": pa.array(np.where(click, table["cost"].to_numpy(), 0.0)),
        "click_cost": pa.array(table["cost"].to_numpy(), mask=~click),
    }
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return IMPRESSIONS.check(table, "joined")[0]


def take_apart(table: pa.Table, by: str) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Impressions, clicks and conversions.

    Args:
        by: `impression` and `click` name each other's ids and no user, `pair` names user and ad alone.
    """
    clicked, bought = (table.filter(table[name]) for name in ("click", "conversion"))
    click_id = pc.binary_join_element_wise("c", clicked["impression_id"], "")
    clicks = {"click_time": clicked["click_time"], "cost": clicked["cost"]}
    conversions = {"conversion_time": bought["conversion_time"], "revenue": bought["revenue"]}
    if by == "pair":
        clicks |= {name: clicked[name] for name in ("user_id", "ad_id")}
        conversions |= {name: bought[name] for name in ("user_id", "ad_id")}
    else:
        clicks |= {"impression_id": clicked["impression_id"], "click_id": click_id}
        by_click = {"click_id": pc.binary_join_element_wise("c", bought["impression_id"], "")}
        conversions |= by_click if by == "click" else {"impression_id": bought["impression_id"]}
    bare = table.drop_columns(list(LABELS))
    count = bare.num_rows
    empty = {"click": pa.repeat(pa.scalar(False), count), "conversion": pa.repeat(pa.scalar(False), count)}
    money = {name: pa.array(np.zeros(count)) for name in ("cost", "revenue")}
    for name, values in (empty | money).items():
        bare = bare.append_column(name, values)
    return (
        IMPRESSIONS.check(bare, "bare")[0],
        CLICKS.check(pa.table(clicks), "clicks")[0],
        CONVERSIONS.check(pa.table(conversions), "conversions")[0],
    )


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    """The same rows in another order."""
    return table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))


def write_csv(folder: Path, name: str, tables: list[pa.Table]) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    for place, table in enumerate(tables):
        pa.csv.write_csv(table, folder / name / f"{place}.csv")


def source_of(folder: Path, whole: pa.Table, by: str, days: int = 2) -> SourceConfig:
    """Three logs as CSV, without columns that another log brings; conversions of the last day come in later."""
    bare, clicks, conversions = take_apart(whole, by)
    write_csv(folder, "impressions", [bare.drop_columns(list(LABELS)).drop_columns(["updated_time"])])
    write_csv(folder, "clicks", [clicks])
    half = conversions.num_rows // 2
    write_csv(folder, "conversions", [conversions.slice(0, half), conversions.slice(half)][:days])
    (folder / "events").mkdir(exist_ok=True)
    (folder / "ads").mkdir(exist_ok=True)
    pq.write_table(events_table(np.random.default_rng(0)), folder / "events" / "a.parquet")
    pq.write_table(ads_table(), folder / "ads" / "a.parquet")
    names = ("events", "impressions", "ads", "clicks", "conversions")
    return SourceConfig(kind="csv", **{name: str(folder / name) for name in names})  # type: ignore[arg-type]
