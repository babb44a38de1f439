"""The source kind `log`: the partitions of a local log and plain files of JSON lines, followed as they grow."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import xxhash

from rosa_ray.errors import StreamAwayError
from rosa_ray.streaming.log_layout import first_line, partitions_of, plain_files
from rosa_ray.streaming.log_partition import Partition, PlainFile
from rosa_ray.streaming.protocol import PolledRecords, PositionOf

_WAIT_S = 0.02
_SCAN_EVERY_S = 1.0


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
        self._partitions: dict[str, Partition] = {}
        self._known_files: set[Path] = set()
        self._others: set[str] = set()
        self._removed: dict[str, dict[int, int]] = {}
        self._position_of: PositionOf = lambda stream: None
        self._turn, self._begun, self._scanned_s = 0, False, 0.0

    def resume(self, position_of: PositionOf) -> None:
        """See `RecordSource.resume`."""
        self.close()
        # What the store read of a given file in an earlier run does not count: ids make reading it again harmless.
        self._position_of = position_of if self._begun or not self._files else lambda stream: None
        self._begun = True
        self._partitions, self._known_files = {}, set()
        with self._reachable():
            self._discover()

    def poll(self, max_records: int, timeout_s: float, paused: Collection[str] = ()) -> list[PolledRecords]:
        """See `RecordSource.poll`."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            with self._reachable():
                batches = self._read(max_records, paused)
            if batches or time.monotonic() >= deadline_s:
                return batches
            time.sleep(min(_WAIT_S, timeout_s))
            with self._reachable():
                self._discover(soon=False)

    def acknowledge(self, batches: Sequence[PolledRecords]) -> None:
        """See `RecordSource.acknowledge`; nobody else displays this lag."""

    def assigned(self) -> set[str]:
        """See `RecordSource.assigned`."""
        return {*self._partitions}

    def unfinished(self) -> set[str]:
        """See `RecordSource.unfinished`."""
        return {stream for stream, partition in self._partitions.items() if not partition.at_end}

    def others(self) -> set[str]:
        """See `RecordSource.others`."""
        return self._others

    def lag(self) -> int:
        """See `RecordSource.lag`."""
        with self._reachable():
            self._discover()
            return sum(partition.lag() for partition in self._partitions.values())

    def removed(self) -> int:
        """See `RecordSource.removed`."""
        return sum(stop - start for gaps in self._removed.values() for start, stop in gaps.items())

    def close(self) -> None:
        """Close the files."""
        for partition in self._partitions.values():
            partition.close()

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Turn what the disk says into an error that is tried again: a file may be removed between two looks."""
        try:
            yield
        except OSError as error:
            raise StreamAwayError(f"log {self._root}: cannot be read: {error.strerror or error}") from error

    def _read(self, max_records: int, paused: Collection[str]) -> list[PolledRecords]:
        """Share the records out among partitions; they take turns in being first, so that none starves."""
        names = sorted(self._partitions.keys() - set(paused))
        self._turn += 1
        turn = self._turn % len(names) if names else 0
        found: dict[str, list[PolledRecords]] = {}
        left = max_records
        for shares in (len(names), 1):
            for index, name in enumerate([*names[turn:], *names[:turn]]):
                share = -(-left // max(shares - index, 1))
                batch = self._partitions[name].read(share) if share else None
                if batch:
                    found.setdefault(name, []).append(batch)
                    left -= len(batch.records)
        return [_joined(batches) for batches in found.values()]

    def _discover(self, soon: bool = True) -> None:
        """Add partitions and files that appeared; files are looked for every second where it is not to be `soon`."""
        if not self._files:
            for number, path in sorted(partitions_of(self._root).items()):
                stream = f"log/{self._topic}/{number}"
                if not self._is_mine(number):
                    self._others.add(stream)
                elif stream not in self._partitions:
                    self._add(Partition(path, stream, self._max_line_bytes))
        if soon or time.monotonic() - self._scanned_s > _SCAN_EVERY_S:
            self._scanned_s = time.monotonic()
            self._discover_files()

    def _discover_files(self) -> None:
        if not self._files:
            self._leave_replaced()
        for path in self._files or plain_files(self._root):
            name = str(path) if self._files or path == self._root else path.relative_to(self._root).as_posix()
            if path in self._known_files:
                continue
            first = first_line(path, complete=bool(self._files))
            if first is None:
                continue
            stream = f"file/{self._topic}/{name}@{xxhash.xxh64_hexdigest(first)}"
            self._known_files.add(path)
            if self._is_mine(xxhash.xxh64_intdigest(name.encode())):
                self._add(PlainFile(path, stream, self._max_line_bytes, bool(self._files)))
            else:
                self._others.add(stream)

    def _leave_replaced(self) -> None:
        """Leave files that were read to their ends and then rotated away; what took their names is found anew."""
        for stream, partition in [*self._partitions.items()]:
            if isinstance(partition, PlainFile) and partition.at_end and partition.is_replaced:
                partition.close()
                del self._partitions[stream]
                self._known_files.discard(partition.directory)

    def _add(self, partition: Partition) -> None:
        partition.removed = self._removed.setdefault(partition.stream, {})
        partition.seek(self._position_of(partition.stream) or 0)
        self._partitions[partition.stream] = partition

    def _is_mine(self, number: int) -> bool:
        return number % self._share[1] == self._share[0]


def _joined(batches: Sequence[PolledRecords]) -> PolledRecords:
    """Batches of one partition that follow each other, as one."""
    if len(batches) == 1:
        return batches[0]
    offsets = [offset for batch in batches for offset in batch.offsets]
    records = [record for batch in batches for record in batch.records]
    return PolledRecords(batches[0].stream, offsets, batches[-1].next_offset, records)
