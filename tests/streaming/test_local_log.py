"""Following a local log: what the contract of sources does not say."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rosa_ray.errors import StreamAwayError, StreamError
from rosa_ray.records.log import LogConfig, LogWriter, count_records, segments_of
from rosa_ray.streaming import local_log, log_partition
from rosa_ray.streaming.local_log import LocalLog
from rosa_ray.streaming.protocol import PolledRecords

TINY = LogConfig(segment_mb=1, fsync="never")


Follow = Callable[..., LocalLog]


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """Opens the log, at the given positions."""
    opened: list[LocalLog] = []

    def open_one(positions: dict[str, int] | None = None, **settings: Any) -> LocalLog:
        opened.append(LocalLog(tmp_path, "records", **settings))
        opened[-1].resume((positions or {}).get)
        return opened[-1]

    yield open_one
    for source in opened:
        source.close()


def write(partition: Path, *records: bytes) -> None:
    with LogWriter(partition, TINY) as writer:
        for record in records:
            writer.append([record])


def read(source: LocalLog, max_records: int = 1000) -> list[PolledRecords]:
    return source.poll(max_records, 0.0)


def test_a_torn_last_line_is_waited_for(tmp_path: Path, follow: Follow) -> None:
    write(tmp_path / "0", b"one")
    path = segments_of(tmp_path / "0")[0].path
    path.write_bytes(b"one\ntw")
    source = follow()
    assert [batch.records for batch in read(source)] == [[b"one"]]
    assert (read(source), source.lag()) == ([], 0)
    path.write_bytes(b"one\ntwo\n")
    assert source.lag() == 1
    assert [batch.records for batch in read(source)] == [[b"two"]]


def test_segments_are_one_stream_from_any_offset(tmp_path: Path, follow: Follow) -> None:
    lines = [b"%03d" % number + b"x" * 300_000 for number in range(12)]
    write(tmp_path / "0", *lines)
    assert len(segments_of(tmp_path / "0")) > 2
    source = follow(max_line_bytes=400_000)
    for start in range(13):
        source.resume({"log/records/0": start}.get)
        assert source.lag() == 12 - start
        found = [record for _ in range(12) for batch in read(source, 5) for record in batch.records]
        assert found == lines[start:]
        assert source.lag() == 0


def test_a_line_too_long_is_cut_but_counted(tmp_path: Path, follow: Follow) -> None:
    write(tmp_path / "0", b"a", b"x" * 5000, b"y" * 100, b"y" * 101, b"b")
    source = follow(max_line_bytes=100)
    (batch,) = read(source)
    assert [len(record) > 100 for record in batch.records] == [False, True, False, True, False]
    assert max(len(record) for record in batch.records) <= 102
    assert batch.next_offset == 5


def test_records_removed_unread_are_skipped_and_named(
    tmp_path: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "0", *[b"x" * 600_000] * 6)
    segments_of(tmp_path / "0")[0].path.unlink()
    source = follow()
    assert read(source)[0].first_offset == 2
    assert "records 0 to 2 were removed unread" in caplog.text


def test_a_reader_that_retention_overtakes_goes_on_and_counts_what_is_gone(tmp_path: Path, follow: Follow) -> None:
    source = follow(max_line_bytes=700_000)
    write(tmp_path / "0", *[b"%d" % number + b"x" * 600_000 for number in range(3)])
    assert source.lag() == 3
    assert [record[:1] for batch in read(source, 1) for record in batch.records] == [b"0"]
    write(tmp_path / "0", *[b"%d" % number + b"x" * 600_000 for number in range(3, 8)])
    for segment in segments_of(tmp_path / "0")[:-2]:
        segment.path.unlink()
    first = segments_of(tmp_path / "0")[0].first_offset
    assert (first, source.lag()) == (6, 2)
    batches = [batch for _ in range(6) for batch in read(source)]
    # Of the open segment the rest is still there to read; what lies between is gone.
    assert [record[:1] for batch in batches for record in batch.records] == [b"1", b"6", b"7"]
    assert [offset for batch in batches for offset in batch.offsets] == [1, 6, 7]
    assert (source.removed(), source.lag(), source.unfinished()) == (4, 0, set())


def test_what_is_appended_just_before_a_rotation_is_not_taken_for_removed(
    tmp_path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "0", b"one")
    source = follow()
    listed = log_partition.segments_of

    def rotate_first(directory: Path) -> list[Any]:
        monkeypatch.setattr(log_partition, "segments_of", listed)
        write(tmp_path / "0", b"two" + b"x" * (1 << 20), b"three")
        return listed(directory)

    monkeypatch.setattr(log_partition, "segments_of", rotate_first)
    batches = [batch for _ in range(3) for batch in read(source)]
    assert [record[:5] for batch in batches for record in batch.records] == [b"one", b"twoxx", b"three"]
    assert source.removed() == 0


def test_the_lag_looks_at_what_is_new_only(tmp_path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "0", *[b"x" * 300_000] * 12)
    (tmp_path / "more.jsonl").write_bytes(b"line\n" * 1000)
    source, looked = follow(), list[int]()

    def counted(path: Path, start: int = 0) -> tuple[int, int]:
        looked.append(path.stat().st_size - start)
        return count_records(path, start)

    monkeypatch.setattr(log_partition, "count_records", counted)
    assert source.lag() == 1012
    assert sum(looked) < 1_300_000
    looked.clear()
    write(tmp_path / "0", b"y" * 10)
    with (tmp_path / "more.jsonl").open("ab") as handle:
        handle.write(b"one more\n")
    assert source.lag() == 1014
    assert sum(looked) == 20
    while read(source):
        pass
    assert source.lag() == 0


def test_a_disk_that_fails_for_a_moment_is_tried_again(
    tmp_path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "0", b"one")
    source = follow()
    for call in (lambda: read(source), source.lag, lambda: source.resume({}.get)):
        with monkeypatch.context() as patch:
            patch.setattr(log_partition, "segments_of", lambda directory: gone())
            with pytest.raises(StreamAwayError, match="cannot be read: No such file"):
                call()
    source.resume({}.get)
    assert [batch.records for batch in read(source)] == [[b"one"]]


def gone() -> None:
    raise FileNotFoundError(errno.ENOENT, "No such file or directory")


@pytest.mark.parametrize("records", [0, 3])
def test_a_log_that_ends_before_the_position_was_replaced(tmp_path: Path, follow: Follow, records: int) -> None:
    (tmp_path / "0").mkdir()
    if records:
        write(tmp_path / "0", *[b"x"] * records)
    with pytest.raises(StreamError, match=f"has read up to record 9, the log in .* ends at {records}"):
        follow({"log/records/0": 9})


def test_partitions_are_chosen_and_discovered(tmp_path: Path, follow: Follow) -> None:
    every, one = follow(), follow(share=(1, 3))
    assert read(every) == read(one) == []
    for number in range(3):
        write(tmp_path / str(number), b"%d" % number)
    assert every.lag() == 3
    assert one.lag() == 1
    assert {batch.stream for batch in read(every)} == {f"log/records/{number}" for number in range(3)}
    assert [batch.records for batch in read(one)] == [[b"1"]]


def test_no_partition_starves(tmp_path: Path, follow: Follow) -> None:
    for number in range(3):
        write(tmp_path / str(number), *[b"x"] * 50)
    source = follow()
    first = [read(source, 10)[0].stream for _ in range(3)]
    assert len(set(first)) == 3


def test_polling_waits_for_what_a_writer_appends(tmp_path: Path, follow: Follow) -> None:
    source = follow()
    writing = threading.Timer(0.1, write, (tmp_path / "0", b"late"))
    writing.start()
    started_s = time.monotonic()
    assert [batch.records for batch in source.poll(10, 10.0)] == [[b"late"]]
    assert time.monotonic() - started_s < 5
    writing.join()


def test_plain_files_are_read_beside_partitions_and_followed(tmp_path: Path, follow: Follow) -> None:
    write(tmp_path / "0", b"one")
    (tmp_path / "day=1").mkdir()
    (tmp_path / "day=1" / "more.ndjson").write_bytes(b"two\nthree\n")
    (tmp_path / "_SUCCESS").write_bytes(b"")
    (tmp_path / "old.csv").write_bytes(b"a,b\n")
    source = follow()
    assert source.lag() == 3
    found = [record for _ in range(2) for batch in read(source) for record in batch.records]
    assert sorted(found) == [b"one", b"three", b"two"]
    with (tmp_path / "day=1" / "more.ndjson").open("ab") as handle:
        handle.write(b"four\nfi")
    (tmp_path / "new.jsonl").write_bytes(b"six\n")
    assert source.lag() == 2
    assert sorted(record for batch in read(source) for record in batch.records) == [b"four", b"six"]


def test_one_file_may_stand_for_the_directory(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"one\n\ntwo\n")
    source = LocalLog(tmp_path / "events.jsonl", "records")
    source.resume({}.get)
    (batch,) = read(source)
    assert [record.strip() for record in batch.records] == [b"one", b"", b"two"]
    source.close()


def test_a_plain_file_goes_on_at_its_position_and_another_of_its_name_begins_anew(
    tmp_path: Path, follow: Follow
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\ntwo\n")
    (batch,) = read(follow(), 1)
    positions = {batch.stream: batch.next_offset}
    assert [batch.records for batch in read(follow(positions))] == [[b"two"]]
    path.write_bytes(b"other\ntwo\n")
    assert [batch.records for batch in read(follow(positions))] == [[b"other", b"two"]]


@pytest.mark.parametrize("how", ["renamed", "cut off", "deleted"])
def test_a_plain_file_that_is_rotated_is_read_to_its_end_and_the_next_one_followed(
    tmp_path: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(local_log, "_SCAN_EVERY_S", 0.0)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"one\ntwo\n")
    source = follow()
    assert [batch.records for batch in read(source, 1)] == [[b"one"]]
    match how:
        case "renamed":
            with path.open("ab") as handle:
                handle.write(b"three\n")
            path.rename(tmp_path / "events.jsonl.1")
        case "deleted":
            path.unlink()
    rest = [record for _ in range(2) for batch in read(source) for record in batch.records]
    assert rest == ([b"two", b"three"] if how == "renamed" else [b"two"])
    path.write_bytes(b"new\n")
    assert source.lag() == 1
    assert [batch.records for batch in read(source)] == [[b"new"]]
    path.unlink()
    assert (read(source), source.lag(), source.assigned()) == ([], 0, set())


def test_a_last_line_without_a_break_is_read_once_it_is_whole(tmp_path: Path, follow: Follow) -> None:
    path, whole = tmp_path / "events.jsonl", b'{"a": {"b": 1}}'
    path.write_bytes(b"one\n" + whole[:-1])
    source = follow()
    assert [batch.records for batch in read(source)] == [[b"one"]]
    assert (read(source), source.lag()) == ([], 0)
    path.write_bytes(b"one\n" + whole)
    assert source.lag() == 1
    (batch,) = read(source)
    assert (batch.records, batch.next_offset) == ([whole], 2)
    assert (read(source), source.lag()) == ([], 0)
    for breaks, lag in ((b"\n", 0), (b"\nthree\n", 1)):
        path.write_bytes(b"one\n" + whole + breaks)
        assert source.lag() == lag
    (batch,) = read(source)
    assert (batch.records, batch.next_offset) == ([b"three"], 3)
    restarted = follow({batch.stream: 2})
    assert [batch.records for batch in read(restarted)] == [[b"three"]]


def test_given_files_are_read_from_their_beginnings_to_their_ends(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.txt"]
    paths[0].write_bytes(b"one\ntwo")
    paths[1].write_bytes(b"three")
    source = LocalLog(tmp_path / "elsewhere", "records", files=[str(path) for path in paths])
    source.resume(lambda stream: 1)
    batches = [batch for _ in range(2) for batch in read(source)]
    assert sorted(tuple(batch.records) for batch in batches) == [(b"one", b"two"), (b"three",)]
    assert source.lag() == 0
    source.resume({batch.stream: batch.next_offset for batch in batches}.get)
    assert read(source) == []
    source.close()


def test_plain_files_are_dealt_among_readers(tmp_path: Path, follow: Follow) -> None:
    for number in range(12):
        (tmp_path / f"{number}.jsonl").write_bytes(b"%d\n" % number)
    shares = [sum(len(batch.records) for batch in read(follow(share=(own, 3)))) for own in range(3)]
    assert sum(shares) == 12
    assert max(shares) < 12
