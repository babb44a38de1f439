"""Rows that stand for several impressions: counters, fits and readings take them as so many."""

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.features import (
    AdTable,
    FeatureConfig,
    Split,
    UserRows,
    build_user_rows,
    dense_names,
    fold_events,
    fold_impressions,
    fold_records,
    impression_records,
    keyed_events,
    keyed_impressions,
    read_dense,
)
from rosa_ray.schema import IMPRESSIONS
from rosa_ray.units import DAY_US
from tests.synthetic import BOUNDS, CONFIG, DAYS, START_US, ads_table
from tests.weighted import WEIGHTED, log, repeat_rows, rows_of, state_of, thinned, weigh

ADS = AdTable.from_table(ads_table())
RATES = [place for place, name in enumerate(dense_names(CONFIG)) if name.endswith("ad_impressions.all.log_ctr")]


def weighted_log(seed: int = 0) -> tuple[pa.Table, pa.Table]:
    events, shown = log(seed)
    return events, weigh(shown, np.random.default_rng(seed).integers(1, 4, shown.num_rows).astype(float))


def test_a_weight_comes_from_the_row_and_from_the_thinning() -> None:
    _, table = log(impressions=4)
    for name, values in (("weight", [2.0, None, 3.0, 0.5]), ("click", [True, True, False, False])):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
    shown, _ = keyed_impressions(table, ADS, negative_keep_rate=0.1)
    assert sorted(shown["weight"].tolist()) == pytest.approx([1.0, 2.0, 5.0, 30.0])
    assert (shown["click"] == (shown["weight"] < 5)).all()
    plain, _ = keyed_impressions(table.drop_columns(["weight"]), ADS)
    assert (plain["weight"] == 1).all()


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_weight_that_is_none_sets_the_row_aside(weight: float) -> None:
    _, table = log(impressions=4)
    kept, broken = IMPRESSIONS.check(weigh(table, np.array([1.0, weight, 1.0, 1.0])), "a.csv")
    assert kept.num_rows == 3
    assert [str(one).split(", the")[0] for one in broken] == [
        "a.csv: column 'weight': 1 rows lie outside of 0.001 to 1,000,000"
    ]


@pytest.mark.parametrize("config", [CONFIG, WEIGHTED])
def test_counters_take_a_weight_as_so_many_rows(config: FeatureConfig) -> None:
    _, table = weighted_log()
    shown, _ = keyed_impressions(table, ADS)
    times = shown["weight"].astype(np.int64)
    repeated = {name: np.repeat(values, times) for name, values in shown.items() if name != "weight"}
    one, other = fold_impressions(shown, config), fold_impressions(repeated, config)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name].sums, other[name].sums)
        np.testing.assert_array_equal(one[name].bucket, other[name].bucket)


def test_weighted_counters_are_the_same_in_any_order_and_grouping() -> None:
    _, table = log()
    shown, _ = keyed_impressions(thinned(table, 0.3), ADS, negative_keep_rate=0.3)
    whole = fold_impressions(shown, WEIGHTED)
    mixed = np.random.default_rng(0).permutation(len(shown["weight"]))
    halves = [{name: values[part] for name, values in shown.items()} for part in np.array_split(mixed, 2)]
    one, other = (fold_impressions(half, WEIGHTED) for half in halves)
    for name, counters in whole.items():
        np.testing.assert_array_equal(counters.sums, one[name].merge(other[name]).sums)


def test_small_units_change_no_reading_and_live_records_count_in_them() -> None:
    events, table = log()
    plain, fine = rows_of(events, table, config=CONFIG), rows_of(events, table, config=WEIGHTED)
    assert plain.dense.tobytes() == fine.dense.tobytes()
    assert plain.impressions["expected_cost"].tobytes() == fine.impressions["expected_cost"].tobytes()
    shown, _ = keyed_impressions(table, ADS)
    live, offline = fold_records(impression_records(shown), WEIGHTED), fold_impressions(shown, WEIGHTED)
    for name, counters in offline.items():
        np.testing.assert_array_equal(counters.sums, live[name].sums)
    assert state_of(plain, CONFIG).fingerprint != state_of(fine, WEIGHTED).fingerprint


