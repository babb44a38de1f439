"""What a source of live records is: partitions with offsets, read in batches, resumed from where the store stands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

PositionOf = Callable[[str], int | None]
"""The next offset of a stream as the store holds it, None when it never read it: `OnlineStore.read_position`."""


@dataclass(frozen=True)
class PolledRecords:
    """Some records of one partition, in order, as bytes.

    Attributes:
        stream: names the partition, such as `kafka/records/3`; what the store keeps positions by.
        offsets: of each record, rising; a partition may have offsets without a record.
        next_offset: where to go on after these.
    """

    stream: str
    offsets: Sequence[int]
    next_offset: int
    records: Sequence[bytes]

    @property
    def first_offset(self) -> int:
        return self.offsets[0]


class RecordSource(Protocol):
    """The operations of every source. All raise StreamError when the records cannot be reached."""

    def resume(self, position_of: PositionOf) -> None:
        """Go to the positions that the store holds, also backwards; an unknown partition starts at its beginning.

        Partitions that are assigned later are asked for in the same way.
        """
        ...

    def poll(self, max_records: int, timeout_s: float) -> list[PolledRecords]:
        """Return the next records, at most one batch per partition; nothing when none came in time."""
        ...

    def acknowledge(self, batches: Sequence[PolledRecords]) -> None:
        """Tell whoever displays the lag that these were applied. Positions are the store's; this may be lost."""
        ...

    def lag(self) -> int:
        """Records in the assigned partitions that were not polled yet."""
        ...

    def close(self) -> None: ...
