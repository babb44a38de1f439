"""Refused records are kept with their reasons, within bounds."""

import json
from pathlib import Path

import pytest

from rosa_ray.errors import StreamError
from rosa_ray.records.dead_letters import MAX_RAW_BYTES, DeadLetter, DeadLetters


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_letter_holds_reason_place_and_record(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead")
    letters.write([DeadLetter("late", "too late", "log/records/0", 7, b'{"a": "\xff"}'), DeadLetter("x", "y", "s", 1)])
    first, second = lines(tmp_path / "dead" / "records.jsonl")
    assert first.pop("time")
    assert first == {
        "reason": "late",
        "detail": "too late",
        "stream": "log/records/0",
        "offset": 7,
        "bytes": 10,
        "record": '{"a": "\N{REPLACEMENT CHARACTER}"}',
    }
    assert "record" not in second


def test_long_records_are_cut_and_files_rotate_within_their_bound(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, "ingest", max_bytes=40_000)
    for number in range(95):
        letters.write([DeadLetter("oversize", "", "s", number, b"x" * 10_000)])
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["ingest.1.jsonl", "ingest.jsonl"]
    assert sum(file.stat().st_size for file in files) < 40_000 + 3 * MAX_RAW_BYTES
    assert lines(files[1])[-1]["offset"] == 94
    assert len(lines(files[1])[-1]["record"]) == MAX_RAW_BYTES


def test_nothing_refused_makes_no_file(tmp_path: Path) -> None:
    DeadLetters(tmp_path / "dead").write([])
    assert not (tmp_path / "dead").exists()


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dead").write_text("a file")
    with pytest.raises(StreamError, match=r"dead letters .*cannot be written: "):
        DeadLetters(tmp_path / "dead").write([DeadLetter("x", "y", "s", 1)])
