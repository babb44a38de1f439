"""One partition of a local log, or one plain file, read from an offset on as it grows.

Retention may remove what was not read yet. Reading then goes on at the first record there is, and says what is gone.
"""

import logging
import os
from pathlib import Path
from typing import BinaryIO

from rosa_ray.errors import StreamError
from rosa_ray.records.log import Segment, count_records, segments_of
from rosa_ray.streaming.log_layout import is_json
from rosa_ray.streaming.protocol import PolledRecords

logger = logging.getLogger(__name__)


class Partition:
    """Reads one partition from an offset on.

    Attributes:
        at_end: whether the last read found no more.
        removed: where records were removed before they were read, first offset -> the one after the last.
    """

    def __init__(self, directory: Path, stream: str, max_line_bytes: int) -> None:
        self.directory, self.stream, self._max_line_bytes = directory, stream, max_line_bytes
        self.at_end, self.removed = False, dict[int, int]()
        self._handle: BinaryIO | None = None
        self._next, self._byte = 0, 0
        self._counted: tuple[Path, int, int] | None = None

    def seek(self, offset: int) -> None:
        """Go to an offset; to the first record there is when it was removed.

        Raises:
            StreamError: the log ends before it.
        """
        self.close()
        segments = segments_of(self.directory)
        self._next, self.at_end = offset, False
        self._skip_to(max(offset, segments[0].first_offset if segments else 0))
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
        self.at_end = False
        while len(lines) < max_records:
            line = self._read_line()
            if line is None:
                if self._advance(skip=not lines):
                    first = first if lines else self._next
                    continue
                self.at_end = not self._is_overtaken()
                break
            lines.append(line)
            self._next += 1
        return PolledRecords(self.stream, range(first, self._next), self._next, lines) if lines else None

    def lag(self) -> int:
        """Whole records that were not read yet. Only what was written since the last call is looked at."""
        segments = segments_of(self.directory)
        if not segments:
            return 0
        last = segments[-1]
        return max(self._end_of(last) - max(self._next, segments[0].first_offset), 0)

    def close(self) -> None:
        """Close the segment at hand."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _end_of(self, segment: Segment) -> int:
        """Offset after the last whole record of a segment."""
        if self._counted is None or self._counted[0] != segment.path:
            own = self._handle is not None and self._handle.name == str(segment.path)
            self._counted = (segment.path, *((self._byte, self._next) if own else (0, segment.first_offset)))
        path, start, offset = self._counted
        if path.stat().st_size < start:
            start, offset = 0, segment.first_offset
        count, end = count_records(path, start)
        self._counted = (path, end, offset + count)
        return offset + count

    def _open(self, path: Path, first_offset: int) -> None:
        self._handle, self._byte = path.open("rb"), 0
        for known in range(first_offset, self._next):
            if self._read_line() is None:
                self.close()
                raise self._lost(known)

    def _advance(self, skip: bool) -> bool:
        """Go on to the segment that begins here, or with `skip` to a later one where what lies between was removed.

        Returns:
            Whether there is more to read, in this segment or in another one.
        """
        segments = segments_of(self.directory)
        own = self._handle.name if self._handle is not None else ""
        following = next((each for each in segments if each.first_offset >= self._next and str(each.path) != own), None)
        if following is None:
            return False
        if following.first_offset > self._next:
            # The writer appends before it begins a segment, so what it appended since the last read is there now.
            if self._has_line():
                return True
            if not skip:
                return False
            self._skip_to(following.first_offset)
        self.close()
        self._handle, self._byte = following.path.open("rb"), 0
        return True

    def _is_overtaken(self) -> bool:
        """Whether records lie behind a gap that retention made."""
        own = self._handle.name if self._handle is not None else ""
        return any(each.first_offset > self._next and str(each.path) != own for each in segments_of(self.directory))

    def _skip_to(self, offset: int) -> None:
        if offset > self._next:
            logger.warning("%s: records %d to %d were removed unread", self.stream, self._next, offset)
            self.removed[self._next] = offset
            self._next = offset

    def _has_line(self) -> bool:
        if self._handle is None:
            return False
        line = self._handle.readline()
        self._handle.seek(self._byte)
        return line.endswith(b"\n")

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


class PlainFile(Partition):
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
        self._next, self._after_tail, self.at_end = offset, False, False
        self._open(self.directory, 0)

    @property
    def is_replaced(self) -> bool:
        """Whether another file, or none, stands under the name of the one that is read, or it was cut off."""
        if self._handle is None:
            return False
        try:
            now, read = self.directory.stat(), os.fstat(self._handle.fileno())
        except FileNotFoundError:
            return True
        return (now.st_dev, now.st_ino) != (read.st_dev, read.st_ino) or now.st_size < self._byte

    def lag(self) -> int:
        """Whole records that were not read yet."""
        if self._after_tail:
            self._pass_break()
        if self._counted is None or self._counted[1] < self._byte:
            self._counted = (self.directory, self._byte, self._next)
        _, start, offset = self._counted
        count, end = count_records(self.directory, start)
        self._counted = (self.directory, end, offset + count)
        return offset + count - self._next + bool(self._tail(end))

    def _advance(self, skip: bool) -> bool:
        return False

    def _is_overtaken(self) -> bool:
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
        assert self._handle is not None
        descriptor = self._handle.fileno()
        tail = os.pread(descriptor, max(os.fstat(descriptor).st_size - start, 0), start)
        return tail if b"\n" not in tail and tail.strip() and (self._complete or is_json(tail)) else b""

    def _pass_break(self) -> None:
        """Pass over the line break that was written after the tail: it belongs to a line that is read already."""
        assert self._handle is not None
        line = self._handle.readline()
        if line.endswith(b"\n") and not line.strip():
            self._byte += len(line)
        self._after_tail = not line
        self._handle.seek(self._byte)
