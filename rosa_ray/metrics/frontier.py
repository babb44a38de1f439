"""The frontier of profit against return that one score can reach: a ranking by revenue - theta·cost, at many thetas.

At theta = 1 the sum of profits is highest. A higher theta leaves ads out that earn little for what they cost: less
is spent, and each unit of it returns more. A lower one buys revenue at any price.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats
from rosa_ray.metrics.checks import as_keys, as_not_negative, require_same_length

THETAS: Floats = np.concatenate([[0.0, 0.25, 0.5, 0.75], np.geomspace(1.0, 64.0, 61)])
"""Where frontiers are read; steps above 1 are of 7 %."""

_FIRST = 4
"""Place of theta = 1."""


def _none() -> Floats:
    return np.zeros(len(THETAS))


@dataclass(eq=False)
class Frontier:
    """Revenue and cost of the ads that requests show at each of `THETAS`, currency units, (65,).

    >>> one = Frontier().update([9.0, 30.0], [1.0, 10.0], [7, 7], [1, 2])
    >>> one.requests, float(one.profit[4]), float(one.profit.max())
    (1, 20.0, 20.0)

    Attributes:
        requests: how many there were.
    """

    revenue: Floats = field(default_factory=_none)
    cost: Floats = field(default_factory=_none)
    requests: int = 0

    def update(
        self,
        revenue: npt.ArrayLike,
        cost: npt.ArrayLike,
        request_key: npt.ArrayLike,
        tie_key: npt.ArrayLike,
        earned: npt.ArrayLike | None = None,
        spent: npt.ArrayLike | None = None,
    ) -> "Frontier":
        """Add the candidates of whole requests.

        Args:
            revenue, cost: expected per impression, currency units, >= 0, (n,); ads are chosen by them.
            request_key: integer request of each candidate, (n,).
            tie_key: integers unique within a request; of equal scores the smallest is shown.
            earned, spent: what is summed of the chosen ads, such as the truth; the same where left out.
        """
        gain, price = as_not_negative("revenue", revenue), as_not_negative("cost", cost)
        requests, ties = as_keys("request_key", request_key), as_keys("tie_key", tie_key)
        summed = (
            (gain if earned is None else as_not_negative("earned", earned)),
            (price if spent is None else as_not_negative("spent", spent)),
        )
        require_same_length(revenue=gain, cost=price, request_key=requests, tie_key=ties, earned=summed[0])
        if not gain.size:
            return self
        order = np.lexsort((ties, requests))
        gain, price, earns, costs = (values[order] for values in (gain, price, *summed))
        starts = np.flatnonzero(np.append(True, np.diff(requests[order]) != 0))
        sizes = np.diff(np.append(starts, gain.size))
        for at, theta in enumerate(THETAS):
            score = gain - theta * price
            best = np.flatnonzero(score == np.repeat(np.maximum.reduceat(score, starts), sizes))
            shown = best[np.searchsorted(best, starts)]  # the first of a request, which has the smallest tie key
            self.revenue[at] += earns[shown].sum()
            self.cost[at] += costs[shown].sum()
        self.requests += len(starts)
        return self

    def merge(self, other: "Frontier") -> "Frontier":
        """Add the sums of another worker, which saw other requests."""
        self.revenue += other.revenue
        self.cost += other.cost
        self.requests += other.requests
        return self

    @property
    def profit(self) -> Floats:
        """Revenue less cost at each theta, currency units, (65,)."""
        return self.revenue - self.cost

    def theta(self, kept: float) -> float:
        """Return the highest theta, 1 at least, that keeps a share of the profit at 1.

        Args:
            kept: share in (0, 1].

        Returns:
            1 without requests, or where nothing is earned or nothing costs.

        >>> Frontier().update([9.0, 30.0], [1.0, 10.0], [7, 7], [1, 2]).theta(0.4) > 2.6
        True
        """
        least = kept * self.profit[_FIRST]
        if not self.requests or self.profit[_FIRST] <= 0 or not self.cost[_FIRST]:
            return 1.0
        below = np.flatnonzero(self.profit[_FIRST:] < least)
        last = int(below[0]) - 1 if below.size else len(THETAS) - _FIRST - 1
        return float(THETAS[_FIRST + max(last, 0)])
