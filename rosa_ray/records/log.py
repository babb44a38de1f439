"""An append-only log of JSON lines in a local directory, one directory per partition, cut into segments.

A segment is named by the offset of its first record, and an offset is the number of records before. A line that was
cut short by a crash is not a record: readers wait for its end, and the next writer removes it.
"""

import fcntl
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Literal, Self, get_args

from annotated_types import Ge, Unit

from rosa_ray.errors import StreamError
from rosa_ray.settings import section

SUFFIX = ".jsonl"
Fsync = Literal["always", "segment", "never"]
FSYNC: tuple[str, ...] = get_args(Fsync)
_BLOCK = 1 << 20

logger = logging.getLogger(__name__)


@section("stream.log")
class LogConfig:
    """How a log is written."""

    segment_mb: Annotated[int, Ge(1), Unit("2^20 bytes")] = 64
    """A segment that grows beyond this is closed, and the next begun."""
    fsync: Fsync = "always"
    """When appended records are forced to disk: `always` before an append returns, `segment` when a segment is closed.
    `never` leaves it to the system."""
    retention_hours: Annotated[int, Ge(0)] = 0
    """Closed segments whose last record is older are removed. 0 keeps all."""
    retention_mb: Annotated[int, Ge(0), Unit("2^20 bytes")] = 0
    """Oldest closed segments are removed while a partition is larger. 0 keeps all."""


@dataclass(frozen=True)
class Segment:
    """One file of a partition and the offset of its first record."""

    path: Path
    first_offset: int


def segments_of(partition: Path) -> list[Segment]:
    """Segments of a partition by offset; none where the directory is missing."""
    paths = partition.glob(f"*{SUFFIX}") if partition.is_dir() else []
    return sorted(
        (Segment(path, int(path.stem)) for path in paths if path.stem.isdigit()), key=lambda s: s.first_offset
    )


def count_records(path: Path, start: int = 0) -> tuple[int, int]:
    """Whole records of a file from a byte on, and the byte after the last of them."""
    count, end, at = 0, start, start
    with path.open("rb") as handle:
        handle.seek(start)
        while block := handle.read(_BLOCK):
            count += block.count(b"\n")
            last = block.rfind(b"\n")
            end = at + last + 1 if last >= 0 else end
            at += len(block)
    return count, end


class LogWriter:
    """Appends records to one partition; the only writer while it is open.

    Args:
        partition: directory, made if it is missing.

    Raises:
        StreamError: another process writes this partition, or the directory cannot be written.
    """

    def __init__(self, partition: str | Path, config: LogConfig | None = None) -> None:
        self._directory, self._config = Path(partition), config or LogConfig()
        try:
            self._lock = self._take()
            self._handle, self.next_offset = self._continue()
            self._end, self._torn = self._handle.seek(0, os.SEEK_END), False
        except OSError as error:
            reason = "another process writes it" if isinstance(error, BlockingIOError) else error.strerror
            raise StreamError(f"log {self._directory}: cannot be written: {reason}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, records: Sequence[bytes]) -> int:
        """Append records; readers see whole ones only.

        Returns:
            The offset after the last.

        Raises:
            StreamError: a record is empty or holds a line break, or the disk is full. Nothing was appended then.
        """
        if any(not record or b"\n" in record for record in records):
            raise StreamError(
                f"log {self._directory}: a record is one line of JSON; one is empty or holds a line break"
            )
        try:
            self._mend()
            self._write(b"".join([record + b"\n" for record in records]))
        except OSError as error:
            raise StreamError(f"log {self._directory}: cannot be written: {error.strerror or error}") from error
        self.next_offset += len(records)
        if self._end >= self._config.segment_mb << 20:
            self._rotate()
        return self.next_offset

    def close(self) -> None:
        """Close the segment and let others write."""
        self._handle.close()
        self._lock.close()

    def _write(self, content: bytes) -> None:
        """Append bytes whole; what a failure leaves of them is cut off, now or before the next append."""
        self._torn = True
        try:
            left = memoryview(content)
            while left:
                left = left[self._handle.write(left) :]
            if self._config.fsync == "always":
                os.fsync(self._handle.fileno())
        except OSError:
            with suppress(OSError):
                self._mend()
            raise
        self._torn, self._end = False, self._end + len(content)

    def _mend(self) -> None:
        """Cut off what a failed append left."""
        if self._torn:
            self._handle.truncate(self._end)
            self._handle.seek(self._end)
            self._torn = False

    def _take(self) -> IO[str]:
        """Become the only writer; the lock ends with the process at the latest."""
        self._directory.mkdir(parents=True, exist_ok=True)
        lock = (self._directory / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise
        return lock

    def _continue(self) -> tuple[FileIO, int]:
        """Open the last segment behind its last whole record."""
        segments = segments_of(self._directory)
        if not segments:
            return self._open(0), 0
        count, end = count_records(segments[-1].path)
        handle = segments[-1].path.open("r+b", buffering=0)
        handle.truncate(end)
        return handle, segments[-1].first_offset + count

    def _open(self, first_offset: int) -> FileIO:
        path = self._directory / f"{first_offset:020d}{SUFFIX}"
        handle = path.open("ab", buffering=0)
        if self._config.fsync != "never":
            try:
                _sync_directory(self._directory)
            except OSError:
                handle.close()
                path.unlink()  # readers would take an empty segment for the next one
                raise
        return handle

    def _rotate(self) -> None:
        """Begin the next segment. Where that fails this one goes on, and the next append tries again."""
        try:
            if self._config.fsync == "segment":
                os.fsync(self._handle.fileno())
            following = self._open(self.next_offset)
            self._handle.close()
            self._handle, self._end = following, 0
            self._retain()
        except OSError as error:
            logger.warning("log %s: no new segment: %s", self._directory, error.strerror or error)

    def _retain(self) -> None:
        """Remove closed segments that are too old or too many."""
        closed = segments_of(self._directory)[:-1]
        sizes = [segment.path.stat().st_size for segment in closed]
        oldest_s = time.time() - self._config.retention_hours * 3600
        for segment, size_after in zip(closed, [sum(sizes[row:]) for row in range(len(closed))], strict=True):
            too_old = self._config.retention_hours and segment.path.stat().st_mtime < oldest_s
            too_many = self._config.retention_mb and size_after > self._config.retention_mb << 20
            if not (too_old or too_many):
                break
            segment.path.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    entry = os.open(path, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
