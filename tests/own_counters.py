"""A small log with declared columns and counters of its own by all that can be counted by."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rosa_ray.data.own_join import ID_COLUMNS, with_things
from rosa_ray.features import (
    AdTable,
    CounterStates,
    FeatureConfig,
    FeatureState,
    FitSums,
    UserRows,
    build_user_rows,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.features.own import ColumnConfig, of_prefix
from rosa_ray.features.own_counters import CounterConfig
from rosa_ray.features.versions import Versions
from rosa_ray.schema import IMPRESSIONS
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.schema.own_columns import AD, ITEM, REQUEST, USER, OwnColumn, contract_with
from rosa_ray.units import DAY_US, HOUR_US
from tests.synthetic import BOUNDS, DAYS, START_US, ads_table, events_table, impressions_table

COLUMNS = {"request.place": ColumnConfig(), "request.page": ColumnConfig(fill="home")}
COUNTERS = (
    CounterConfig(by=("ad_id", "request.place"), windows_h=(24, 168, None)),
    CounterConfig(by=("request.page", "request.device", "ad.category"), windows_h=(168,)),
    CounterConfig(by=("user_id", "item_id"), windows_h=(None,)),
    CounterConfig(by=("user_id",), windows_h=(48,)),
    CounterConfig(by=("region",), windows_h=(24,)),
    CounterConfig(by=("campaign_id", "category"), windows_h=(24,)),
    CounterConfig(of="events", by=("user_id", "category"), windows_h=(24, None)),
    CounterConfig(of="events", by=("item_id", "category"), windows_h=(168,)),
    CounterConfig(of="events", by=("user_id",), windows_h=(12,)),
)
FEATURES = FeatureConfig(
    views=("user_events", "ad_impressions"), item_oov_buckets=8, oov_buckets=4, columns=COLUMNS, counters=COUNTERS
)


@dataclass(frozen=True)
class OwnWorld:
    """The log, and what the offline path computed of it."""

    events: pa.Table
    impressions: pa.Table
    shown: dict[str, np.ndarray]
    counters: CounterStates
    rows: UserRows
    state: FeatureState


TOLD = {
    "user.band": ColumnConfig(),
    "item.brand": ColumnConfig(fill="none"),
    "ad.kind": ColumnConfig(clock="static"),
}
TOLD_COUNTERS = (
    CounterConfig(by=("user.band", "ad.kind"), windows_h=(24, None)),
    CounterConfig(by=("item.brand",), windows_h=(168,)),
    CounterConfig(by=("user.band", "request.place", "region"), windows_h=(48,)),
)
TOLD_FEATURES = FeatureConfig(
    views=("ad_impressions",),
    item_oov_buckets=8,
    oov_buckets=4,
    columns={**COLUMNS, **TOLD},
    counters=TOLD_COUNTERS,
)


def things_told(seed: int = 3) -> dict[str, pa.Table]:
    """What is known of users, items and ads: of most of them, some anew half way through the log, and some null."""
    rng, tables = np.random.default_rng(seed), {}
    for prefix, name, ids in ((USER, "user.band", "u"), (ITEM, "item.brand", "i"), (AD, "ad.kind", "a")):
        thing = np.r_[np.arange(0, 30, 2), np.arange(0, 30, 3)]
        half = pa.array([START_US + DAYS // 2 * DAY_US] * len(thing), mask=np.arange(len(thing)) < 15)
        value = pa.array([("x", "y", "z", None)[at] for at in rng.integers(0, 4, len(thing))])
        id_column = {USER: "user_id", ITEM: "item_id", AD: "ad_id"}[prefix]
        tables[prefix] = pa.table(
            {id_column: [f"{ids}{at}" for at in thing], "valid_from": half.cast(TIMESTAMP), name: value}
        )
    return tables


def own_world(features: FeatureConfig = FEATURES, seed: int = 7) -> OwnWorld:
    """The log with two request columns, of which some values are missing, and clicks hours after their request.

    Columns of users, items and ads, where the features declare some, are those of `things_told`.
    """
    rng = np.random.default_rng(seed)
    events, impressions = events_table(rng), impressions_table(rng)
    count = impressions.num_rows
    clicked = np.flatnonzero(impressions["click"].to_numpy())
    click_us = impressions["request_time"].cast(pa.int64()).to_numpy() + rng.integers(0, 60, count) * HOUR_US // 2
    late = pa.array(click_us, mask=~np.isin(np.arange(count), clicked)).cast(TIMESTAMP)
    impressions = impressions.set_column(impressions.column_names.index("click_time"), "click_time", late)
    for name, values in {"place": ("top", "side", None), "page": ("home", "search", None, "item")}.items():
        column = pa.array([values[at] for at in rng.integers(0, len(values), count)])
        impressions = impressions.append_column(f"request.{name}", column)
    own = [OwnColumn(name, "category") for name in COLUMNS]
    impressions, _ = contract_with(IMPRESSIONS.name, own).check(impressions, "synthetic")
    ads = AdTable.from_table(ads_table())
    shown, _ = keyed_impressions(impressions, ads, of_prefix(REQUEST, features.columns))
    told = {prefix: table for prefix, table in things_told().items() if of_prefix(prefix, features.columns)}
    things = {
        prefix: Versions.of(table, ID_COLUMNS[prefix], of_prefix(prefix, features.columns))
        for prefix, table in told.items()
    }
    shown = with_things(shown, things)
    keyed = keyed_events(events)
    counters = fold_events(keyed, features) | fold_impressions(shown, features)
    rows = build_user_rows(keyed, shown, None, counters, features, BOUNDS)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, features)], features)
    return OwnWorld(events, impressions, shown, counters, rows, state)
