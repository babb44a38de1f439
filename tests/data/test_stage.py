import gzip
import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.data import staging_area
from rosa_ray.data.stage import _stage_row, stage_file, stage_source
from rosa_ray.data.stage_report import FileReport, StageReport
from rosa_ray.data.staging_area import read_staged
from rosa_ray.errors import ConfigError, InputError
from rosa_ray.schema import ADS, BEHAVIORS, EVENTS, IMPRESSIONS, Violation
from rosa_ray.sources import SourceConfig, open_source, text_files
from tests.synthetic import impressions_table

LINES = b"".join(b"%d,%d,7,pv,%d\n" % (user, 100 + user, 1_512_000_000 + user) for user in range(40))


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "good.csv.gz").write_bytes(gzip.compress(LINES))
    return folder


def stage_all(raw, staging_dir, partitions=3):
    source = open_source(SourceConfig(kind="taobao", path=str(raw)))
    staging_dir.mkdir(exist_ok=True)
    return [stage_file(source, file, str(staging_dir), partitions) for file in source.files()]


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def test_good_file_is_staged_by_user(raw, tmp_path):
    (report,) = stage_all(raw, tmp_path / "staging")
    assert (report.status, report.rows_read, report.rows_kept, report.violations) == ("ok", 40, 40, ())
    parts = [read_staged(str(tmp_path / "staging"), EVENTS, part) for part in range(3)]
    assert sorted(int(user) for part in parts for user in part["user_id"].to_pylist()) == list(range(40))
    assert all({key % 3 for key in table["user_key"].to_pylist()} == {part} for part, table in enumerate(parts))


