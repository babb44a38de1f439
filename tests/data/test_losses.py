"""No row goes silently, and no mistake looks like success: small logs with one fault each, through preprocessing."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from rosa_ray.data import own_tables as own_tables_module
from rosa_ray.data import preprocess as preprocess_module
from rosa_ray.data import stage as stage_module
from rosa_ray.data.counter_files import read_counters_file
from rosa_ray.data.coverage import sample_ids
from rosa_ray.data.leakage.guard import LeakGuardConfig, guard
from rosa_ray.data.losses import Loss, list_losses, lost_shares, reasons
from rosa_ray.data.preprocess import PreprocessConfig, PreprocessResult, preprocess
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.features import RecordKind, Split, UserRows, fold_records
from rosa_ray.features.records import records_of
from rosa_ray.features.views import IMPRESSION_MEASURES
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import CONTRACTS, hash_ids
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.schema.overlap import find_overlap
from rosa_ray.sources import SourceConfig, open_source
from rosa_ray.storage import read_json, read_parquet
from rosa_ray.units import DAY_US
from tests.synthetic import CONFIG, DAYS, START_US, ads_table, events_table, impressions_table
from workloads.messages import loss_lines, print_losses

Tables = dict[str, pa.Table]
FAR = datetime(2099, 1, 1, tzinfo=UTC)
PLAIN = PreprocessConfig(partitions=3)


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same passes in this process, one after another."""

    def run_tasks(work: Callable[[Any], Any], items: Any, doing: str) -> list[Any]:
        return [work(item) for item in items]

    def stage_all(
        source: Any, files: Any, staging_dir: str, partitions: int, setup: str, *declared: Any
    ) -> dict[Any, Any]:
        return {file: stage_module.stage_file(source, file, staging_dir, partitions, *declared) for file in files}

    monkeypatch.setattr(preprocess_module, "run_tasks", run_tasks)
    monkeypatch.setattr(own_tables_module, "run_tasks", run_tasks)
    monkeypatch.setattr(stage_module, "_stage_all", stage_all)


def log() -> Tables:
    rng = np.random.default_rng(0)
    return {"events": events_table(rng), "impressions": impressions_table(rng), "ads": ads_table()}


def write(folder: Path, tables: Tables, names: dict[str, str] | None = None) -> Path:
    for name, table in tables.items():
        path = folder / (names or {}).get(name, name) / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    return folder


def run(folder: Path, tables: Tables, config: PreprocessConfig = PLAIN) -> PreprocessResult:
    source = open_source(SourceConfig(kind="log", path=str(write(folder / "log", tables))))
    return preprocess(source, str(folder / "data"), config, CONFIG)


def changed(table: pa.Table, column: str, values: Any, rows: Any = slice(None)) -> pa.Table:
    """The table with a column in which some rows have other values, nulls too."""
    place = table.schema.get_field_index(column)
    content = np.array(table[column].to_pylist(), object)
    content[rows] = values
    field = table.schema.field(column).with_nullable(True)
    return table.set_column(place, field, pa.array(content.tolist(), field.type))


def told(result: PreprocessResult) -> dict[tuple[str, bool], int]:
    return {(f"{loss['table']}: {loss['reason']}", loss["lost"]): loss["rows"] for loss in result.report["losses"]}


def users_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "data" / "users").iterdir())}


def test_an_honest_log_loses_nothing_and_says_how_its_tables_meet(without_ray: None, tmp_path: Path) -> None:
    result = run(tmp_path, log())
    assert result.report["losses"] == result.report["warnings"] == []
    assert not result.partial
    shares = {share["what"]: (share["have"], share["of"]) for share in result.report["coverage"]}
    tables = log()
    shown, active = (set(tables[name]["user_id"].to_pylist()) for name in ("impressions", "events"))
    assert shares["users with impressions have events"] == (len(shown & active), len(shown))
    assert shares["items of ads occur in events"] == (30, 30)
    first: dict[str, Any] = {}
    for row in tables["events"].to_pylist():
        first[row["user_id"]] = min(row["event_time"], first.get(row["user_id"], row["event_time"]))
    before = [row for row in tables["impressions"].to_pylist() if first.get(row["user_id"], FAR) < row["request_time"]]
    assert shares["impressions have an event of their user before them"] == (len(before), 400)


