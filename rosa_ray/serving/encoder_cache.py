"""Keys and values of active users, so that a new event costs one token instead of a whole timeline.

What may be used again is decided by the events alone: their columns are kept beside the keys and values, and compared
bit for bit with those of the request.
"""

from dataclasses import dataclass, replace

import numpy as np

from rosa_ray.features import EVENT_COLUMNS
from rosa_ray.models.encoder import EncoderCache
from rosa_ray.serving.messages import Columns

OBJECT_BYTES = 5_000
"""What the Python objects of an entry cost besides their numbers."""


@dataclass(frozen=True)
class CachedUser:
    """The encoding of one timeline.

    Attributes:
        timeline: `EVENT_COLUMNS` of the encoded events, each (T,), T at least 1.
        layers: keys and values after the last event.
        states: float32 (C, D), of the last C events, C at most the window.
    """

    timeline: Columns
    layers: EncoderCache
    states: np.ndarray

    @property
    def nbytes(self) -> int:
        """Memory that the entry takes, bytes."""
        columns = sum(values.nbytes for values in self.timeline.values())
        return columns + self.states.nbytes + self.layers.nbytes + OBJECT_BYTES

    def compact(self) -> "CachedUser":
        """The same in arrays of its own, which keep nothing larger alive."""
        layers = EncoderCache(
            tuple(key.clone() for key in self.layers.key_LBHCE),
            tuple(value.clone() for value in self.layers.value_LBHCE),
            self.layers.time_us_BC.clone(),
            self.layers.behavior_BC.clone(),
        )
        return replace(self, layers=layers, states=self.states.copy())


def count_new(timeline: Columns, known: Columns, context_events: int) -> int | None:
    """How many events a timeline has after those of a known one; None where it does not continue it.

    Both are the last `context_events` events of a user, or all where there are fewer. A timeline that was cut may begin
    with any number of the known one's last events: the last window of states does not reach what was cut off. One that
    was not cut must begin with all of them, or its first event is another.

    >>> def at(*time_us):
    ...     return {name: np.array(time_us) for name in EVENT_COLUMNS}
    >>> count_new(at(1, 2, 4), at(1, 2), 4), count_new(at(2, 4, 5, 6), at(1, 2, 4), 4)
    (1, 2)
    >>> count_new(at(1, 3), at(1, 2), 4), count_new(at(2, 4), at(1, 2), 4)
    (None, None)
    """
    time_us, known_us = timeline["time_us"], known["time_us"]
    fewest = int(np.searchsorted(time_us, known_us[-1], "left"))
    most = min(int(np.searchsorted(time_us, known_us[-1], "right")), len(known_us))
    whole = len(time_us) < context_events
    for shared in range(most, fewest, -1):
        if whole and shared < len(known_us):
            return None
        if _begins_with(timeline, known, shared):
            return len(time_us) - shared
    return None


def ends_before(timeline: Columns, known: Columns) -> bool:
    """Whether a timeline is of an earlier moment than a known one."""
    return bool(timeline["time_us"][-1] < known["time_us"][-1])


def _begins_with(timeline: Columns, known: Columns, shared: int) -> bool:
    return all(timeline[name][:shared].tobytes() == known[name][-shared:].tobytes() for name in EVENT_COLUMNS)