def test_a_log_without_weights_keeps_its_definition() -> None:
    assert "units_per_impression" not in CONFIG.definition()
    assert WEIGHTED.definition()["units_per_impression"] == 1000


def test_an_ad_of_a_thinned_log_reads_the_rate_that_live_impressions_give_it() -> None:
    """Live impressions are not thinned: without weights the trained feature is off by more than one."""
    _, table = log(impressions=40_000)
    asked = {
        **{name: getattr(ADS, name) for name in ("ad_key", "item_key", "category_key", "campaign_key")},
        "user_key": np.zeros(30, np.int64),
        "time_us": np.full(30, START_US + DAYS * DAY_US),
    }
    few = table.filter(pa.array(~table["click"].to_numpy() | (np.random.default_rng(3).random(40_000) < 0.1)))
    kept = thinned(few, 0.1)
    read = {}
    for name, (rows, rate) in {"live": (few, 1.0), "weighted": (kept, 0.1), "as it is": (kept, 1.0)}.items():
        shown, _ = keyed_impressions(rows, ADS, negative_keep_rate=rate)
        read[name] = read_dense(fold_impressions(shown, WEIGHTED), asked, WEIGHTED)[:, RATES[0]]
    assert np.abs(read["weighted"] - read["live"]).max() < 0.3
    assert np.abs(read["weighted"] - read["live"]).mean() < 0.1
    assert (read["as it is"] - read["live"]).min() > 1


def test_a_fit_takes_a_weight_as_so_many_rows() -> None:
    rows = rows_of(*weighted_log())
    one, other = state_of(rows), state_of(repeat_rows(rows))
    assert one.totals == pytest.approx(other.totals)
    assert one.base_rates == pytest.approx(other.base_rates)
    for name in ("dense_mean", "dense_scale", "log_money_mean", "log_money_scale"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)
    train = rows.impressions["split"] == Split.TRAIN
    assert one.totals["impressions"] == rows.impressions["weight"][train].sum() > train.sum()


def test_the_rates_of_a_thinned_log_are_those_of_the_whole_one() -> None:
    events, table = log(impressions=40_000)
    whole, kept = state_of(rows_of(events, table)), state_of(rows_of(events, thinned(table, 0.1), 0.1))
    assert kept.totals == pytest.approx(whole.totals, rel=0.03)
    assert kept.base_rates == pytest.approx(whole.base_rates, rel=0.03)
    np.testing.assert_allclose(kept.dense_mean, whole.dense_mean, atol=0.1)


def test_a_vocabulary_counts_rows_not_what_they_stand_for() -> None:
    events, table = log(impressions=30)
    heavy = rows_of(events.slice(0, 0), weigh(table, np.full(table.num_rows, 50.0)))
    light = rows_of(events.slice(0, 0), table)
    assert [len(part.keys) for part in state_of(heavy).vocabularies.values()] == [
        len(part.keys) for part in state_of(light).vocabularies.values()
    ]


def test_candidates_weigh_one() -> None:
    events, table = log()
    shown, _ = keyed_impressions(thinned(table, 0.1), ADS, negative_keep_rate=0.1)
    offered, _ = keyed_impressions(table.drop_columns(["click", "weight"]), ADS, negative_keep_rate=0.1)
    late = {name: values[offered["time_us"] >= BOUNDS.valid_us] for name, values in offered.items()}
    keyed = keyed_events(events)
    counters = fold_events(keyed, WEIGHTED) | fold_impressions(shown, WEIGHTED)
    rows = build_user_rows(keyed, shown, late, counters, WEIGHTED, BOUNDS).impressions
    assert set(rows["weight"][rows["split"] >= Split.POLICY]) == {1.0}
    assert set(rows["weight"][rows["split"] < Split.POLICY]) == {1.0, 10.0}


def test_rows_written_before_there_were_weights_stand_for_one() -> None:
    table = rows_of(*log(impressions=40)).to_table().drop_columns(["impression_weight"])
    assert UserRows.from_table(table).impressions["weight"].tolist() == [1.0] * 40


def test_weights_go_through_the_file_of_user_rows() -> None:
    rows = rows_of(*weighted_log())
    read = UserRows.from_table(rows.to_table()).impressions["weight"]
    assert read.tolist() == rows.impressions["weight"].tolist()
    assert set(read) == {1.0, 2.0, 3.0}
