"""What a policy decides on: the candidates of one request with their expectations, and what steps made of them.

Shape legend: N candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from rosa_ray.arrays import Floats, Ints


@dataclass(frozen=True)
class Slate:
    """Candidates of one request. Steps return a changed copy; no array is changed in place.

    Attributes:
        time_us: of the request, microseconds UTC.
        request_key, user_key: hashes of the ids.
        ad_key, campaign_key, category_key: int64 (N,).
        p_ctr, p_cvr: calibrated probabilities, float64 (N,).
        revenue: expected of one impression at its level, currency units, float64 (N,).
        cost: expected of one impression, currency units, float64 (N,), >= 0.
        score: what the request is ranked by, float64 (N,); higher is better.
        per_revenue: what a unit of revenue adds to the score: 1, and 1,000 where it is of a thousand impressions.
        shown: bool (N,), False for what a step took out; a request without any True shows nothing.
        propensity: chance that each candidate takes the first place, float64 (N,), summing to 1, or to 0 where nothing
            is shown; None as long as no step draws: then it is 1 for the best.
        said: by name of a step, why it did what it did; plain values.
        drawn: row of the candidate that a draw put first, whatever its score; -1 where none did.
        impressions: of each ad so far, whoever saw them, float64 (N,); None where nobody counted.
        clusters: how much the user belongs to each of K clusters of users, float64 (K,), summing to 1; None is one.
        audience: keys of the groups that the user belongs to, by what tells them apart: `device` or `region`; those
            that nobody knows are left out.
    """

    time_us: int
    request_key: int
    user_key: int
    ad_key: Ints
    campaign_key: Ints
    category_key: Ints
    p_ctr: Floats
    p_cvr: Floats
    revenue: Floats
    cost: Floats
    score: Floats
    shown: np.ndarray
    propensity: Floats | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    drawn: int = -1
    impressions: Floats | None = None
    clusters: Floats | None = None
    audience: Mapping[str, int] = field(default_factory=dict)
    per_revenue: float = 1.0

    def with_score(self, score: Floats, step: str, why: Any = None) -> "Slate":
        """The same with another score, and what the step says of it."""
        return replace(self, score=score, said=self._said(step, why))

    def without(self, dropped: np.ndarray, step: str, why: Any = None) -> "Slate":
        """The same without some candidates, bool (N,); nothing is said where none was dropped."""
        if not (self.shown & dropped).any():
            return self
        return replace(self, shown=self.shown & ~dropped, said=self._said(step, why))

    @cached_property
    def order(self) -> Ints:
        """Rows of the shown candidates by falling score, int64 (M,). A drawn one is first, wherever it stands.

        Of equal scores the smallest ad key is first.
        """
        order = np.lexsort((self.ad_key, -self.score))
        found: Ints = order[self.shown[order]]
        if self.drawn < 0 or not self.shown[self.drawn]:
            return found
        return np.concatenate([[self.drawn], found[found != self.drawn]])

    @property
    def first_propensity(self) -> float:
        """Chance that the first candidate of `order` was chosen for its place; 0 where nothing is shown."""
        order = self.order
        if not order.size:
            return 0.0
        return 1.0 if self.propensity is None else float(self.propensity[order[0]])

    def _said(self, step: str, why: Any) -> Mapping[str, Any]:
        return self.said if why is None else {**self.said, step: why}


class Step(Protocol):
    """One rule of a policy. It is told of what was shown and spent, and decides on slates."""

    def apply(self, slate: Slate) -> Slate:
        """The slate as the step leaves it. Nothing may depend on anything but the slate, the state and the seed."""
        ...

    def answered(self, slate: Slate, now_us: int) -> None:
        """Count a request that all steps have decided on, before anybody knows what of it was shown; most do not.

        Args:
            now_us: when it was answered, microseconds UTC.
        """

    def tell(self, shown: "Shown") -> None:
        """Fold impressions that happened into the state; equal folds in any order give equal states."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """The state as plain values and arrays."""
        ...

    def merge(self, snapshot: Mapping[str, Any]) -> None:
        """Add what another process was told of other impressions."""
        ...


class Stateless:
    """The part of a step that remembers nothing: what is told changes nothing, and there is nothing to merge."""

    def answered(self, slate: Slate, now_us: int) -> None:
        """What was answered changes nothing."""

    def tell(self, shown: "Shown") -> None:
        """What was shown changes nothing."""

    def snapshot(self) -> dict[str, Any]:
        """There is no state."""
        return {}

    def merge(self, snapshot: Mapping[str, Any]) -> None:
        """There is no state."""


@runtime_checkable
class LearnsWithinADay(Protocol):
    """A step that corrects the model by what came after its training."""

    def retrained(self) -> None:
        """Forget what was told: a model that learned from it scores from now on."""
        ...


@dataclass(frozen=True)
class Shown:
    """Impressions that happened, n of them.

    Attributes:
        time_us, user_key, ad_key, campaign_key: int64 (n,).
        cost: what each cost, currency units, float64 (n,).
        revenue: what each brought so far, currency units, float64 (n,).
        click: bool (n,).
        impression: bool (n,), False of a row that adds cost, revenue or a click to an impression told before; None
            where all rows are impressions.
        p_ctr: chance of a click that was expected of the impression, float64 (n,); None, or NaN, where nobody knows.
        clusters: of the users, as of `Slate`, float64 (n, K); None is one.
    """

    time_us: Ints
    user_key: Ints
    ad_key: Ints
    campaign_key: Ints
    cost: Floats
    revenue: Floats
    click: np.ndarray
    impression: np.ndarray | None = None
    p_ctr: Floats | None = None
    clusters: Floats | None = None


def decide(steps: Sequence[Step], slate: Slate, now_us: int) -> Slate:
    """Apply steps as `run_chain` does, and tell each of the outcome."""
    slate = run_chain(steps, slate)
    for step in steps:
        step.answered(slate, now_us)
    return slate


def run_chain(steps: Sequence[Step], slate: Slate) -> Slate:
    """Apply steps one after another; once nothing is left to show, no further one is asked."""
    for step in steps:
        if not slate.shown.any():
            return slate
        slate = step.apply(slate)
    return slate
