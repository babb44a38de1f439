"""What a ranking earns: policies over logged requests, and their exact value when the truth is known.

A policy is one probability per candidate row, summing to 1 within every request: 1 for the ad it shows and 0 for the
others, or 1/n for a uniform choice. Its value is the sum of each row's probability times the row's expected revenue
and cost, so a policy over millions of requests is one dot product, and states of different requests merge by addition.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats
from rosa_ray.metrics.checks import as_amounts, as_keys, as_not_negative, as_probabilities, require_same_length

DINKELBACH_ROUNDS = 100


def greedy_policy(scores: npt.ArrayLike, request_key: npt.ArrayLike, tie_key: npt.ArrayLike) -> Floats:
    """Return the policy that shows the top-scored candidate of each request; of equal scores the smallest tie key.

    Args:
        scores: finite, shape (n,).
        request_key: integer request of each candidate, shape (n,).
        tie_key: integers unique within a request (ad or impression keys), so that row order decides nothing.

    >>> greedy_policy([0.3, 0.9, 0.5, 0.5], [1, 1, 2, 2], [10, 11, 13, 12]).tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    s, requests, ties = as_amounts("scores", scores), as_keys("request_key", request_key), as_keys("tie_key", tie_key)
    require_same_length(scores=s, request_key=requests, tie_key=ties)
    order = np.lexsort((ties, -s, requests))
    first = np.ones(order.size, dtype=bool)
    first[1:] = requests[order][1:] != requests[order][:-1]
    policy = np.zeros(order.size)
    policy[order[first]] = 1.0
    return policy


def uniform_policy(request_key: npt.ArrayLike) -> Floats:
    """Return the policy that chooses among the candidates of a request with equal probability.

    >>> uniform_policy([1, 1, 2]).tolist()
    [0.5, 0.5, 1.0]
    """
    _, request, sizes = np.unique(as_keys("request_key", request_key), return_inverse=True, return_counts=True)
    return 1.0 / sizes[request]


def best_roi_policy(
    revenue: npt.ArrayLike, cost: npt.ArrayLike, request_key: npt.ArrayLike, tie_key: npt.ArrayLike
) -> Floats:
    """Return the one-ad-per-request policy with the highest total revenue over total cost.

    Taking the best ratio within each request does not maximise the ratio of the sums. Dinkelbach (1967) does: show
    argmax(revenue - theta·cost), set theta to the ratio reached, and repeat until it stands still.

    Args:
        revenue: true expected revenue of each candidate, >= 0, shape (n,).
        cost: true expected cost of each candidate, > 0, shape (n,).
        request_key: integer request of each candidate, shape (n,).
        tie_key: integers unique within a request.

    >>> best_roi_policy([1.0, 9.0, 30.0, 3.0], [0.1, 1.0, 10.0, 0.75], [1, 1, 2, 2], [1, 2, 3, 4]).tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    gain, price = as_not_negative("revenue", revenue), as_not_negative("cost", cost)
    policy = uniform_policy(request_key)
    require_same_length(revenue=gain, cost=price, request_key=policy)
    if not price.all():
        raise ValueError(f"the best ROI is unbounded: cost is 0 in {int((price == 0).sum())} rows")
    theta = -1.0
    for _ in range(DINKELBACH_ROUNDS if policy.size else 0):
        reached = float(policy @ gain) / float(policy @ price)
        if reached <= theta:
            break
        theta = reached
        policy = greedy_policy(gain - theta * price, request_key, tie_key)
    return policy


@dataclass
class PolicyValue:
    """Exact value of a policy: expected sums over requests, divided once.

    >>> value = PolicyValue().update([1.0, 0.0, 1.0], [3.0, 9.0, 1.0], [1.0, 2.0, 1.0])
    >>> value.roi, value.roas, value.profit, value.requests
    (1.0, 2.0, 2.0, 2.0)

    Attributes:
        requests: how many requests were decided (the sum of the policy's probabilities).
        revenue: expected revenue, currency units.
        cost: expected cost, currency units.
    """

    requests: float = 0.0
    revenue: float = 0.0
    cost: float = 0.0

    def update(self, policy: npt.ArrayLike, revenue: npt.ArrayLike, cost: npt.ArrayLike) -> "PolicyValue":
        """Add the candidates of whole requests: policy in [0, 1], true expected revenue and cost >= 0, shape (n,)."""
        chosen = as_probabilities("policy", policy)
        gain, price = as_not_negative("revenue", revenue), as_not_negative("cost", cost)
        require_same_length(policy=chosen, revenue=gain, cost=price)
        self.requests += float(chosen.sum())
        self.revenue += float(chosen @ gain)
        self.cost += float(chosen @ price)
        return self

    def merge(self, other: "PolicyValue") -> "PolicyValue":
        """Add the sums of another worker, which saw other requests."""
        self.requests += other.requests
        self.revenue += other.revenue
        self.cost += other.cost
        return self

    @property
    def profit(self) -> float:
        """Revenue minus cost, currency units."""
        return self.revenue - self.cost

    @property
    def roas(self) -> float | None:
        """Revenue over cost; None when nothing was spent."""
        return self.revenue / self.cost if self.cost else None

    @property
    def roi(self) -> float | None:
        """(Revenue - cost)/cost of the sums, never a mean of ratios; None when nothing was spent."""
        return self.profit / self.cost if self.cost else None

    def compute(self) -> dict[str, float | int | None]:
        """Return requests, revenue, cost, profit, roi and roas."""
        return {
            "requests": round(self.requests),
            "revenue": self.revenue,
            "cost": self.cost,
            "profit": self.profit,
            "roi": self.roi,
            "roas": self.roas,
        }


def roi_gain(roas: float | None, reference_roas: float | None) -> float | None:
    """Return the paper's ROI Gain, 100·ROAS/ROAS(reference); 100 is as good as Wide & Deep. None when undefined.

    >>> roi_gain(2.4, 2.0)
    120.0
    """
    return 100 * roas / reference_roas if roas is not None and reference_roas else None


def revenue_index(revenue: float, reference_revenue: float) -> float | None:
    """Return revenue over the reference's (Wide & Deep's) revenue; None when the reference earned nothing.

    >>> revenue_index(3.0, 2.0)
    1.5
    """
    return revenue / reference_revenue if reference_revenue else None


def covered_share(policy: float | None, random: float | None, oracle: float | None) -> float | None:
    """Return the share of the distance from the random to the oracle policy that a policy covers; None if undefined.

    >>> covered_share(1.5, 1.0, 2.0)
    0.5
    """
    if policy is None or random is None or oracle is None or oracle == random:
        return None
    return (policy - random) / (oracle - random)
