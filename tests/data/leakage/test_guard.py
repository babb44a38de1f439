"""Every kind of leak is planted once and found under its name; clean logs raise no alarm."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.data.leakage.findings import FeaturePower
from rosa_ray.data.leakage.guard import LeakGuardConfig, LeakReport, guard
from rosa_ray.data.leakage.predictive_inputs import _seconds_since
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.features import (
    AdTable,
    FeatureConfig,
    FeatureState,
    FitSums,
    UserRows,
    build_user_rows,
    dense_names,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.features.own import ColumnConfig
from rosa_ray.sources import SourceConfig
from rosa_ray.storage import read_json, write_json
from rosa_ray.units import DAY_US, SECOND_US
from tests.synthetic import BOUNDS, CONFIG, DAYS, START_US, ads_table, events_table, impressions_table, user_rows_of

WARN = LeakGuardConfig(action="warn")
NOW_US = START_US + (DAYS + 1) * DAY_US
NAMES = dense_names(CONFIG)
PLACE = NAMES.index("ad_impressions.24h.log1p_impressions")

Columns = dict[str, np.ndarray]


def build(
    seed: int = 0,
    impressions: int = 2000,
    change: Callable[[Columns, Columns], None] = lambda events, shown: None,
    counting: FeatureConfig = CONFIG,
    delay_us: int = 0,
) -> UserRows:
    """User rows of a synthetic log whose keyed columns were changed first, or whose counters are read otherwise."""
    rng = np.random.default_rng(seed)
    events = keyed_events(events_table(rng, users=40, events=2000))
    table = impressions_table(rng, users=40, impressions=impressions)
    shown, _ = keyed_impressions(table, AdTable.from_table(ads_table()))
    change(events, shown)
    counted = {**shown, "conversion_time_us": shown["conversion_time_us"] + delay_us}
    counters = fold_events(events, counting) | fold_impressions(counted, counting)
    rows = build_user_rows(events, shown, None, counters, counting, BOUNDS)
    return rows


def state_of(rows: UserRows) -> FeatureState:
    return FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], CONFIG)


def write(folder: Path, rows: UserRows, state: FeatureState | None = None) -> str:
    (folder / "users").mkdir(parents=True)
    table = rows.to_table()
    third = -(-table.num_rows // 3)
    for part in range(3):
        path = folder / "users" / f"part-{part:05d}.parquet"
        pq.write_table(table.slice(part * third, third), path, write_page_checksum=True)
    (state or state_of(rows)).save(folder / "features")
    write_json(
        {
            "bounds": {"valid_us": BOUNDS.valid_us, "test_us": BOUNDS.test_us},
            "start_us": START_US,
            "end_us": START_US + DAYS * DAY_US,
        },
        str(folder / "spec.json"),
    )
    return str(folder)


def found(folder: Path, rows: UserRows, state: FeatureState | None = None) -> LeakReport:
    return guard(write(folder, rows, state), WARN, SourceConfig(), NOW_US)


def with_dense(rows: UserRows, values: np.ndarray) -> UserRows:
    dense = rows.dense.copy()
    dense[:, PLACE] = values
    return replace(rows, dense=dense)


def with_column(rows: UserRows, name: str, values: np.ndarray) -> UserRows:
    return replace(rows, impressions={**rows.impressions, name: values})


def places(report: LeakReport, check: str) -> set[str]:
    return {finding.where for finding in report.leaks if finding.check == check}


@pytest.mark.parametrize(("seed", "impressions"), [(0, 400), (1, 400), (2, 2000), (3, 2000), (4, 60)])
def test_a_clean_log_raises_no_alarm(tmp_path: Path, seed: int, impressions: int) -> None:
    rows = build(seed, impressions)
    report = found(tmp_path / "data", rows)
    assert report.findings == ()
    assert report.skipped == ()
    assert report.rows == impressions
    assert report.labelled == (rows.impressions["split"] <= 1).sum()
    assert all(0.5 <= feature.power < 0.98 for feature in report.features)


def test_weighted_counters_are_counted_right(tmp_path: Path) -> None:
    config = replace(CONFIG, units_per_impression=1000)

    def weigh(events: Columns, shown: Columns) -> None:
        shown["weight"] = np.where(shown["click"] > 0, 1.0, 10 / 3)

    rows = build(change=weigh, counting=config)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], config)
    assert found(tmp_path / "data", rows, state).findings == ()
    unweighted = with_column(rows, "weight", np.ones_like(rows.impressions["weight"]))
    assert "ad_impressions.24h.log1p_impressions" in places(
        found(tmp_path / "other", unweighted, state), "point in time"
    )


def test_other_buckets_are_counted_right(tmp_path: Path) -> None:
    config = replace(CONFIG, bucket_minutes=180, settle_minutes=20)
    rows = build(counting=config)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], config)
    assert found(tmp_path / "data", rows, state).findings == ()


def test_a_feature_that_equals_the_click_stops_the_training(tmp_path: Path) -> None:
    rows = build()
    folder = write(tmp_path / "data", with_dense(rows, rows.impressions["click"]))
    with pytest.raises(InputError) as caught:
        guard(folder, LeakGuardConfig(), SourceConfig(), NOW_US)
    message = str(caught.value)
    assert f"{NAMES[PLACE]}: alone predicts 'click' with AUC 1.0000" in message
    assert "drop 'ad_impressions' from features.views" in message
    assert "leak_guard.action=warn" in message
    assert caught.value.exit_code == 3
    written = read_json(f"{folder}/leakage.json")
    assert written["findings"][0]["where"] == NAMES[PLACE]
    assert written["features"][0]["auc"] == 1.0


def test_a_feature_that_is_only_there_without_a_click(tmp_path: Path) -> None:
    rows = build()
    values = np.where(rows.impressions["click"] > 0, np.nan, rows.dense[:, PLACE])
    report = found(tmp_path / "data", with_dense(rows, values))
    powers = {(feature.feature, feature.label): feature.auc for feature in report.features}
    assert powers[f"{NAMES[PLACE]} is present", "click"] == 0.0
    assert f"{NAMES[PLACE]} is present" in places(report, "single feature")


def test_a_price_that_gives_the_conversion_away(tmp_path: Path) -> None:
    rows = build()
    price = np.where(rows.impressions["conversion"] > 0, 99.0, 1.0)
    report = found(tmp_path / "data", with_column(rows, "price", price))
    assert any(
        finding.where == "price" and "'conversion given click'" in finding.message and "ads.price" in finding.remedy
        for finding in report.leaks
    )


def test_an_id_that_gives_the_click_away(tmp_path: Path) -> None:
    rows = build()
    report = found(tmp_path / "data", with_column(rows, "region_key", 5 + rows.impressions["click"].astype(np.int64)))
    assert places(report, "single feature") == {"mean of the label by region"}


def test_an_id_whose_rate_turns_round_in_validation_is_a_warning(tmp_path: Path) -> None:
    rows = build()
    click, train = rows.impressions["click"].astype(np.int64), rows.impressions["split"] == 0
    blurred = np.where(np.arange(len(click)) % 4 > 0, np.where(train, click, 1 - click), 2)
    report = found(tmp_path / "data", with_column(rows, "region_key", 5 + blurred))
    warned = [(item.check, item.where) for item in report.findings if item.severity == "warning"]
    assert ("validation unlike training", "mean of the label by region") in warned


def test_a_feature_that_ranks_like_the_cost(tmp_path: Path) -> None:
    rows = build()
    report = found(tmp_path / "data", with_dense(rows, -np.log(rows.impressions["cost"])))
    assert [(item.where, "their cost" in item.message) for item in report.leaks if item.check.startswith("label")] == [
        (NAMES[PLACE], True)
    ]


def test_a_click_that_is_logged_before_its_impression(tmp_path: Path) -> None:
    """The limit leaves room for ads that are shown twice at once."""

    def log_early(events: Columns, shown: Columns) -> None:
        clicked = shown["click"] > 0
        for name, values in events.items():
            extra = shown[name][clicked] if name in shown else np.resize(values, clicked.sum())
            events[name] = np.concatenate([values, extra - SECOND_US if name == "time_us" else extra])
        order = np.lexsort((events["time_us"], events["user_key"]))
        events.update({name: values[order] for name, values in events.items()})

    folder = write(tmp_path / "data", build(change=log_early))
    report = guard(folder, replace(WARN, auc_limit=0.96), SourceConfig(), NOW_US)
    assert places(report, "single feature") == {"seconds since the last event on the ad's item"}


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_seconds_since_the_last_event(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, event_us, asked, time_us = (rng.integers(0, 4, 30) for _ in range(4))
    since = _seconds_since(groups, event_us * SECOND_US, asked, time_us * SECOND_US)
    for group, when, answer in zip(asked, time_us, since, strict=True):
        before = event_us[(groups == group) & (event_us < when)]
        assert np.isnan(answer) if not len(before) else answer == when - before.max()


def test_times_of_the_future(tmp_path: Path) -> None:
    rows = build()
    last = rows.event_offsets[1:][np.diff(rows.event_offsets) > 0][:2] - 1
    event_us = rows.events["time_us"].copy()
    event_us[last] += 365 * DAY_US
    report = found(tmp_path / "data", replace(rows, events={**rows.events, "time_us": event_us}))
    assert [str(item) for item in report.leaks if "2 events lie in the future" in item.message]
    assert [item.severity for item in report.findings if "a day after the log's end" in item.message] == ["warning"]


def test_a_train_impression_past_the_begin_of_validation(tmp_path: Path) -> None:
    rows = build()
    moved = int(np.flatnonzero(rows.impressions["split"] == 0)[-1])
    time_us = rows.impressions["time_us"].copy()
    time_us[moved] = BOUNDS.valid_us
    report = found(tmp_path / "data", with_column(rows, "time_us", time_us))
    assert any("1 training impressions lie outside the training period" in item.message for item in report.leaks)


def test_an_impression_of_two_periods(tmp_path: Path) -> None:
    rows = build()
    key, split = rows.impressions["impression_key"].copy(), rows.impressions["split"]
    key[np.flatnonzero(split == 2)[0]] = key[np.flatnonzero(split == 0)[0]]
    report = found(tmp_path / "data", with_column(rows, "impression_key", key))
    assert [item.message for item in report.leaks] == ["1 impressions are in two periods at once"]


def test_a_timeline_out_of_order(tmp_path: Path) -> None:
    rows = build()
    event_us = rows.events["time_us"].copy()
    user = int(np.flatnonzero(np.diff(rows.event_offsets) > 3)[0])
    start = rows.event_offsets[user]
    event_us[[start, start + 2]] = event_us[[start + 2, start]]
    report = found(tmp_path / "data", replace(rows, events={**rows.events, "time_us": event_us}))
    assert any("events of a timeline are out of order" in item.message for item in report.leaks)


def test_features_fitted_on_everything(tmp_path: Path) -> None:
    rows = build(impressions=400)
    everything = with_column(rows, "split", np.zeros_like(rows.impressions["split"]))
    state = FeatureState.fit([FitSums.of(everything, NOW_US)], replace(CONFIG, min_count=1))
    report = found(tmp_path / "data", rows, replace(state, config=CONFIG))
    where = places(report, "fitted on later periods")
    assert "features" in where
    assert any(name.startswith("scaler of ") for name in where)
    total = int((rows.impressions["split"] == 0).sum())
    assert any(f"fitted on 400 impressions; the training period has {total}" in item.message for item in report.leaks)


def test_ids_of_later_periods_in_a_vocabulary(tmp_path: Path) -> None:
    rows = build()
    state = state_of(rows)
    known = state.vocabularies["region"]
    more = replace(known, keys=np.sort(np.r_[known.keys, 12345]))
    report = found(tmp_path / "data", rows, replace(state, vocabularies={**state.vocabularies, "region": more}))
    assert [(item.where, item.message) for item in report.leaks] == [
        ("vocabulary region", "1 of 4 ids are not of the training period")
    ]


def test_counters_that_read_an_open_bucket(tmp_path: Path) -> None:
    leaky = replace(CONFIG)
    object.__setattr__(leaky, "settle_minutes", -60)  # as a bug would: no such setting is accepted
    rows = build(counting=leaky)
    report = found(tmp_path / "data", rows)
    where = {item.where.split(".")[0] for item in report.leaks if item.check == "point in time"}
    assert {"user_events", "item_events", "ad_impressions", "campaign_impressions"} <= where


def test_conversions_that_are_counted_before_they_happen(tmp_path: Path) -> None:
    report = found(tmp_path / "data", build(delay_us=-4 * DAY_US))
    assert {item.where.rsplit(".", 1)[1] for item in report.leaks} == {"log_cvr"}


def test_a_sample_says_what_it_skips(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", build())
    report = guard(folder, replace(WARN, max_rows=1), SourceConfig(), NOW_US)
    assert (report.files_read, report.files) == (1, 3)
    assert report.findings == ()
    assert [reason.split(":")[0] for reason in report.skipped] == [
        "fitted on later periods",
        "counters shared by users",
    ]


@pytest.mark.parametrize(
    ("columns", "where", "severity"),
    [
        ({"impressions": {"device": "click"}}, "source.columns.impressions.device", "leak"),
        ({"impressions": {"revenue": "bid"}}, "source.columns.impressions.bid", "leak"),
        ({"ads": {"price": "gain"}, "impressions": {"revenue": "gain"}}, "source.columns.ads.price", "leak"),
        ({"impressions": {"region": "is_converted"}}, "source.columns.impressions.region", "warning"),
        ({"impressions": {"device": "device_class", "conversion": "sale"}}, "", ""),
    ],
)
def test_labels_that_a_source_maps_to_inputs(
    tmp_path: Path, columns: dict[str, dict[str, str]], where: str, severity: str
) -> None:
    folder = write(tmp_path / "data", build(impressions=60))
    source = SourceConfig(kind="csv", impressions="log.csv", ads="log.csv", columns=columns)
    report = guard(folder, WARN, source, NOW_US)
    expected = [(where, severity)] if where else []
    assert [(item.where, item.severity) for item in report.findings] == expected


def test_conversions_set_aside_at_ingest_are_mentioned(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", build(impressions=60))
    broken = {"rows": 3, "reason": "convert before their request"}
    write_json({"ingest": {"files": [{"violations": [broken]}]}}, f"{folder}/report.json")
    report = guard(folder, LeakGuardConfig(), SourceConfig(), NOW_US)
    assert [item.severity for item in report.findings] == ["warning"]
    assert report.lines()[1].startswith("  warning: conversion_time: 3 impressions converted before")


def test_off_looks_at_nothing() -> None:
    assert guard("/nowhere", LeakGuardConfig(action="off"), SourceConfig()) == LeakReport()


def test_no_data_says_what_to_run(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", build(impressions=60))
    for path in (tmp_path / "data" / "users").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="run `rosa preprocess` first"):
        guard(folder, WARN, SourceConfig(), NOW_US)


def test_an_empty_file_is_read_over(tmp_path: Path) -> None:
    rows = build(impressions=60)
    folder = write(tmp_path / "data", rows)
    pq.write_table(rows.to_table().slice(0, 0), f"{folder}/users/part-00003.parquet", write_page_checksum=True)
    assert guard(folder, WARN, SourceConfig(), NOW_US).findings == ()


@pytest.mark.parametrize("wrong", [{"auc_limit": 0.4}, {"auc_limit": 1.0}, {"max_rows": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"leak_guard\."):
        LeakGuardConfig(**wrong)


def test_an_input_that_tells_a_label_backwards_is_as_strong() -> None:
    power = FeaturePower("bid", "click", 0.25, 10, 40)
    (line,) = LeakReport(rows=40, labelled=40, files=1, files_read=1, features=(power,)).lines()
    assert "strongest single input bid -> click, AUC 0.750 the other way round" in line


def test_declared_columns_that_give_the_click_away_are_named(tmp_path: Path) -> None:
    columns = {
        "request.answered": ColumnConfig(type="number"),
        "request.source": ColumnConfig(),
        "request.tags": ColumnConfig(type="categories", most=2),
        "request.place": ColumnConfig(),
    }
    config = replace(CONFIG, columns=columns)
    rng = np.random.default_rng(0)
    click = impressions_table(np.random.default_rng(0), impressions=2000)["click"].to_numpy()
    noise = rng.integers(0, 3, 2000)
    own = {
        "request.answered": pa.array(click + rng.uniform(0, 0.5, 2000)),
        "request.source": pa.array([f"ad-{at}" if yes else f"{at}" for yes, at in zip(click, noise, strict=True)]),
        "request.tags": pa.array(
            [[f"t{at}", *(["bought"] if yes else [])] for yes, at in zip(click, noise, strict=True)]
        ),
        "request.place": pa.array([f"p{at}" for at in noise]),
    }
    rows = user_rows_of(config, own, impressions=2000)
    report = found(tmp_path, rows, FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config))
    named = {finding.where.removeprefix("mean of the label by ") for finding in report.leaks}
    assert named == {"request.answered", "request.source", "request.tags"}
    assert all("known before the request" in finding.remedy for finding in report.leaks)