def test_file_truncated_half_way_leaves_nothing(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "CSV_BLOCK_BYTES", 1 << 14)
    monkeypatch.setattr(staging_area, "FLUSH_ROWS", 5)
    packed = gzip.compress(LINES * 5000)
    (raw / "good.csv.gz").write_bytes(packed[: len(packed) // 2])
    (report,) = stage_all(raw, tmp_path / "staging")
    assert report.status == "set_aside"
    assert report.rows_read > 5
    assert report.rows_kept == 0
    assert "good.csv.gz: is truncated" in report.reason
    assert list((tmp_path / "staging").iterdir()) == []


def test_rows_set_aside_are_summed_over_batches(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "CSV_BLOCK_BYTES", 64)
    bad = b"1,2,3,sneeze,1512000000\n" * 4 + b"1,2,3,pv,1\n" * 6
    (raw / "good.csv.gz").write_bytes(gzip.compress(LINES + bad))
    (report,) = stage_all(raw, tmp_path / "staging")
    assert (report.rows_read, report.rows_kept) == (50, 40)
    assert [(violation.column, violation.rows) for violation in report.violations] == [
        ("behavior", 4),
        ("event_time", 6),
    ]


def test_file_without_a_usable_row_is_set_aside(raw, tmp_path):
    (raw / "good.csv.gz").write_bytes(gzip.compress(b"1,2,3,pv,1\n"))
    (report,) = stage_all(raw, tmp_path / "staging")
    assert report.status == "set_aside"
    assert "no row is usable" in report.reason
    assert "lie outside" in report.reason


def test_nan_price_is_counted_and_wrong_type_refuses_the_file(tmp_path):
    columns = {"ad_id": ["a", "b"], "campaign_id": ["c", "c"], "category": ["x", "x"], "bid": [1.0, 1.0]}
    (tmp_path / "raw").mkdir()
    pq.write_table(pa.table(columns | {"price": [2.0, float("nan")]}), tmp_path / "raw" / "a.parquet")
    pq.write_table(pa.table(columns | {"price": ["dear", "cheap"]}), tmp_path / "raw" / "b.parquet")
    pq.write_table(pa.table(columns).drop_columns("ad_id"), tmp_path / "raw" / "c.parquet")
    (tmp_path / "raw" / "d.parquet").write_bytes(b"PAR1 not really")
    source = open_source(SourceConfig(kind="parquet", ads=str(tmp_path / "raw")))
    reports = [stage_file(source, file, str(tmp_path), 4) for file in source.files()]
    assert [(report.status, report.rows_kept) for report in reports] == [("ok", 1)] + [("set_aside", 0)] * 3
    assert "NaN" in reports[0].violations[0].reason
    assert "2 of 2 values do not parse as numbers, the first is row 1, 'dear'" in reports[1].reason
    assert "column 'ad_id' is missing" in reports[2].reason
    assert "not a Parquet file" in reports[3].reason
    assert read_staged(str(tmp_path), ADS, 0)["ad_id"].to_pylist() == ["a"]


def test_staged_bytes_do_not_depend_on_where_the_log_lies(raw, tmp_path):
    stage_all(raw, tmp_path / "first")
    moved = raw.rename(tmp_path / "moved")
    stage_all(moved, tmp_path / "second")
    assert content(tmp_path / "first") == content(tmp_path / "second") != {}


def test_staging_that_cannot_be_written_is_a_failure_of_the_job_not_of_the_file(raw, tmp_path):
    source = open_source(SourceConfig(kind="taobao", path=str(raw)))
    row = asdict(source.files()[0])
    answer = _stage_row(
        row,
        source=source,
        staging_dir=str(tmp_path / "missing"),
        partitions=2,
        setup="any",
        own=(),
        behaviors=BEHAVIORS,
    )
    assert answer["report"] == ""
    assert "FileNotFoundError" in answer["failure"]


def test_report_totals_and_json():
    files = (
        FileReport("a", "events", "ok", 10, 8, (Violation("a", "price", 2, "are NaN"),)),
        FileReport("b", "events", "set_aside", 5, 0, (), "b: is truncated"),
        FileReport("c", "ads", "ok", 3, 3),
    )
    report = StageReport("staging", 4, files)
    assert report.partial
    assert not StageReport("staging", 4, files[:1]).partial
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["rows_kept"] == {"events": 8, "ads": 3}
    assert plain["rows_rejected"] == {"events": 2, "ads": 0}
    assert plain["files_set_aside"] == 1
    assert tuple(FileReport.from_dict(file) for file in plain["files"]) == files


def test_partitions_must_be_positive(raw):
    with pytest.raises(ConfigError, match="partitions is 0"):
        stage_source(open_source(SourceConfig(kind="taobao", path=str(raw))), "staging", 0)


@pytest.mark.integration
def test_ingest_names_bad_files_keeps_good_ones_and_repeats_itself(raw, tmp_path, ray_cluster):
    (raw / "cut.csv.gz").write_bytes(gzip.compress(LINES)[:-10])
    (raw / "notes.txt").write_text("not a log\n")
    (raw / "second.csv").write_bytes(LINES.replace(b",pv,", b",buy,"))
    source = open_source(SourceConfig(kind="taobao", path=str(raw)))
    staging_dir = tmp_path / "staging"
    first = stage_source(source, str(staging_dir), 3)
    written = content(staging_dir)
    assert [(file.path.rpartition("/")[2], file.status) for file in first.files] == [
        ("cut.csv.gz", "set_aside"),
        ("good.csv.gz", "ok"),
        ("notes.txt", "set_aside"),
        ("second.csv", "ok"),
    ]
    assert first.partial
    assert first.rows_kept("events") == 80
    assert stage_source(source, str(staging_dir), 3) == first
    assert content(staging_dir) == written

    (raw / "good.csv.gz").unlink()
    (raw / "second.csv").unlink()
    with pytest.raises(InputError, match=r"none of 2 events files is usable; the first: .*cut"):
        stage_source(source, str(staging_dir), 3)


def test_a_mapped_weight_comes_in_and_is_noticed(tmp_path):
    rng = np.random.default_rng(0)
    table = impressions_table(rng, impressions=40).drop_columns(["weight"])
    weighed = table.append_column("sampling", pa.array(np.where(table["click"], 1.0, 4.0)))
    for name, shown in (("plain", table), ("weighed", weighed)):
        folder, columns = tmp_path / name, {"weight": "sampling"} if name == "weighed" else {}
        (folder / "log").mkdir(parents=True)
        pq.write_table(shown, folder / "log/a.parquet")
        source = open_source(
            SourceConfig(kind="parquet", impressions=str(folder / "log"), columns={"impressions": columns})
        )
        (folder / "staging").mkdir()
        (report,) = [stage_file(source, file, str(folder / "staging"), 1) for file in source.files()]
        assert report.rows_kept == 40
        assert StageReport("", 1, (report,)).weighted == (name == "weighed")
        staged = read_staged(str(folder / "staging"), IMPRESSIONS, 0)
        given = {True: 1.0, False: 4.0} if name == "weighed" else {True: None, False: None}
        assert {row["click"]: row["weight"] for row in staged.to_pylist()} == given
