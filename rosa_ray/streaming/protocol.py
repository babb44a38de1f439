"""What a source of live records is: partitions with offsets, read in batches, resumed from where the store stands."""

from collections.abc import Callable, Collection, Sequence
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
        next_offset: where to go on after these; without records, after offsets that have none.
    """

    stream: str
    offsets: Sequence[int]
    next_offset: int
    records: Sequence[bytes]

    @property
    def first_offset(self) -> int:
        return self.offsets[0]


class RecordSource(Protocol):
    """The operations of every source.

    All raise StreamAwayError while the records cannot be reached, and StreamError when trying again does not help.
    """

    def resume(self, position_of: PositionOf) -> None:
        """Go to the positions that the store holds, also backwards; an unknown partition starts at its beginning.

        Partitions that are assigned later are asked for in the same way.
        """
        ...

    def poll(self, max_records: int, timeout_s: float, paused: Collection[str] = ()) -> list[PolledRecords]:
        """Return the next records, at most one batch per partition; nothing when none came in time.

        Args:
            paused: streams that are not to be read now.
        """
        ...

    def acknowledge(self, batches: Sequence[PolledRecords]) -> None:
        """Tell whoever displays the lag that these were applied. Positions are the store's; this may be lost."""
        ...

    def assigned(self) -> set[str]:
        """Streams that this reader reads."""
        ...

    def unfinished(self) -> set[str]:
        """Of these, the ones that were not read to their end, as far as is known."""
        ...

    def others(self) -> set[str]:
        """Streams beside them that other readers read."""
        ...

    def lag(self) -> int:
        """Records in the assigned partitions that were not polled yet."""
        ...

    def removed(self) -> int:
        """Records that were removed from the assigned partitions before they were read, since the start."""
        ...

    def close(self) -> None: ...
