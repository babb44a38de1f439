"""Preprocessing end to end on Ray Data, against an independent count of the same log."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.data.counter_files import read_counters_file
from rosa_ray.data.leakage.guard import LeakGuardConfig, guard
from rosa_ray.data.preprocess import PreprocessConfig, PreprocessResult, preprocess, split_bounds
from rosa_ray.data.user_rows import require_keep_rate
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.features import FeatureConfig, FeatureState, SplitBounds, UserRows
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import hash_id
from rosa_ray.sources import SourceConfig, open_source
from rosa_ray.storage import read_json, read_parquet
from tests.synthetic import BOUNDS, CONFIG, ads_table, events_table, impressions_table

PERIODS = PreprocessConfig(
    partitions=3,
    valid_from=datetime.fromtimestamp(BOUNDS.valid_us / 1e6, UTC).isoformat(),
    test_from=datetime.fromtimestamp(BOUNDS.test_us / 1e6, UTC).isoformat(),
)


def write_log(folder: Path, with_candidates: bool = True) -> None:
    rng = np.random.default_rng(0)
    events, impressions = events_table(rng), impressions_table(rng)
    tables = {"events": events, "impressions": impressions, "ads": ads_table()}
    if with_candidates:
        labels = ["position", "propensity", "cost", "click", "conversion", "conversion_time", "revenue"]
        tables["candidates"] = impressions.drop_columns(labels)
    for name, table in tables.items():
        (folder / name).mkdir(parents=True)
        half = table.num_rows // 2
        pq.write_table(table.slice(0, half + 5), folder / name / "a.parquet")
        pq.write_table(table.slice(half), folder / name / "b.parquet")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> tuple[PreprocessResult, DataDir]:
    root = tmp_path_factory.mktemp("preprocess")
    write_log(root / "log")
    source = open_source(SourceConfig(kind="log", path=str(root / "log")))
    return preprocess(source, str(root / "data"), PERIODS, CONFIG), DataDir(str(root / "data"))


def all_rows(layout: DataDir) -> list[UserRows]:
    return [UserRows.from_table(read_parquet(str(path))) for path in sorted(Path(layout.users).glob("*.parquet"))]


@pytest.mark.integration
def test_the_report_counts_what_the_log_holds_once(done: tuple[PreprocessResult, DataDir]) -> None:
    report = done[0].report
    rng = np.random.default_rng(0)
    events, impressions = events_table(rng), impressions_table(rng)
    assert report["events"] == events.num_rows
    assert report["impressions"] == impressions.num_rows
    assert report["duplicate_events"] == 5
    assert read_json(done[1].names) == {"device": ["desk", "phone"]}
    assert report["duplicate_impressions"] == 5
    users = set(events["user_id"].to_pylist()) | set(impressions["user_id"].to_pylist())
    assert report["users"] == len(users)
    times = impressions["request_time"].cast(pa.int64()).to_numpy()
    click = np.array(impressions["click"].to_pylist())
    test = times >= BOUNDS.test_us
    assert report["splits"]["test"]["impressions"] == test.sum()
    assert report["splits"]["test"]["clicks"] == click[test].sum()
    assert report["splits"]["policy"]["impressions"] == test.sum()
    assert report["splits"]["valid_policy"]["impressions"] == ((times >= BOUNDS.valid_us) & ~test).sum()
    assert report["splits"]["train"]["impressions"] == (times < BOUNDS.valid_us).sum()


@pytest.mark.integration
def test_nothing_leaks_and_late_labels_are_counted(done: tuple[PreprocessResult, DataDir]) -> None:
    leakage = done[0].report["leakage"]
    impressions = impressions_table_of_the_log()
    request = impressions["request_time"].cast(pa.int64()).to_numpy()
    converted = impressions["conversion_time"].cast(pa.int64()).fill_null(0).to_numpy()
    late = ((request < BOUNDS.test_us) & (converted >= BOUNDS.test_us)).sum()
    assert leakage.pop("labels_that_mature_after_test_begins") == late > 0
    assert not any(leakage.values())


def impressions_table_of_the_log() -> pa.Table:
    rng = np.random.default_rng(0)
    events_table(rng)
    return impressions_table(rng)


@pytest.mark.integration
def test_user_rows_hold_each_users_own_events_in_time_order(done: tuple[PreprocessResult, DataDir]) -> None:
    events = events_table(np.random.default_rng(0))
    by_user: dict[str, list[tuple[int, str, int]]] = {}
    for row in events.to_pylist():
        when = round(row["event_time"].timestamp() * 1e6)
        by_user.setdefault(row["user_id"], []).append((when, row["event_id"], hash_id(row["item_id"])))
    seen = 0
    for rows in all_rows(done[1]):
        for user, start, stop in zip(rows.user_id, rows.event_offsets[:-1], rows.event_offsets[1:], strict=True):
            expected = [item for _, _, item in sorted(by_user.get(user, []))]
            assert rows.events["item_key"][start:stop].tolist() == expected
            seen += len(expected)
    assert seen == events.num_rows


@pytest.mark.integration
def test_files_have_page_checksums_and_the_features_load(done: tuple[PreprocessResult, DataDir]) -> None:
    result, layout = done
    path = sorted(Path(layout.users).glob("*.parquet"))[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged = path.parent.parent / "damaged.parquet"
    damaged.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"damaged\.parquet"):
        read_parquet(str(damaged))
    assert FeatureState.load(Path(layout.features)).fingerprint == result.report["feature_fingerprint"]
    assert read_json(layout.spec)["bounds"] == {"valid_us": BOUNDS.valid_us, "test_us": BOUNDS.test_us}
    counted = read_counters_file(layout.counters)["user_events"]
    assert counted.sums.sum() == result.report["events"]
    assert not Path(layout.staging).exists()


@pytest.mark.integration
def test_the_number_of_partitions_does_not_change_a_row(done: tuple[PreprocessResult, DataDir], tmp_path: Path) -> None:
    write_log(tmp_path / "log")
    source = open_source(SourceConfig(kind="log", path=str(tmp_path / "log")))
    one = PreprocessConfig(partitions=1, valid_from=PERIODS.valid_from, test_from=PERIODS.test_from)
    preprocess(source, str(tmp_path / "data"), one, CONFIG)
    tables = [
        pa.concat_tables([rows.to_table() for rows in all_rows(layout)])
        for layout in (done[1], DataDir(str(tmp_path / "data")))
    ]
    left, right = (table.sort_by("user_key") for table in tables)
    with_nan = ["dense", "impression_propensity"]
    assert left.drop_columns(with_nan).equals(right.drop_columns(with_nan))
    np.testing.assert_array_equal(left["dense"].combine_chunks().flatten(), right["dense"].combine_chunks().flatten())


@pytest.mark.integration
def test_a_thinned_log_is_counted_as_what_it_stands_for(tmp_path: Path, ray_cluster: None) -> None:
    write_log(tmp_path / "log", with_candidates=False)
    source = open_source(SourceConfig(kind="log", path=str(tmp_path / "log")))
    result = preprocess(source, str(tmp_path / "data"), replace(PERIODS, negative_keep_rate=0.1), CONFIG)
    layout = DataDir(str(tmp_path / "data"))
    click = np.array(impressions_table_of_the_log()["click"].to_pylist())
    meant = click.sum() + 10 * (~click).sum()
    assert result.report["impressions"] == len(click)
    assert result.report["stands_for"] == pytest.approx(meant)
    train = result.report["splits"]["train"]
    assert train["ctr"] == pytest.approx(
        train["clicks"] / (train["clicks"] + 10 * (train["impressions"] - train["clicks"]))
    )
    state = FeatureState.load(Path(layout.features))
    assert state.config.units_per_impression == 1000
    assert state.totals["impressions"] == pytest.approx(train["stands_for"]["impressions"])
    assert read_counters_file(layout.counters)["ad_impressions"].sums[:, 0].sum() == round(1000 * meant)
    assert guard(layout.root, LeakGuardConfig(), SourceConfig()).findings == ()
    require_keep_rate(layout, 0.1)
    with pytest.raises(
        InputError, match=r"was preprocessed with preprocess\.negative_keep_rate 0\.1, the config says 1;"
    ):
        require_keep_rate(layout, 1.0)


@pytest.mark.integration
def test_a_log_without_impressions_says_what_to_run(tmp_path: Path, ray_cluster: None) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    pq.write_table(events_table(np.random.default_rng(0)), folder / "a.parquet")
    source = open_source(SourceConfig(kind="parquet", events=str(folder)))
    with pytest.raises(InputError, match=r"no usable impressions.*rosa simulate"):
        preprocess(source, str(tmp_path / "data"), PERIODS, FeatureConfig())


@pytest.mark.integration
def test_a_log_without_impressions_becomes_timelines_where_the_config_says_so(
    tmp_path: Path, ray_cluster: None
) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    events = events_table(np.random.default_rng(0))
    pq.write_table(events, folder / "a.parquet")
    source = open_source(SourceConfig(kind="parquet", events=str(folder)))
    config = PreprocessConfig(partitions=2, valid_fraction=0.2, test_fraction=0.3, without_impressions=True)
    result = preprocess(source, str(tmp_path / "data"), config, FeatureConfig())
    layout = DataDir(str(tmp_path / "data"))
    assert (result.report["impressions"], result.partial) == (0, False)
    rows = all_rows(layout)
    assert sum(len(one.events["time_us"]) for one in rows) == result.report["events"] > 0
    times = np.concatenate([one.events["time_us"] for one in rows])
    span, bounds = times.max() - times.min(), read_json(layout.spec)["bounds"]
    assert bounds["valid_us"] == pytest.approx(times.min() + 0.5 * span, abs=2)
    state = FeatureState.load(Path(layout.features))
    past = np.concatenate([one.events["item_key"][one.events["time_us"] < bounds["valid_us"]] for one in rows])
    keys, counts = np.unique(past, return_counts=True)
    assert state.vocabularies["item"].keys.tolist() == keys[counts >= FeatureConfig().min_count].tolist()


@pytest.mark.integration
def test_events_without_a_category_take_that_of_the_ad_and_are_counted(tmp_path: Path, ray_cluster: None) -> None:
    write_log(tmp_path / "log", with_candidates=False)
    write_log(tmp_path / "silent", with_candidates=False)
    for path in (tmp_path / "silent" / "events").iterdir():
        table = pq.read_table(path)
        nothing = pa.nulls(table.num_rows, pa.string())
        pq.write_table(table.set_column(table.column_names.index("category"), "category", nothing), path)
    results, rows = [], []
    for name in ("log", "silent"):
        source = open_source(SourceConfig(kind="log", path=str(tmp_path / name)))
        results.append(preprocess(source, str(tmp_path / f"{name}-data"), PERIODS, CONFIG))
        users = Path(DataDir(str(tmp_path / f"{name}-data")).users)
        rows.append([path.read_bytes() for path in sorted(users.glob("*.parquet"))])
    assert rows[0] == rows[1]
    told = [loss for loss in results[1].report["losses"] if "take that of their item's ad" in loss["reason"]]
    assert [(loss["rows"], loss["lost"]) for loss in told] == [(results[0].report["events"], False)]


def test_periods_from_dates_and_from_fractions() -> None:
    assert split_bounds(PreprocessConfig(), 0, 1000) == SplitBounds(700, 800)
    dated = PreprocessConfig(valid_from="1970-01-01T00:00:01+00:00", test_from="1970-01-01T02:00:02+02:00")
    assert split_bounds(dated, 0, 3_000_000) == SplitBounds(1_000_000, 2_000_000)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PreprocessConfig(test_from="soon"), "ISO 8601"),
        (PreprocessConfig(test_from="2017-12-01T16:00:00"), "without an offset"),
        (PreprocessConfig(test_from="2030-01-01T00:00:00+00:00"), "do not cut the log"),
        (PreprocessConfig(valid_fraction=0.0), "do not cut the log"),
    ],
)
def test_periods_that_make_no_sense_are_refused(config: PreprocessConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_bounds(config, 0, 1000)
