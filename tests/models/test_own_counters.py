"""An own counter that says what nothing else does is found by every ranker."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.features import (
    AdTable,
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
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.own_counters import CounterConfig
from rosa_ray.units import DAY_US
from tests.models.test_own_columns import EVERY, click_of
from tests.synthetic import BOUNDS, CONFIG, DAYS, START_US, ads_table, events_table, impressions_table

ROWS, ADS, PLACES = 1600, 4, 6
PLAIN = dataclasses.replace(CONFIG, columns={"request.place": ColumnConfig()})
COUNTED = dataclasses.replace(PLAIN, counters=(CounterConfig(by=("ad_id", "request.place"), windows_h=(24,)),))


def rows_of(config: FeatureConfig) -> UserRows:
    """A log in which an ad's rate at a place is high or low for two days, and then anew: only its last day tells."""
    rng = np.random.default_rng(5)
    table = impressions_table(np.random.default_rng(0), impressions=ROWS, items=ADS)
    day = (table["request_time"].cast(pa.int64()).to_numpy() - START_US) // DAY_US
    ad = np.array([int(name[1:]) for name in table["ad_id"].to_pylist()])
    place = rng.integers(0, PLACES, ROWS)
    high = rng.random((ADS, PLACES, DAYS // 2 + 1)) < 0.5
    click = pa.array(rng.random(ROWS) < np.where(high[ad, place, day // 2], 0.97, 0.03))
    for name, values in (("click", click), ("conversion", pa.array(np.zeros(ROWS, bool)))):
        table = table.set_column(table.column_names.index(name), name, values)
    table = table.append_column("request.place", pa.array([f"p{at}" for at in place]))
    shown, _ = keyed_impressions(table, AdTable.from_table(ads_table()), config.columns)
    events = keyed_events(events_table(np.random.default_rng(1)))
    counters = fold_events(events, config) | fold_impressions(shown, config)
    return build_user_rows(events, shown, None, counters, config, BOUNDS)


def auc(name: str, config: FeatureConfig) -> float:
    rows = rows_of(config)
    return click_of(name, config, rows, FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config))


@pytest.mark.parametrize("name", EVERY)
def test_every_ranker_finds_the_past_rate_of_an_ad_at_a_place(name: str) -> None:
    without, found = auc(name, PLAIN), auc(name, COUNTED)
    assert found > max(without + 0.08, 0.75), f"{found:.3f} with the counter, {without:.3f} without"
