"""The log on disk: torn lines, rotation, retention, one writer."""

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.errors import ConfigError, StreamError
from rosa_ray.records import log
from rosa_ray.records.log import FSYNC, LogConfig, LogWriter, count_records, segments_of


def records(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def stored(partition: Path) -> bytes:
    return b"".join(segment.path.read_bytes() for segment in segments_of(partition))


def test_appends_go_on_where_an_earlier_writer_stopped(tmp_path: Path) -> None:
    with LogWriter(tmp_path / "0") as writer:
        assert writer.append(records(1, 2)) == 2
    with LogWriter(tmp_path / "0") as writer:
        assert writer.next_offset == 2
        assert writer.append(records(3)) == 3
    assert stored(tmp_path / "0") == b"1\n2\n3\n"


@pytest.mark.parametrize("torn", [b"4", b'{"half": ', b"\xff"])
def test_a_torn_last_line_is_removed_by_the_next_writer(tmp_path: Path, torn: bytes) -> None:
    with LogWriter(tmp_path) as writer:
        writer.append(records(1, 2, 3))
    path = segments_of(tmp_path)[0].path
    path.write_bytes(path.read_bytes() + torn)
    assert count_records(path) == (3, 6)
    with LogWriter(tmp_path) as writer:
        assert writer.append(records(5)) == 4
    assert stored(tmp_path) == b"1\n2\n3\n5\n"


class FullDisk(io.FileIO):
    """A file of a disk that has so many bytes left; below zero any number."""

    left = -1

    def write(self, content: Any) -> int:
        if FullDisk.left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = len(content) if FullDisk.left < 0 else min(FullDisk.left, len(content))
        FullDisk.left -= count if FullDisk.left > 0 else 0
        return super().write(bytes(content[:count]))


@pytest.mark.parametrize("left", [1, 5, 9, 14])
@pytest.mark.parametrize("reopened", [False, True])
def test_a_disk_that_fills_leaves_whole_records_and_right_offsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, reopened: bool
) -> None:
    monkeypatch.setattr(FullDisk, "left", -1)
    monkeypatch.setattr(Path, "open", lambda path, mode="r", **_: FullDisk(path, mode.replace("b", "")))
    writer = LogWriter(tmp_path)
    writer.append(records(1, 2))
    FullDisk.left = left
    for _ in range(2):
        with pytest.raises(StreamError, match="No space left on device"):
            writer.append(records(33333, 44444, 55555))
        assert writer.next_offset == 2
    if reopened:
        writer.close()
        writer = LogWriter(tmp_path)
    FullDisk.left = -1
    assert writer.append(records(3)) == 3
    writer.close()
    monkeypatch.undo()
    assert stored(tmp_path) == b"1\n2\n3\n"


def test_a_segment_that_cannot_be_begun_is_begun_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LogWriter(tmp_path, LogConfig(segment_mb=1))
    with monkeypatch.context() as patch:
        patch.setattr(log, "_sync_directory", lambda path: full())
        assert writer.append([b"x" * (1 << 20)]) == 1
        assert writer.append(records(2)) == 2
    assert [segment.first_offset for segment in segments_of(tmp_path)] == [0]
    assert writer.append(records(3)) == 3
    assert writer.append(records(4)) == 4
    assert [segment.first_offset for segment in segments_of(tmp_path)] == [0, 3]
    writer.close()


def full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_segments_are_named_by_offset_and_old_ones_removed(tmp_path: Path) -> None:
    line = b"x" * 400_000
    with LogWriter(tmp_path, LogConfig(segment_mb=1, retention_mb=2, fsync="never")) as writer:
        for _ in range(12):
            writer.append([line])
    names = [segment.first_offset for segment in segments_of(tmp_path)]
    assert names == [9, 12]


def test_old_segments_are_removed_by_age(tmp_path: Path) -> None:
    line = b"x" * (1 << 20)
    with LogWriter(tmp_path, LogConfig(segment_mb=1, retention_hours=1, fsync="never")) as writer:
        writer.append([line])
        os.utime(segments_of(tmp_path)[0].path, (0, 0))
        writer.append([line])
    assert [segment.first_offset for segment in segments_of(tmp_path)] == [1, 2]


@pytest.mark.parametrize("fsync", FSYNC)
def test_every_policy_writes_through(tmp_path: Path, fsync: str) -> None:
    with LogWriter(tmp_path, LogConfig(fsync=fsync)) as writer:
        writer.append(records(1))
        assert stored(tmp_path) == b"1\n"


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with LogWriter(tmp_path), pytest.raises(StreamError, match="another process writes it"):
        LogWriter(tmp_path)
    LogWriter(tmp_path).close()


@pytest.mark.parametrize("bad", [b"", b"two\nlines"])
def test_what_is_no_line_is_refused_and_nothing_written(tmp_path: Path, bad: bytes) -> None:
    with LogWriter(tmp_path) as writer, pytest.raises(StreamError, match="one line of JSON"):
        writer.append([b"good", bad])
    assert stored(tmp_path) == b""


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"stream\.log\.fsync is 'often'; it must be one of always, segment, never"):
        LogConfig(fsync="often")


@given(st.lists(st.lists(st.binary(min_size=1, max_size=5).filter(lambda line: b"\n" not in line), max_size=4)))
def test_counting_from_any_byte(tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]]) -> None:
    partition = tmp_path_factory.mktemp("log")
    with LogWriter(partition, LogConfig(fsync="never")) as writer:
        ends = [writer.append(batch) for batch in batches]
    total = sum(len(batch) for batch in batches)
    assert ends[-1:] == ([total] if batches else [])
    path = segments_of(partition)[0].path
    assert count_records(path) == (total, path.stat().st_size)
