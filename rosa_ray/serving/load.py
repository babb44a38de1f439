"""How busy a scorer is, as one number in [0, 1]: what the gate weighs against the gain of a fresh score."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HALF_LIFE_S = 5.0
"""After so long without a call, half of the encoder's remembered latency counts: a gate that skips it tries again."""

_SHARE = 0.2


class LoadMeter:
    """Counts the requests in progress and remembers how long the encoder took.

    The load is the larger of two shares: of the replica's places that other requests take, and of the encoder's
    deadline that its calls take, as an exponential mean.

    Args:
        max_ongoing: requests that one replica works on at a time; more wait before it.
        deadline_ms: time after which the encoder is given up.
        now_s: a clock that never goes back, seconds.

    >>> meter = LoadMeter(max_ongoing=5, deadline_ms=100.0)
    >>> with meter.request(), meter.request():
    ...     meter.load()
    0.25
    """

    def __init__(self, max_ongoing: int, deadline_ms: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._max_ongoing, self._deadline_ms, self._now_s = max_ongoing, deadline_ms, now_s
        self._ongoing = 0
        self._mean_ms, self._at_s = 0.0, now_s()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while it is worked on."""
        self._ongoing += 1
        try:
            yield
        finally:
            self._ongoing -= 1

    def encoded(self, took_ms: float) -> None:
        """Note how long a call of the encoder took; one that failed or was late counts as the deadline."""
        former_ms = self.encoder_ms()
        self._mean_ms, self._at_s = former_ms + _SHARE * (took_ms - former_ms), self._now_s()

    def encoder_ms(self) -> float:
        """Mean latency of recent calls of the encoder, falling to 0 while there are none."""
        return float(self._mean_ms * 0.5 ** ((self._now_s() - self._at_s) / HALF_LIFE_S))

    def load(self) -> float:
        """Load as one of the counted requests sees it, in [0, 1]: 0 when it is alone."""
        others = (self._ongoing - 1) / max(self._max_ongoing - 1, 1)
        return min(max(others, self.encoder_ms() / self._deadline_ms, 0.0), 1.0)
