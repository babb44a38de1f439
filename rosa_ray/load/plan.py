"""When each request is due: fixed before the first one is sent."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Arrivals = Literal["even", "poisson"]
"""`even` sends at equal distances. `poisson` at random ones, as many independent callers do."""


@dataclass(frozen=True)
class Plan:
    """How much is sent, and when.

    Attributes:
        rank_per_s: rankings a second.
        seconds: for how long; the last answers may come later.
        events_per_s: bodies of `POST /events` a second.
        arrivals: how the requests of a kind are spread.
        seed: of random distances.
    """

    rank_per_s: float
    seconds: float
    events_per_s: float = 0.0
    arrivals: Arrivals = "poisson"
    seed: int = 0

    def due_s(self) -> tuple[np.ndarray, np.ndarray]:
        """When rankings and events are due, seconds since the begin, float64, rising.

        >>> [due.tolist() for due in Plan(4, 1.0, 1, "even").due_s()]
        [[0.0, 0.25, 0.5, 0.75], [0.0]]
        """
        streams = np.random.SeedSequence(self.seed).spawn(2)
        rates = (self.rank_per_s, self.events_per_s)
        ranks, events = (self._times(rate, stream) for rate, stream in zip(rates, streams, strict=True))
        return ranks, events

    def _times(self, per_s: float, stream: np.random.SeedSequence) -> np.ndarray:
        if per_s <= 0:
            return np.empty(0)
        if self.arrivals == "even":
            return np.arange(int(np.ceil(per_s * self.seconds))) / per_s
        # Given their number, the arrivals of a Poisson process are uniform: so every seed sends equally many.
        return np.sort(np.random.default_rng(stream).uniform(0, self.seconds, round(per_s * self.seconds)))
