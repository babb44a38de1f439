"""What a ranking earns at equal budget: requests are served best score first until the money is spent.

Two policies that show one ad in every request spend different sums, so their ROI compares unlike volumes. Here each
request offers its top ad, and requests are taken in order of that score; at a budget the last one is served in part, so
that policies are compared at exactly the same cost. A threshold serves all requests whose top score reaches it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats
from rosa_ray.metrics.checks import as_amounts, as_keys, as_not_negative, require_same_length
from rosa_ray.metrics.value import greedy_policy

BUDGET_FRACTIONS = (0.01, 0.02, *(round(0.05 * step, 2) for step in range(1, 21)))
"""Budgets at which curves are read, as fractions of what random choice spends on all requests."""

SERVED_SHARES = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Shares of requests whose thresholds are read."""


@dataclass(frozen=True)
class ServingCurve:
    """Requests in the order they are served, R of them.

    Attributes:
        score: top score of each request, falling, (R,).
        revenue: expected revenue of all requests up to and with this one, currency units, (R,).
        cost: likewise expected cost.
    """

    score: Floats
    revenue: Floats
    cost: Floats

    def at_budgets(self, budgets: npt.ArrayLike) -> list[dict[str, float | None]]:
        """Return budget, requests, revenue, cost and roi for each budget (currency units, >= 0).

        A budget that outlasts the requests is not spent: cost says what was.

        >>> curve = serving_curve([3.0, 1.0], [6.0, 2.0], [2.0, 2.0], [1, 2], [1, 2])
        >>> curve.at_budgets([3.0])
        [{'budget': 3.0, 'requests': 1.5, 'revenue': 7.0, 'cost': 3.0, 'roi': 1.3333333333333335}]
        """
        wanted = as_not_negative("budgets", budgets)
        revenue, cost = (np.append(0.0, total) for total in (self.revenue, self.cost))
        whole = np.searchsorted(self.cost, wanted, side="right")
        following = np.minimum(whole + 1, self.cost.size)
        room = cost[following] - cost[whole]
        part = np.divide(wanted - cost[whole], room, out=np.zeros(wanted.size), where=room > 0)
        earned = revenue[whole] + part * (revenue[following] - revenue[whole])
        return [
            {"budget": float(budget), **_row(requests, gained, spent)}
            for budget, requests, gained, spent in zip(
                wanted, whole + part, earned, np.minimum(wanted, cost[-1]), strict=True
            )
        ]

    def at_thresholds(self, thresholds: npt.ArrayLike) -> list[dict[str, float | None]]:
        """Return threshold, share of requests, requests, revenue, cost and roi of serving top scores >= threshold.

        >>> curve = serving_curve([3.0, 1.0], [6.0, 2.0], [2.0, 2.0], [1, 2], [1, 2])
        >>> [(row["share"], row["roi"]) for row in curve.at_thresholds([1.0, 2.0, 4.0])]
        [(1.0, 1.0), (0.5, 2.0), (0.0, None)]
        """
        levels = as_amounts("thresholds", thresholds)
        served = np.searchsorted(-self.score, -levels, side="right")
        revenue, cost = (np.append(0.0, total)[served] for total in (self.revenue, self.cost))
        return [
            {"threshold": float(level), "share": float(count) / max(self.score.size, 1), **_row(count, gained, spent)}
            for level, count, gained, spent in zip(levels, served, revenue, cost, strict=True)
        ]

    def thresholds(self, shares: Sequence[float] = SERVED_SHARES) -> Floats:
        """The scores that serve the given shares of requests, in (0, 1]; equal scores are served together."""
        size = self.score.size
        return self.score[[max(int(np.ceil(share * size)) - 1, 0) for share in shares]] if size else self.score


def serving_curve(
    scores: npt.ArrayLike,
    revenue: npt.ArrayLike,
    cost: npt.ArrayLike,
    request_key: npt.ArrayLike,
    tie_key: npt.ArrayLike,
) -> ServingCurve:
    """Return the curve of a ranking: what its scores choose and order, at the value the choice truly has.

    Args:
        scores: finite, of every candidate, (n,).
        revenue: true expected revenue of each candidate, >= 0, (n,).
        cost: true expected cost, >= 0, (n,).
        request_key: integer request of each candidate, (n,).
        tie_key: integers unique within a request; of equal scores the smallest key comes first.
    """
    s, requests, ties = as_amounts("scores", scores), as_keys("request_key", request_key), as_keys("tie_key", tie_key)
    gain, price = as_not_negative("revenue", revenue), as_not_negative("cost", cost)
    require_same_length(scores=s, revenue=gain, cost=price, request_key=requests, tie_key=ties)
    top = np.flatnonzero(greedy_policy(s, requests, ties))
    top = top[np.lexsort((requests[top], ties[top], -s[top]))]
    return ServingCurve(score=s[top], revenue=np.cumsum(gain[top]), cost=np.cumsum(price[top]))


def random_at_budgets(requests: float, revenue: float, cost: float, budgets: npt.ArrayLike) -> list[dict[str, Any]]:
    """Rows as of `ServingCurve.at_budgets` for random ads in requests taken in random order: a straight line.

    Args:
        requests: all there are.
        revenue: of a random ad in each of them, summed, currency units.
        cost: likewise.

    >>> random_at_budgets(4, 6.0, 2.0, [1.0])
    [{'budget': 1.0, 'requests': 2.0, 'revenue': 3.0, 'cost': 1.0, 'roi': 2.0}]
    """
    rows = []
    for budget in as_not_negative("budgets", budgets):
        share = min(float(budget) / cost, 1.0) if cost else 1.0
        rows.append({"budget": float(budget), **_row(share * requests, share * revenue, share * cost)})
    return rows


def _row(requests: float, revenue: float, cost: float) -> dict[str, float | None]:
    roi = float(revenue) / float(cost) - 1 if cost else None
    return {"requests": float(requests), "revenue": float(revenue), "cost": float(cost), "roi": roi}
