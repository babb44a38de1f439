"""The clock that live records are judged by: the machine's, but steps back are ridden out."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rosa_ray.units import DAY_US

MOST_BACK_US = DAY_US
"""A longer step back is taken for the mending of a clock that was ahead, and followed."""


@dataclass(eq=False)
class SteadyClock:
    """Microseconds UTC that do not go back when the machine's clock is set back by up to a day.

    Without it a step back of an hour would make all records of that hour ones of the future. Steps ahead are followed:
    a machine that slept looks the same.

    >>> walls, elapsed = iter([100.0, 40.0, 170.0]), iter([0.0, 5.0, 10.0])
    >>> clock = SteadyClock(walls.__next__, elapsed.__next__)
    >>> [clock() / 1e6 for _ in range(3)]
    [100.0, 105.0, 170.0]

    Attributes:
        wall_s: the machine's clock, seconds since 1970.
        elapsed_s: a clock that never goes back.
    """

    wall_s: Callable[[], float] = time.time
    elapsed_s: Callable[[], float] = time.monotonic
    _ahead_us: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> int:
        wall_us, elapsed_us = round(self.wall_s() * 1e6), round(self.elapsed_s() * 1e6)
        with self._lock:
            steady_us = wall_us if self._ahead_us is None else elapsed_us + self._ahead_us
            if not 0 <= steady_us - wall_us <= MOST_BACK_US:
                steady_us = wall_us
            self._ahead_us = steady_us - elapsed_us
            return steady_us

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Another process has clocks of its own."""
        return type(self), ()


NOW_US = SteadyClock()
"""The clock of this process."""
