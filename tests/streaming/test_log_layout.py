"""Where records are looked for, and what is said where there are none."""

from pathlib import Path

import pytest

from rosa_ray.errors import InputError
from rosa_ray.records.log import LogWriter
from rosa_ray.streaming.log_layout import partitions_of, plain_files, require_files, require_layout


def test_segments_of_partitions_are_no_plain_files(tmp_path: Path) -> None:
    LogWriter(tmp_path / "0").close()
    (tmp_path / "1").mkdir()
    (tmp_path / "7").mkdir()
    for name in ("events.jsonl", "7/events.jsonl", ".hidden.jsonl", "_part.jsonl"):
        (tmp_path / name).touch()
    assert partitions_of(tmp_path) == {0: tmp_path / "0", 1: tmp_path / "1"}
    assert plain_files(tmp_path) == [tmp_path / "7" / "events.jsonl", tmp_path / "events.jsonl"]
    assert require_layout(tmp_path, until_end=True)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda root: None, "there is no such directory"),
        (lambda root: root.mkdir(), "found nothing"),
        (lambda root: ((root / "a").mkdir(parents=True), (root / "b.csv").touch()), "found a/, b.csv"),
    ],
)
def test_a_directory_without_records_is_an_input_error_that_says_what_is_expected(
    tmp_path: Path, make: object, found: str
) -> None:
    make(tmp_path / "stream")  # type: ignore[operator]
    with pytest.raises(InputError) as error:
        require_layout(tmp_path / "stream", until_end=True)
    for part in ("stream", "events.jsonl", "0/00000000000000000000.jsonl", found):
        assert part in str(error.value)


def test_what_may_come_later_is_waited_for(tmp_path: Path) -> None:
    assert not require_layout(tmp_path / "stream", until_end=False)
    assert not require_layout(tmp_path, until_end=False)
    (tmp_path / "events.csv").touch()
    with pytest.raises(InputError, match=r"found events\.csv"):
        require_layout(tmp_path, until_end=False)


def test_given_files_must_be_there_and_a_directory_stands_for_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.jsonl").touch()
    assert require_files([str(tmp_path / "a.txt"), str(tmp_path)]) == [
        str(tmp_path / "a.txt"),
        str(tmp_path / "b.jsonl"),
    ]
    (tmp_path / "b.jsonl.gz").touch()
    for name, message in (("c.jsonl", "no such file"), ("b.jsonl.gz", "unpack it first")):
        with pytest.raises(InputError, match=message):
            require_files([str(tmp_path / name)])
