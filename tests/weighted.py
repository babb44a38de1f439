"""The synthetic log whole, thinned, and with rows that stand for several."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

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
from rosa_ray.features.config import WEIGHTED_UNITS
from tests.synthetic import BOUNDS, CONFIG, ads_table, events_table, impressions_table

WEIGHTED = replace(CONFIG, units_per_impression=WEIGHTED_UNITS)


def thinned(table: pa.Table, keep_rate: float, seed: int = 1) -> pa.Table:
    """Every click, and a share of the other rows."""
    click = table["click"].to_numpy()
    return table.filter(pa.array(click | (np.random.default_rng(seed).random(len(click)) < keep_rate)))


def weigh(table: pa.Table, weight: np.ndarray) -> pa.Table:
    """The same rows with weights."""
    return table.set_column(table.column_names.index("weight"), "weight", pa.array(weight, pa.float64()))


def log(seed: int = 0, users: int = 60, impressions: int = 4000) -> tuple[pa.Table, pa.Table]:
    """Events and impressions."""
    rng = np.random.default_rng(seed)
    return events_table(rng, users=users, events=20 * users), impressions_table(
        rng, users=users, impressions=impressions
    )


def counted(shown: dict[str, np.ndarray], config: FeatureConfig = WEIGHTED) -> CounterStates:
    return fold_impressions(shown, config)


def rows_of(events: pa.Table, table: pa.Table, keep_rate: float = 1.0, config: FeatureConfig = WEIGHTED) -> UserRows:
    """User rows as preprocessing makes them."""
    keyed = keyed_events(events)
    shown, _ = keyed_impressions(table, AdTable.from_table(ads_table()), negative_keep_rate=keep_rate)
    return build_user_rows(
        keyed, shown, None, fold_events(keyed, config) | fold_impressions(shown, config), config, BOUNDS
    )


def state_of(rows: UserRows, config: FeatureConfig = WEIGHTED) -> FeatureState:
    return FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], config)


def repeat_rows(rows: UserRows) -> UserRows:
    """Every impression as often as it weighs, with weight 1."""
    times = rows.impressions["weight"].astype(np.int64)
    impressions = {name: np.repeat(values, times) for name, values in rows.impressions.items()}
    ends = np.r_[0, np.cumsum(times)]
    return replace(
        rows,
        impression_offsets=ends[rows.impression_offsets],
        impressions=impressions | {"weight": np.ones(len(impressions["weight"]))},
        dense=np.repeat(rows.dense, times, axis=0),
    )
