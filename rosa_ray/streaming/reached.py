"""How far readers of one topic are in time, told to each other by the store.

Each reader keeps, beside a partition's position, the latest own time up to there. Others read it before they go ahead.
"""

import time
from collections.abc import Callable, Collection, Sequence

import numpy as np

from rosa_ray.store.protocol import StreamPosition
from rosa_ray.streaming.merge import AT_END_US
from rosa_ray.streaming.protocol import PolledRecords, PositionOf

ASK_EVERY_S = 1.0


def reached_name(stream: str) -> str:
    """Name of the position that holds the time which a stream was applied to, microseconds.

    >>> reached_name("kafka/records/3")
    'kafka/records/3#reached'
    """
    return f"{stream}#reached"


class ReachedTimes:
    """The times that the partitions of other readers have reached, and what to tell them of the own ones.

    Args:
        position_of: `OnlineStore.read_position`.
        now_s: a clock that never goes back.
    """

    def __init__(self, position_of: PositionOf, now_s: Callable[[], float] = time.monotonic) -> None:
        self._position_of, self._now_s = position_of, now_s
        self.forget()

    def forget(self) -> None:
        """Ask anew, and tell anew."""
        self._known: dict[str, int | None] = {}
        self._asked_s = -ASK_EVERY_S
        self._told: dict[str, int] = {}

    def of(self, others: Collection[str]) -> dict[str, int | None]:
        """Times of other readers' partitions, microseconds; None of one that was never applied.

        They are asked for once a second.
        """
        if not others:
            return {}
        if self._now_s() - self._asked_s >= ASK_EVERY_S or self._known.keys() != set(others):
            self._known = {stream: self._position_of(reached_name(stream)) for stream in others}
            self._asked_s = self._now_s()
        return self._known

    def tell(
        self, batches: Sequence[PolledRecords], time_us: np.ndarray, ended: Collection[str]
    ) -> list[StreamPosition]:
        """What to tell others together with batches; nothing where they know.

        Args:
            time_us: of all their records in turn, never falling within a batch.
            ended: partitions of which nothing is left.
        """
        reached, stop = dict[str, int](), 0
        for batch in batches:
            stop += len(batch.records)
            reached |= {batch.stream: int(time_us[stop - 1])} if batch.records else {}
        reached |= dict.fromkeys(ended, AT_END_US)
        new = {stream: reached_us for stream, reached_us in reached.items() if self._told.get(stream) != reached_us}
        self._told |= new
        return [StreamPosition(reached_name(stream), reached_us) for stream, reached_us in sorted(new.items())]
