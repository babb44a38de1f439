"""Clicks and conversions reach the partition of their impression, with a user or without, in any order of files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.data.label_join import join_labels
from rosa_ray.data.label_routes import deliver, follow_clicks, hand_out_ids, read_routed, routed_files
from rosa_ray.data.preprocess import PreprocessConfig, PreprocessResult, preprocess
from rosa_ray.data.staging_area import StagedWriter, read_staged
from rosa_ray.labels import LabelsConfig
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import CLICKS, CONVERSIONS, IMPRESSIONS
from rosa_ray.sources import SourceConfig, open_source
from rosa_ray.storage import read_parquet
from tests.labels.logs import joined_log, shuffled, source_of, take_apart
from tests.synthetic import CONFIG, ads_table

NO_VIEWS = LabelsConfig(view_through_hours=0)
PARTITIONS = 3


def stage(layout: DataDir, tables: tuple[pa.Table, ...], partitions: int, seed: int = 0) -> None:
    Path(layout.staging).mkdir(parents=True, exist_ok=True)
    for contract, table in zip((IMPRESSIONS, CLICKS, CONVERSIONS), tables, strict=True):
        half = table.num_rows // 2
        rows = shuffled(table, seed)
        for name, part in ((f"{seed}-a", rows.slice(0, half)), (f"{9 - seed}-b", rows.slice(half))):
            with StagedWriter(layout.staging, contract, name, partitions) as writer:
                writer.add(part)
                writer.publish()


def route(layout: DataDir, partitions: int) -> None:
    for step in (hand_out_ids, follow_clicks, deliver):
        for part in range(partitions):
            step(layout, partitions, part)


def joined(layout: DataDir, partitions: int) -> pa.Table:
    found = []
    for part in range(partitions):
        rows = read_staged(layout.staging, IMPRESSIONS, part)
        labels = (read_routed(layout, contract, part) for contract in (CLICKS, CONVERSIONS))
        table, counts, _ = join_labels(rows, *labels, ads_table(), NO_VIEWS)
        assert not counts
        found.append(table.select(IMPRESSIONS.schema.names))
    return pa.concat_tables(found).sort_by("impression_id")


@pytest.mark.parametrize("by", ["impression", "click", "pair"])
@pytest.mark.parametrize("seed", [0, 1])
def test_partitions_and_files_change_no_label(by: str, seed: int, tmp_path: Path) -> None:
    whole = joined_log(4, spread=by == "pair")
    layout = DataDir(str(tmp_path))
    stage(layout, take_apart(whole, by), PARTITIONS, seed)
    route(layout, PARTITIONS)
    assert joined(layout, PARTITIONS).to_pylist() == whole.sort_by("impression_id").to_pylist()


def test_nothing_gets_lost_on_the_way(tmp_path: Path) -> None:
    layout = DataDir(str(tmp_path))
    clicks = pa.table({"click_id": ["c1", "c2"], "impression_id": ["nowhere", None], "user_id": [None, "u9"]})
    clicks = clicks.append_column("ad_id", pa.array(["a1", "a1"]))
    when = pa.array([1_700_000_000_000_000] * 4, pa.timestamp("us", "UTC"))
    bought = pa.table(
        {"click_id": ["c1", "c2", "c3", None], "impression_id": [None, None, None, "m9"], "conversion_time": when}
    )
    tables = (
        IMPRESSIONS.schema.empty_table(),
        CLICKS.check(clicks.append_column("click_time", when[:2]), "clicks")[0],
        CONVERSIONS.check(bought, "conversions")[0],
    )
    stage(layout, tables, PARTITIONS)
    route(layout, PARTITIONS)
    for contract, rows in ((CLICKS, 2), (CONVERSIONS, 4)):
        assert sum(read_routed(layout, contract, part).num_rows for part in range(PARTITIONS)) == rows
    assert routed_files(layout, 0) or routed_files(layout, 1) or routed_files(layout, 2)


def test_an_impression_of_the_clicks_own_user_is_found_where_two_users_share_an_id(tmp_path: Path) -> None:
    layout = DataDir(str(tmp_path))
    two = joined_log(0).slice(0, 60)
    one_id = pa.array(["same"] * 60)
    two = two.set_column(0, IMPRESSIONS.schema.field(0), one_id)
    user, ad = two["user_id"][7].as_py(), two["ad_id"][7].as_py()
    when = two["request_time"][7:8]
    click = pa.table({"impression_id": ["same"], "user_id": [user], "ad_id": [ad], "click_time": when})
    tables = (two, CLICKS.check(click, "clicks")[0], CONVERSIONS.schema.empty_table())
    stage(layout, tables, PARTITIONS)
    route(layout, PARTITIONS)
    home = [part for part in range(PARTITIONS) if read_routed(layout, CLICKS, part).num_rows]
    assert user in read_staged(layout.staging, IMPRESSIONS, home[0])["user_id"].to_pylist()


def user_rows(layout: DataDir) -> pa.Table:
    paths = sorted(Path(layout.users).glob("*.parquet"))
    return pa.concat_tables([read_parquet(str(path)) for path in paths]).sort_by("user_key")


def run(config: SourceConfig, data: Path, keep: bool = False) -> PreprocessResult:
    settings = PreprocessConfig(partitions=PARTITIONS, keep_staging=keep)
    return preprocess(open_source(config), str(data), settings, CONFIG, labels=NO_VIEWS)


@pytest.mark.integration
def test_three_logs_become_the_user_rows_of_the_joined_log(tmp_path: Path, ray_cluster: None) -> None:
    whole = joined_log(4)
    result = run(source_of(tmp_path / "apart", whole, "click"), tmp_path / "data")
    log = tmp_path / "log"
    for name, table in (("impressions", whole), ("ads", ads_table())):
        (log / name).mkdir(parents=True)
        pq.write_table(table, log / name / "a.parquet")
    (tmp_path / "apart" / "events").rename(log / "events")
    run(SourceConfig(kind="log", path=str(log)), tmp_path / "joined")
    assert not result.partial
    left, right = (user_rows(DataDir(str(tmp_path / name))) for name in ("data", "joined"))
    for name in left.column_names:
        assert str(left[name].to_pylist()) == str(right[name].to_pylist()), name


@pytest.mark.integration
def test_conversions_that_come_later_are_counted_anew_in_the_partitions_they_touch(
    tmp_path: Path, ray_cluster: None
) -> None:
    whole = joined_log(4)
    first = run(source_of(tmp_path / "log", whole, "click", days=1), tmp_path / "data", keep=True)
    source = source_of(tmp_path / "log", whole, "click")
    later = run(source, tmp_path / "data", keep=True)
    again = run(source, tmp_path / "again")
    assert first.report["splits"]["train"]["conversions"] < later.report["splits"]["train"]["conversions"]
    assert later.report["splits"] == again.report["splits"]
    assert later.report["partitions_reused"] < PARTITIONS
    unchanged = run(source, tmp_path / "data", keep=True)
    assert unchanged.report["partitions_reused"] == PARTITIONS
    left, right = (user_rows(DataDir(str(tmp_path / name))) for name in ("data", "again"))
    assert str(left.to_pydict()) == str(right.to_pydict())


@pytest.mark.integration
def test_what_did_not_join_is_told_and_ends_in_a_partial_run(tmp_path: Path, ray_cluster: None) -> None:
    config = source_of(tmp_path / "log", joined_log(4), "impression")
    (tmp_path / "log" / "clicks" / "9.csv").write_text(
        "impression_id,click_time\n" + "\n".join(f"x{number},2023-11-15T00:00:00Z" for number in range(30))
    )
    result = run(config, tmp_path / "data")
    assert result.partial
    loss = next(one for one in result.report["losses"] if one["table"] == "clicks")
    assert (loss["rows"], loss["reason"]) == (30, "are of no impression that the log has")
    assert loss["example"].startswith("impression_id 'x")
    assert any(line.startswith("clicks: ") for line in result.report["warnings"])