@pytest.mark.parametrize("when", [FAR, datetime(2001, 1, 1, tzinfo=UTC), datetime(2024, 1, 9, tzinfo=UTC)])
def test_one_stray_impression_moves_nothing(without_ray: None, tmp_path: Path, when: datetime) -> None:
    tables = log()
    last = tables["impressions"].num_rows - 1
    stray = {**tables, "impressions": changed(tables["impressions"], "request_time", when, last)}
    stray["impressions"] = changed(stray["impressions"], "conversion_time", None, last)
    result = run(tmp_path / "stray", stray)
    alone = run(tmp_path / "alone", {**tables, "impressions": tables["impressions"].slice(0, last)})
    assert users_of(tmp_path / "stray") == users_of(tmp_path / "alone")
    assert result.report["splits"] == alone.report["splits"]
    assert told(result) == {("impressions: lie far outside of the log's time", True): 1}
    assert when.isoformat() in result.report["losses"][0]["example"]
    assert not result.partial
    kept = PreprocessConfig(partitions=3, time_outliers="keep", valid_from=iso(5), test_from=iso(6))
    assert run(tmp_path / "kept", stray, kept).report["impressions"] == 400


def iso(day: int) -> str:
    return datetime.fromtimestamp((START_US + day * DAY_US) / 1e6, UTC).isoformat()


def test_one_stray_event_reaches_no_counter(without_ray: None, tmp_path: Path) -> None:
    tables = log()
    result = run(tmp_path, {**tables, "events": changed(tables["events"], "event_time", FAR, 7)})
    assert result.report["events"] == 299
    assert result.report["outlying_events"] == 1
    bucket = read_counters_file(DataDir(str(tmp_path / "data")).counters)["user_events"].bucket
    hours = np.array([START_US, START_US + DAYS * DAY_US]) // (CONFIG.bucket_minutes * 60_000_000)
    assert hours[0] <= bucket.min() <= bucket.max() <= hours[1]


def test_a_configured_period_leaves_rows_out_without_calling_them_lost(without_ray: None, tmp_path: Path) -> None:
    config = PreprocessConfig(partitions=3, from_time=iso(1), until_time=iso(7))
    result = run(tmp_path, log(), config)
    times = log()["impressions"]["request_time"].cast(pa.int64()).to_numpy()
    inside = (times >= START_US + DAY_US) & (times < START_US + 7 * DAY_US)
    assert result.report["impressions"] == inside.sum()
    assert result.report["left_out_impressions"] == (~inside).sum()
    assert result.report["lost_share"]["impressions"] == 0
    assert not result.partial
    with pytest.raises(ConfigError, match="not before until_time"):
        run(tmp_path, log(), PreprocessConfig(from_time=iso(7), until_time=iso(1)))


def test_broken_rows_are_told_and_many_of_them_make_the_run_partial(without_ray: None, tmp_path: Path) -> None:
    tables = log()
    tables["events"] = changed(tables["events"], "user_id", None, slice(0, 30))
    tables["impressions"] = changed(tables["impressions"], "bid", 0.0, slice(0, 40))
    tables["impressions"] = changed(tables["impressions"], "revenue", -1.0, slice(40, 42))
    result = run(tmp_path, tables)
    assert told(result) == {
        ("events: user_id are null", True): 30,
        ("impressions: bid are NaN, infinite, below 1e-6 or above 1e6", True): 40,
        ("impressions: revenue are NaN, infinite, negative or above 1e9", True): 2,
    }
    assert result.partial
    assert [warning.split(" of the rows")[0] for warning in result.report["warnings"]] == [
        "events: 10.0%",
        "impressions: 10.5%",
    ]
    assert not run(tmp_path, tables, PreprocessConfig(partitions=3, max_lost_share=0.2)).partial


