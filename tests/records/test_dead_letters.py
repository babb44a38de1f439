"""Refused records are kept with their reasons, within bounds."""

import errno
import io
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from rosa_ray.errors import StreamAwayError, StreamError
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
    letters = DeadLetters(tmp_path, "ingest", max_bytes=320_000)
    for number in range(95):
        letters.write([DeadLetter("oversize", "", "s", number, b"x" * 20_000)])
    files = sorted(tmp_path.glob("*.jsonl"))
    assert [file.name for file in files] == ["ingest.1.jsonl", "ingest.jsonl"]
    assert sum(file.stat().st_size for file in files) < 320_000 + 3 * MAX_RAW_BYTES
    assert lines(files[1])[-1]["offset"] == 94
    assert len(lines(files[1])[-1]["record"]) == MAX_RAW_BYTES


def test_full_files_are_said_to_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    letters = DeadLetters(tmp_path, max_bytes=2000)
    for number in range(30):
        letters.write([DeadLetter("x", "y" * 100, "s", number)])
    assert "full, the oldest 1" in caplog.text


def write_many(directory: str, number: int) -> None:
    letters = DeadLetters(directory, "http", max_bytes=20_000)
    for row in range(60):
        letters.write([DeadLetter("x", f"{number}-{row}", "http", row, b"r" * 500)] * 2)


def test_processes_that_share_a_directory_write_whole_lines_and_lose_no_file(tmp_path: Path) -> None:
    """Four replicas fill and rotate the same file; of the last letters none is missing."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(str(tmp_path), number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 4
    DeadLetters(tmp_path, "http").write([DeadLetter("x", "last", "http", 0)] * 2)
    found = [lines(tmp_path / name) for name in ("http.jsonl", "http.1.jsonl")]
    assert len(found[1]) >= 10_000 // 700
    for part in found:
        assert all(one["detail"] == other["detail"] for one, other in zip(part[::2], part[1::2], strict=True))


def test_a_disk_that_fills_leaves_whole_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = DeadLetters(tmp_path)
    letters.write([DeadLetter("x", "first", "s", 0)])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode="r", **_: Filling(path, mode.replace("b", "")))
        with pytest.raises(StreamAwayError, match="cannot be written: No space left"):
            letters.write([DeadLetter("x", "second", "s", 1)])
    letters.write([DeadLetter("x", "third", "s", 2)])
    assert [letter["detail"] for letter in lines(tmp_path / "records.jsonl")] == ["first", "third"]


class Filling(io.FileIO):
    """Takes ten bytes and then no more."""

    def write(self, content: Any) -> int:
        if len(content) < 90:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(bytes(content[:10]))


def test_off_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    DeadLetters("off").write([DeadLetter("x", "y", "s", 1)])
    assert [*tmp_path.iterdir()] == []


def test_nothing_refused_makes_no_file(tmp_path: Path) -> None:
    DeadLetters(tmp_path / "dead").write([])
    assert not (tmp_path / "dead").exists()


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dead").write_text("a file")
    with pytest.raises(StreamError, match=r"dead letters .*cannot be written: "):
        DeadLetters(tmp_path / "dead").write([DeadLetter("x", "y", "s", 1)])
