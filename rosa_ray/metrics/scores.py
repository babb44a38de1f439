"""What ads are ranked by: kinds of scores, and the one that a log can teach.

A score compares what an ad is expected to earn with what it costs. The ratio of both is the paper's. The best sum of
profits, or of revenue over cost, is not reached by the best ratio of each request: `dual` is what reaches it, with one
number, theta, between profit and return (Dinkelbach 1967).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy.typing as npt

from rosa_ray.arrays import Floats
from rosa_ray.metrics.checks import as_not_negative, as_probabilities, require_same_length

ScoreKind = Literal["roi", "profit", "dual", "roas", "ecpm", "ctr"]
SCORE_KINDS: tuple[ScoreKind, ...] = get_args(ScoreKind)

ScoreChoice = Literal["auto", "roi", "profit", "dual", "roas", "ecpm", "ctr"]
"""A score, or `auto`: the one that the log can teach, see `chosen_score`."""

ECPM = 1000.0
"""Impressions that `ecpm` counts the revenue of."""

_PER_COST = ("roi", "roas", "profit", "dual")


@dataclass(frozen=True)
class Ranking:
    """A score with its numbers.

    Attributes:
        kind: `roi` (revenue - cost)/cost, `profit` revenue - cost, `dual` revenue - theta·cost, `roas` revenue/cost,
            `ecpm` 1000·revenue, `ctr` the click probability, where revenue = p_ctr·p_cvr·value per impression.
        theta: what one unit of cost has to bring, >= 0; of `dual` alone. 1 is profit, 0 is revenue.
        level: what the expected revenue of candidates is multiplied by, > 0. A model that is right for shown ads
            promises too much for ads that compete.

    >>> Ranking("dual", theta=2.0, level=0.5).of_revenue([8.0], [1.5]).tolist()
    [1.0]
    """

    kind: ScoreKind = "roi"
    theta: float = 1.0
    level: float = 1.0

    def score(self, p_ctr: npt.ArrayLike, p_cvr: npt.ArrayLike, value: npt.ArrayLike, cost: npt.ArrayLike) -> Floats:
        """Return the score of each candidate (Ni, Li, Zhang 2026, E[ROI]), shape (n,).

        Args:
            p_ctr: click probability, in [0, 1].
            p_cvr: conversion probability given a click, in [0, 1].
            value: expected value of one conversion, currency units, >= 0.
            cost: expected cost of one impression, currency units, > 0 for `roi` and `roas`.

        Raises:
            ValueError: an unknown kind, a value that is not finite or out of range, or a cost of 0 under a ratio.

        >>> Ranking("roi").score([0.25], [0.5], [16.0], [0.5]).tolist()
        [3.0]
        """
        clicks, conversions = as_probabilities("p_ctr", p_ctr), as_probabilities("p_cvr", p_cvr)
        values = as_not_negative("value", value)
        require_same_length(p_ctr=clicks, p_cvr=conversions, value=values)
        if self.kind == "ctr":
            return clicks
        return self.of_revenue(clicks * conversions * values, cost)

    @property
    def per_revenue(self) -> float:
        """What a unit of expected revenue adds to a score in money; 1 of the others."""
        return ECPM if self.kind == "ecpm" else 1.0

    def of_revenue(self, revenue: npt.ArrayLike, cost: npt.ArrayLike) -> Floats:
        """Return the score of candidates whose expected revenue per impression is known; see `score`.

        Nothing is known of clicks: `ctr` goes by the revenue, as `ecpm` does.

        >>> Ranking("profit").of_revenue([2.0], [0.5]).tolist()
        [1.5]
        """
        if self.kind not in SCORE_KINDS:
            raise ValueError(f"score kind '{self.kind}' is unknown; choose one of {', '.join(SCORE_KINDS)}")
        gain, price = as_not_negative("revenue", revenue) * self.level, as_not_negative("cost", cost)
        require_same_length(revenue=gain, cost=price)
        if self.kind in ("profit", "dual"):
            return gain - (self.theta if self.kind == "dual" else 1.0) * price
        if self.kind in ("ecpm", "ctr"):
            return ECPM * gain
        if not price.all():
            raise ValueError(f"score kind '{self.kind}' divides by cost, which is 0 in {int((price == 0).sum())} rows")
        return (gain - price) / price if self.kind == "roi" else gain / price

    @classmethod
    def told(cls, figures: Mapping[str, Any]) -> "Ranking":
        """The score that figures of `evaluate_policy` were ranked by; those of before have no numbers."""
        return cls(figures["score_kind"], figures.get("score_theta", 1.0), figures.get("score_level", 1.0))

    @property
    def of_truth(self) -> "Ranking":
        """The same score for expectations that are true, which need no level."""
        return Ranking(self.kind, self.theta)


def chosen_score(choice: ScoreChoice, totals: Mapping[str, float]) -> ScoreKind:
    """Return the score to rank by on a log with given totals of its training period.

    `auto` is `dual` where the log has costs and revenue, `ecpm` where it has revenue alone, and `ctr` where it has
    none.

    Args:
        totals: revenue and cost, currency units.

    Raises:
        ValueError: the score needs costs or revenue, and the log has none.

    >>> chosen_score("auto", {"revenue": 5.0, "cost": 0.0})
    'ecpm'
    """
    earns, costs = totals["revenue"] > 0, totals["cost"] > 0
    best: ScoreKind = "dual" if earns and costs else "ecpm" if earns else "ctr"
    if choice == "auto":
        return best
    lacks = "revenue" if choice != "ctr" and not earns else "costs" if choice in _PER_COST and not costs else ""
    if lacks:
        raise ValueError(f"'{choice}' needs {lacks}, and the log has none; give {best} or auto")
    return choice
