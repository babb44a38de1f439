"""The source kind `log`: the partitions of a local log, followed as they grow."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from rosa_ray.errors import StreamError
from rosa_ray.records.log import count_records, segments_of
from rosa_ray.streaming.protocol import PolledRecords, PositionOf

_WAIT_S = 0.02

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
        return line.removesuffix(b"\n")

    def _lost(self, end: int) -> StreamError:
        return StreamError(
            f"{self.stream}: the store has read up to record {self._next}, the log in {self.directory} ends at {end}; "
            "was it replaced? give it another stream.topic"
        )


class LocalLog:
    """Follows partitions of a log.

    Args:
        root: the log's directory; its partitions are the directories `0`, `1`, ... below.
        topic: names the streams: `log/TOPIC/PARTITION`.
        share: number of this reader and how many there are: it reads every so many-th partition, also those that
            appear later.
    """

    def __init__(
        self, root: str | Path, topic: str, share: tuple[int, int] = (0, 1), max_line_bytes: int = 16_384
    ) -> None:
        self._root, self._topic, self._max_line_bytes = Path(root), topic, max_line_bytes
        self._share = share
        self._partitions: dict[int, _Partition] = {}
        self._position_of: PositionOf = lambda stream: None
        self._turn = 0

    def resume(self, position_of: PositionOf) -> None:
        """See `RecordSource.resume`."""
        self.close()
        self._position_of = position_of
        self._partitions = {}
        self._discover()

    def poll(self, max_records: int, timeout_s: float) -> list[PolledRecords]:
        """See `RecordSource.poll`."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            batches = self._read(max_records)
            if batches or time.monotonic() >= deadline_s:
                return batches
            time.sleep(min(_WAIT_S, timeout_s))
            self._discover()

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

    def _discover(self) -> None:
        found = {int(path.name): path for path in self._root.glob("*") if path.name.isdigit() and path.is_dir()}
        for number in sorted(set(found) - set(self._partitions)):
            if number % self._share[1] == self._share[0]:
                stream = f"log/{self._topic}/{number}"
                partition = _Partition(found[number], stream, self._max_line_bytes)
                partition.seek(self._position_of(stream) or 0)
                self._partitions[number] = partition
