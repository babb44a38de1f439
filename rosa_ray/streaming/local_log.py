"""The source kind `log`: the partitions of a local log and plain files of JSON lines, followed as they grow."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import xxhash

from rosa_ray.errors import StreamError
from rosa_ray.records.log import count_records, segments_of
from rosa_ray.streaming.log_layout import first_line, is_json, partitions_of, plain_files
from rosa_ray.streaming.protocol import PolledRecords, PositionOf

_WAIT_S = 0.02
_SCAN_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class _Partition:
    """Reads one partition from an offset on."""

    def __init__(self, directory: Path, stream: str, max_line_bytes: int) -> None:
        self.directory, self.stream, self._max_line_bytes = directory, stream, max_line_bytes
        self._handle: BinaryIO | None = None
        self._next, self._byte = 0, 0

    def seek(self, offset: int) -> None:
        """Go to an offset; to the first record there is when it was removed.

        Raises:
            StreamError: the log ends before it.
        """
        self.close()
        segments = segments_of(self.directory)
        first = segments[0].first_offset if segments else 0
        if offset < first:
            logger.warning("%s: records %d to %d were removed unread", self.stream, offset, first)
        self._next = max(offset, first)
        holding = [segment for segment in segments if segment.first_offset <= self._next]
        if not holding:
            if self._next > 0:
                raise self._lost(0)
            return
        self._open(holding[-1].path, holding[-1].first_offset)

    def read(self, max_records: int) -> PolledRecords | None:
        """The next records, None when there are none."""
        first = self._next
        lines: list[bytes] = []
        while len(lines) < max_records:
            line = self._read_line()
            if line is None and not self._advance():
                break
            if line is not None:
                lines.append(line)
                self._next += 1
        return PolledRecords(self.stream, range(first, self._next), self._next, lines) if lines else None

    def lag(self) -> int:
        """Whole records that were not read yet."""
        segments = [segment for segment in segments_of(self.directory) if segment.first_offset >= self._next]
        rest = count_records(Path(self._handle.name), self._byte)[0] if self._handle else 0
        own = self._handle.name if self._handle else ""
        return rest + sum(count_records(segment.path)[0] for segment in segments if str(segment.path) != own)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _open(self, path: Path, first_offset: int) -> None:
        self._handle, self._byte = path.open("rb"), 0
        for known in range(first_offset, self._next):
            if self._read_line() is None:
                self.close()
                raise self._lost(known)

    def _advance(self) -> bool:
        """Go on to the segment that begins here, if there is one."""
        path = next((s.path for s in segments_of(self.directory) if s.first_offset == self._next), None)
        if path is None or (self._handle is not None and str(path) == self._handle.name):
            return False
        self.close()
        self._handle, self._byte = path.open("rb"), 0
        return True

    def _read_line(self) -> bytes | None:
        """The next whole line; of one that is too long the beginning, which shows that it is."""
        if self._handle is None:
            return None
        limit = self._max_line_bytes + 2
        line = tail = self._handle.readline(limit)
        length = len(line)
        while tail and not tail.endswith(b"\n"):
            tail = self._handle.readline(limit)
            length += len(tail)
        if not tail:
            self._handle.seek(self._byte)
            return None
        self._byte += length
        # Of an empty line the break stays: a line of blanks is nothing, but an empty record is malformed.
        return line.removesuffix(b"\n") or line

    def _lost(self, end: int) -> StreamError:
        return StreamError(
            f"{self.stream}: the store has read up to record {self._next}, the log in {self.directory} ends at {end}; "
            "was it replaced? give it another stream.topic"
        )


class _PlainFile(_Partition):
    """Reads one file that another program writes.

    Its last line may lack a line break. It is read once it is JSON, which no beginning of an object is.

    Args:
        complete: the file is written to its end, so that its last line is a record whatever it says.
    """

    def __init__(self, path: Path, stream: str, max_line_bytes: int, complete: bool) -> None:
        super().__init__(path, stream, max_line_bytes)
        self._complete, self._after_tail = complete, False

    def seek(self, offset: int) -> None:
        """Go to an offset.

        Raises:
            StreamError: the file ends before it.
        """
        self.close()
        self._next, self._after_tail = offset, False
        self._open(self.directory, 0)

    def lag(self) -> int:
        """Whole records that were not read yet."""
        if self._after_tail:
            self._pass_break()
        count, end = count_records(self.directory, self._byte)
        return count + bool(self._tail(end))

    def _advance(self) -> bool:
        return False

    def _read_line(self) -> bytes | None:
        if self._after_tail:
            self._pass_break()
        line = super()._read_line()
        if line is not None or self._handle is None or not (tail := self._tail(self._byte)):
            return line
        self._byte += len(tail)
        self._handle.seek(self._byte)
        self._after_tail = True
        return tail[: self._max_line_bytes + 2]

    def _tail(self, start: int) -> bytes:
        """The last line from a byte on where it lacks a break and is a record all the same; else nothing."""
        with self.directory.open("rb") as handle:
            handle.seek(start)
            tail = handle.read()
        return tail if b"\n" not in tail and tail.strip() and (self._complete or is_json(tail)) else b""

    def _pass_break(self) -> None:
        """Pass over the line break that was written after the tail: it belongs to a line that is read already."""
        assert self._handle is not None
        line = self._handle.readline()
        if line.endswith(b"\n") and not line.strip():
            self._byte += len(line)
        self._after_tail = not line
        self._handle.seek(self._byte)


class LocalLog:
    """Follows the partitions of a log, and plain files below the same directory.

    Args:
        root: the log's directory, or one file. Partitions are the directories `0`, `1`, ... below.
        topic: names the streams: `log/TOPIC/PARTITION` and `file/TOPIC/NAME@HASH`. The hash is of the first line, so
            that another file under the name of one that was read is another stream.
        share: number of this reader and how many there are: it reads every so many-th partition and file, also those
            that appear later.
        files: read these from their beginnings, and nothing else.
    """

    def __init__(
        self,
        root: str | Path,
        topic: str,
        share: tuple[int, int] = (0, 1),
        max_line_bytes: int = 16_384,
        files: Sequence[str] = (),
    ) -> None:
        self._root, self._topic, self._max_line_bytes = Path(root), topic, max_line_bytes
        self._share, self._files = share, [Path(path) for path in files]
        self._partitions: dict[str, _Partition] = {}
        self._known_files: set[Path] = set()
        self._position_of: PositionOf = lambda stream: None
        self._turn, self._begun, self._scanned_s = 0, False, 0.0

    def resume(self, position_of: PositionOf) -> None:
        """See `RecordSource.resume`."""
        self.close()
        # What the store read of a given file in an earlier run does not count: ids make reading it again harmless.
        self._position_of = position_of if self._begun or not self._files else lambda stream: None
        self._begun = True
        self._partitions, self._known_files = {}, set()
        self._discover()

    def poll(self, max_records: int, timeout_s: float) -> list[PolledRecords]:
        """See `RecordSource.poll`."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            batches = self._read(max_records)
            if batches or time.monotonic() >= deadline_s:
                return batches
            time.sleep(min(_WAIT_S, timeout_s))
            self._discover(soon=False)

    def acknowledge(self, batches: Sequence[PolledRecords]) -> None:
        """See `RecordSource.acknowledge`; nobody else displays this lag."""

    def lag(self) -> int:
        """See `RecordSource.lag`."""
        self._discover()
        return sum(partition.lag() for partition in self._partitions.values())

    def close(self) -> None:
        """Close the files."""
        for partition in self._partitions.values():
            partition.close()

    def _read(self, max_records: int) -> list[PolledRecords]:
        """Partitions take turns in being first, so that none starves."""
        batches: list[PolledRecords] = []
        names = sorted(self._partitions)
        self._turn += 1
        for index in range(len(names)):
            left = max_records - sum(len(batch.records) for batch in batches)
            batch = self._partitions[names[(self._turn + index) % len(names)]].read(left) if left else None
            batches += [batch] if batch else []
        return batches

    def _discover(self, soon: bool = True) -> None:
        """Add partitions and files that appeared; files are looked for every second where it is not to be `soon`."""
        if not self._files:
            for number, path in sorted(partitions_of(self._root).items()):
                stream = f"log/{self._topic}/{number}"
                if stream not in self._partitions and self._is_mine(number):
                    self._add(_Partition(path, stream, self._max_line_bytes))
        if soon or time.monotonic() - self._scanned_s > _SCAN_EVERY_S:
            self._scanned_s = time.monotonic()
            self._discover_files()

    def _discover_files(self) -> None:
        for path in self._files or plain_files(self._root):
            name = str(path) if self._files or path == self._root else path.relative_to(self._root).as_posix()
            if path in self._known_files or not self._is_mine(xxhash.xxh64_intdigest(name.encode())):
                continue
            first = first_line(path, complete=bool(self._files))
            if first is not None:
                stream = f"file/{self._topic}/{name}@{xxhash.xxh64_hexdigest(first)}"
                self._add(_PlainFile(path, stream, self._max_line_bytes, bool(self._files)))
                self._known_files.add(path)

    def _add(self, partition: _Partition) -> None:
        partition.seek(self._position_of(partition.stream) or 0)
        self._partitions[partition.stream] = partition

    def _is_mine(self, number: int) -> bool:
        return number % self._share[1] == self._share[0]
