"""What lies in the staging area after a run is what the source says, however little of it was staged anew."""

import os
from pathlib import Path

import pytest

from rosa_ray.data.stage import stage_file
from rosa_ray.data.staging_area import read_staged, staged_files
from rosa_ray.data.staging_marks import keep_unchanged, mark_staged, setup_digest
from rosa_ray.errors import InputError
from rosa_ray.schema import EVENTS
from rosa_ray.sources import SourceConfig, open_source
from rosa_ray.storage import fingerprint

PARTITIONS = 2


def day(number: int, rows: int = 20) -> str:
    return "".join(f"{row % 5},{row},{row % 3},pv,{1_512_000_000 + 86_400 * number + row}\n" for row in range(rows))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(2):
        (folder / f"day{number}.csv").write_text(day(number))
    return folder


def ingest(raw: Path, staging: str, partitions: int = PARTITIONS) -> list[str]:
    """As the job does it; returns the names of the files that were read."""
    source = open_source(SourceConfig(kind="taobao", path=str(raw)))
    setup, files = setup_digest(source, partitions), source.files()
    kept = keep_unchanged(staging, setup, files)
    for file in files:
        if file not in kept:
            identity = fingerprint(file.path)
            mark_staged(staging, setup, file, identity, stage_file(source, file, staging, partitions))
    return [file.name for file in files if file not in kept]


def content(staging: Path) -> dict[str, bytes]:
    return {path.name + path.parent.name: path.read_bytes() for path in staging.glob("events/*/*.parquet")}


def test_only_a_new_a_changed_and_a_removed_day_are_touched(raw: Path, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    assert ingest(raw, str(staging)) == ["day0.csv", "day1.csv"]
    assert ingest(raw, str(staging)) == []
    (raw / "day2.csv").write_text(day(2))
    assert ingest(raw, str(staging)) == ["day2.csv"]
    (raw / "day1.csv").write_text(day(1, rows=7))
    (raw / "day0.csv").unlink()
    assert ingest(raw, str(staging)) == ["day1.csv"]
    ingest(raw, str(tmp_path / "anew"))
    assert content(staging) == content(tmp_path / "anew") != {}


def test_other_settings_stage_everything_again(raw: Path, tmp_path: Path) -> None:
    staging = str(tmp_path / "staging")
    ingest(raw, staging)
    assert ingest(raw, staging, partitions=3) == ["day0.csv", "day1.csv"]
    assert sum(read_staged(staging, EVENTS, part).num_rows for part in range(3)) == 40


def test_a_task_that_died_leaves_nothing_that_counts(raw: Path, tmp_path: Path) -> None:
    """Rows without a mark, as of a task killed between the two, and a draft directory."""
    staging = tmp_path / "staging"
    ingest(raw, str(staging))
    before = content(staging)
    marks = sorted((staging / "marks").iterdir())
    marks[0].unlink()
    (staging / ".incoming-dead").mkdir()
    (staging / ".incoming-dead" / "half.parquet").write_text("x")
    assert len(ingest(raw, str(staging))) == 1
    assert content(staging) == before
    assert not (staging / ".incoming-dead").exists()


def test_a_file_that_was_set_aside_is_read_again(raw: Path, tmp_path: Path) -> None:
    (raw / "day2.csv").write_text("not a log\n")
    staging = str(tmp_path / "staging")
    ingest(raw, staging)
    assert ingest(raw, staging) == ["day2.csv"]


def test_a_file_of_the_same_size_written_later_is_another(raw: Path, tmp_path: Path) -> None:
    staging = str(tmp_path / "staging")
    ingest(raw, staging)
    path = raw / "day0.csv"
    former = path.stat()
    path.write_text(path.read_text().replace(",pv,", ",fav,", 1).replace(",pv,", ",p,", 1))
    os.utime(path, ns=(former.st_atime_ns, former.st_mtime_ns))
    assert ingest(raw, staging) == ["day0.csv"]


def test_a_place_that_cannot_be_written(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"/file/staging: cannot be written"):
        ingest(raw, str(tmp_path / "file" / "staging"))
    assert staged_files(str(tmp_path / "none"), EVENTS, 0) == []
