"""Budgets that several replicas spend at once, through a ledger that all of them write to and each reads now and then.

A replica knows what was left when it last read the ledger, and what it has answered since. What the others answered
since it does not know. So of what was left it gives out one part in replicas · parts, and waits for its next reading.
An answer counts against that until a reading is `settle_us` younger: by then its impression is in the ledger.

**Bound.** Where impressions reach the ledger within `settle_us` of their answers, and no more than `replicas` serve,
nothing is overspent beyond what impressions cost more than expected. Take r, left at the oldest reading in use. It is
at most `settle_us` old, since an older one gives no room. Each replica gives out at most r/(replicas · parts) in any
`settle_us`. So the ledger grew by at most 2·r/parts since, and it lacks at most r/parts. Three parts cover both.

A replica that is killed takes no money with it: what it had not given out is left at the next reading of the others.
Beside that a campaign stops a little early: where a part is less than an impression costs, none is shown. That leaves
at most replicas · parts impressions.

Shape legend: C campaigns.
"""

from collections import deque

import numpy as np

from rosa_ray.arrays import Ints

PARTS = 3


class Reserve:
    """What one replica may still give out of C shared budgets.

    Args:
        count: C.
        replicas: that serve at once, at most.
        settle_us: time in which an impression reaches the ledger after its answer, microseconds.

    >>> reserve = Reserve(1, replicas=2, settle_us=10)
    >>> reserve.read(np.array([120]), time_us=0)
    >>> reserve.room(5).tolist()
    [20]
    >>> reserve.take(0, 18, time_us=5)
    >>> reserve.room(5).tolist()
    [2]
    >>> reserve.read(np.array([102]), time_us=15)  # the ledger has it now
    >>> reserve.room(15).tolist()
    [17]
    """

    def __init__(self, count: int, replicas: int, settle_us: int) -> None:
        self._divisor, self._settle_us = replicas * PARTS, settle_us
        self._left, self._read_us = np.zeros(count, np.int64), np.iinfo(np.int64).min // 2
        self._taken: deque[tuple[int, int, int]] = deque()
        self._outstanding = np.zeros(count, np.int64)

    def room(self, time_us: int) -> Ints:
        """Micro-units that may be given out at a time, int64 (C,); none where the last reading is too old."""
        if time_us - self._read_us > self._settle_us:
            return np.zeros_like(self._left)
        room: Ints = np.maximum(self._left // self._divisor - self._outstanding, 0)
        return room

    def read(self, left_micros: Ints, time_us: int) -> None:
        """Take what the ledger says is left of the budgets, int64 (C,), at a time."""
        self._left, self._read_us = np.maximum(left_micros, 0), time_us
        while self._taken and self._taken[0][0] <= time_us - self._settle_us:
            _, at, cost_micros = self._taken.popleft()
            self._outstanding[at] -= cost_micros

    def take(self, at: int, cost_micros: int, time_us: int) -> None:
        """Give out the expected cost of an answer of the campaign at a place."""
        self._taken.append((time_us, at, cost_micros))
        self._outstanding[at] += cost_micros