def test_neither_the_names_nor_the_order_of_files_decides_a_label(without_ray: None, tmp_path: Path) -> None:
    tables = log()
    unclicked = changed(changed(tables["impressions"], "click", False), "conversion", False)
    unclicked = changed(changed(unclicked, "conversion_time", None), "revenue", 0.0)
    for name, files in (("one", ("a", "z")), ("other", ("z", "a"))):
        write(tmp_path / name / "log", {"events": tables["events"], "ads": tables["ads"]})
        for file, table in zip(files, (tables["impressions"], unclicked), strict=True):
            write(tmp_path / name / "log" / "impressions" / file, {"impressions": table}, {"impressions": ""})
        result = run(tmp_path / name, {})
        assert result.report["versions_of_impressions"] == 800 - 400 - result.report["duplicate_impressions"]
        clicks = sum(result.report["splits"][period]["clicks"] for period in ("train", "valid", "test"))
        assert clicks == sum(tables["impressions"]["click"].to_pylist())
        assert not result.partial
    assert users_of(tmp_path / "one") == users_of(tmp_path / "other")
    run(tmp_path / "alone", tables)
    assert users_of(tmp_path / "alone") == users_of(tmp_path / "one")


@pytest.mark.parametrize(("table", "id_column"), [("impressions", "impression_id"), ("events", "event_id")])
def test_ids_that_begin_anew_are_named_and_lose_no_row(
    without_ray: None, tmp_path: Path, table: str, id_column: str
) -> None:
    tables = log()
    rows = tables[table].num_rows
    restarted = pa.array([str(number % (rows // 4)) for number in range(rows)])
    place = tables[table].schema.get_field_index(id_column)
    tables[table] = tables[table].set_column(place, id_column, restarted)
    result = run(tmp_path, tables, PreprocessConfig(partitions=1))
    same = ["user_id", id_column, *(("ad_id",) if table == "impressions" else ("item_id", "behavior"))]
    things = tables[table].group_by(same).aggregate([]).num_rows
    assert result.report[table] == things
    assert result.report[f"shared_ids_of_{table}"] > rows / 2
    assert result.partial
    (loss,) = [loss for loss in result.report["losses"] if "something else" in loss["reason"]]
    assert not loss["lost"]
    assert f'source.columns: {{{table}: {{{id_column}: "#row"}}}}' in loss["remedy"]


def test_impressions_of_unknown_ads_have_a_share_and_an_example(without_ray: None, tmp_path: Path) -> None:
    tables = log()
    result = run(tmp_path, {**tables, "ads": tables["ads"].slice(1)})
    unknown = pc.sum(pc.equal(tables["impressions"]["ad_id"], "a0")).as_py()
    (loss,) = result.report["losses"]
    assert (loss["rows"], loss["share"], loss["example"]) == (unknown, unknown / 400, "ad_id 'a0'")
    assert "counted, but not learned from" in loss["reason"]
    assert result.partial


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda name: f"{name} ", "without spaces around them: impressions.user_id has 'u"),
        (lambda name: f"U{name[1:]}.0", "without spaces, case, '.0' and leading zeros"),
        (str.upper, "ignoring case"),
        (lambda name: f"user-{name}", "without 'user-' in front"),
        (lambda name: f"u000{name[1:]}", "without prefix, spaces, case"),
        (lambda name: "x" * (int(name[1:]) + 9), "nothing in common"),
    ],
)
def test_users_that_never_meet_are_a_warning_with_a_hint(
    without_ray: None, tmp_path: Path, change: Callable[[str], str], hint: str
) -> None:
    tables = log()
    names = [change(name) for name in tables["impressions"]["user_id"].to_pylist()]
    result = run(tmp_path, {**tables, "impressions": changed(tables["impressions"], "user_id", names)})
    (warning,) = result.report["warnings"]
    assert warning.startswith("0 of 12 users with impressions have events")
    assert hint in warning
    assert result.partial
    report = guard(str(tmp_path / "data"), LeakGuardConfig(), SourceConfig())
    assert [finding.severity for finding in report.findings] == ["warning"]
    assert warning in report.lines()[1]


@pytest.mark.parametrize("column", ["item_id", "category"])
def test_ads_whose_items_or_categories_no_event_knows(without_ray: None, tmp_path: Path, column: str) -> None:
    tables = log()
    names = [f"{name}.0" for name in tables["ads"][column].to_pylist()]
    result = run(tmp_path, {**tables, "ads": changed(tables["ads"], column, names)})
    (warning,) = result.report["warnings"]
    assert "of ads occur in events; more would meet without '.0' at their ends" in warning
    assert f"ads.{column} has" in warning


def test_impressions_before_all_events_are_a_warning(without_ray: None, tmp_path: Path) -> None:
    tables = log()
    later = pc.add(tables["events"]["event_time"].cast(pa.int64()), 60 * DAY_US).cast(TIMESTAMP)
    place = tables["events"].schema.get_field_index("event_time")
    result = run(tmp_path, {**tables, "events": tables["events"].set_column(place, "event_time", later)})
    assert result.report["warnings"] == [
        "0 of 400 impressions have an event of their user before them; no impression has a history: do both tables "
        "cover the same time, in the same zone?"
    ]


def test_a_log_without_events_has_nothing_to_cover(without_ray: None, tmp_path: Path) -> None:
    folder = write(tmp_path, {name: table for name, table in log().items() if name != "events"})
    source = SourceConfig(kind="parquet", impressions=f"{folder}/impressions", ads=f"{folder}/ads")
    result = preprocess(open_source(source), str(tmp_path / "data"), PLAIN, CONFIG)
    assert result.report["coverage"] == []
    assert not result.partial


def test_a_conversion_without_a_click_counts_as_a_live_one_does_and_is_no_label(
    without_ray: None, tmp_path: Path
) -> None:
    tables = log()
    views = np.flatnonzero(np.array(tables["impressions"]["conversion"].to_pylist()))[::3]
    tables["impressions"] = changed(tables["impressions"], "click", False, views)
    result = run(tmp_path, tables)
    shown = tables["impressions"]
    assert result.report["impressions"] == 400
    assert result.report["conversions_without_a_click"] == len(views)
    splits = [result.report["splits"][name] for name in ("train", "valid", "test")]
    after_click = pc.and_(shown["click"], shown["conversion"])
    assert sum(split["conversions"] for split in splits) == pc.sum(after_click).as_py()
    assert sum(split["revenue"] for split in splits) == pytest.approx(
        pc.sum(shown.filter(shown["click"])["revenue"]).as_py()
    )
    assert result.report["losses"][0]["lost"] is False
    bought = shown.filter(shown["conversion"])
    live = fold_records(
        records_of(
            RecordKind.CONVERSION,
            ad_key=hash_ids(bought["ad_id"]),
            time_us=bought["conversion_time"].cast(pa.int64()).to_numpy(),
        ),
        CONFIG,
    )["ad_impressions"]
    counted = read_counters_file(DataDir(str(tmp_path / "data")).counters)["ad_impressions"]
    measure = IMPRESSION_MEASURES.index("conversions")
    assert nonzero(counted, measure) == nonzero(live, measure)
    assert guard(str(tmp_path / "data"), LeakGuardConfig(), SourceConfig()).findings == ()


def nonzero(counters: Any, measure: int) -> set[tuple[int, int, int]]:
    rows = zip(counters.entity_key.tolist(), counters.bucket.tolist(), counters.sums[:, measure].tolist(), strict=True)
    return {row for row in rows if row[2]}


def test_users_of_a_period_are_those_with_an_impression_in_it(without_ray: None, tmp_path: Path) -> None:
    tables = log()
    browsing = pc.is_in(tables["impressions"]["user_id"], pa.array(["u1", "u2", "u5", "u7", "u11"]))
    tables["impressions"] = tables["impressions"].filter(pc.invert(browsing))
    result = run(tmp_path, tables)
    for name, split in (("train", Split.TRAIN), ("valid", Split.VALID), ("test", Split.TEST)):
        users = 0
        for path in (tmp_path / "data" / "users").iterdir():
            rows = UserRows.from_table(read_parquet(str(path)))
            bounds = zip(rows.impression_offsets[:-1], rows.impression_offsets[1:], strict=True)
            users += sum((rows.impressions["split"][low:high] == split).any() for low, high in bounds)
        assert result.report["splits"][name]["users"] == users


def test_partitions_without_impressions_raise_no_alarm(without_ray: None, tmp_path: Path) -> None:
    tables = log()
    shown = pc.is_in(tables["impressions"]["user_id"], pa.array(["u3", "u4"]))
    tables["impressions"] = tables["impressions"].filter(shown)
    run(tmp_path, tables, PreprocessConfig(partitions=16))
    report = guard(str(tmp_path / "data"), LeakGuardConfig(), SourceConfig())
    assert report.findings == ()
    assert report.files_read == 16


def test_data_of_a_run_that_failed_says_what_to_run(without_ray: None, tmp_path: Path) -> None:
    tables = log()
    no_click = changed(changed(tables["impressions"], "click", False), "conversion", False)
    no_click = changed(changed(no_click, "conversion_time", None), "revenue", 0.0)
    with pytest.raises(InputError, match="0 clicks"):
        run(tmp_path, {**tables, "impressions": no_click})
    with pytest.raises(InputError, match=r"holds no preprocessed data, or only a part; run `rosa preprocess` first"):
        guard(str(tmp_path / "data"), LeakGuardConfig(), SourceConfig())


def test_the_terminal_says_what_was_lost_and_what_is_wrong(
    without_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = log()
    names = [f"{name} " for name in tables["impressions"]["user_id"].to_pylist()]
    tables["impressions"] = changed(tables["impressions"], "user_id", names)
    result = run(tmp_path, {**tables, "events": changed(tables["events"], "price", -1.0, slice(0, 2))})
    print_losses(result.report)
    out, err = capsys.readouterr()
    assert "  events                2    0.67 %  lost  price are NaN, infinite, negative or above 1e9" in out
    assert "0 of 12 users with impressions have events\n" in out
    assert err.startswith("warning: 0 of 12 users with impressions have events; more would meet without spaces")
    assert list(loss_lines([])) == []


def test_samples_of_two_tables_meet_however_their_ids_are_written() -> None:
    numbers = range(500)
    plain, odd = ([form.format(number) for number in numbers] for form in ("u{}", "U-{:06d} "))
    found = find_overlap(pa.array(sample_ids(plain)), pa.array(sample_ids(odd)))
    assert (found.known, found.would_meet) == (0, 64)


def test_only_lost_rows_make_a_share() -> None:
    losses = [Loss("ads", "a", 3, 10, lost=True), Loss("ads", "b", 5, 10, lost=False)]
    assert lost_shares(losses) == {"ads": pytest.approx(0.3)}
    assert all(reasons(name) for name in CONTRACTS)


@pytest.mark.integration
def test_ray_tells_the_same_as_one_process(tmp_path: Path, ray_cluster: None) -> None:
    tables = log()
    tables["events"] = changed(tables["events"], "event_time", FAR, 7)
    tables["impressions"] = pa.concat_tables([tables["impressions"], tables["impressions"].slice(0, 9)])
    names = [f"{name} " for name in tables["impressions"]["user_id"].to_pylist()]
    result = run(tmp_path, {**tables, "impressions": changed(tables["impressions"], "user_id", names)})
    assert told(result) == {
        ("events: lie far outside of the log's time", True): 1,
        ("impressions: user_id have spaces around them", False): 409,
        ("impressions: are copies of a row", False): 9,
    }
    assert result.partial
    assert "spaces around them" in result.report["warnings"][0]
    assert read_json(DataDir(str(tmp_path / "data")).report)["warnings"] == result.report["warnings"]


def test_ads_that_impressions_show_repeat_without_a_word() -> None:
    file = {"status": "ok", "rows_read": 9}
    ads, shown = (
        {**file, "contract": name, "path": path} for name, path in (("ads", "/a.csv"), ("impressions", "/a.csv"))
    )
    assert list_losses([ads, shown], {"duplicate_ads": 7}, {}) == []
    (told,) = list_losses([ads | {"path": "/b.csv"}, shown], {"duplicate_ads": 7}, {})
    assert (told.rows, told.of) == (7, 9)
