"""What a policy of the arena is, and those that need no budget.

A policy chooses a candidate of every request, or none. `fit` and `tell` do nothing until a policy overrides them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rosa_ray.arena.slates import NONE, Slates
from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.scores import Ranking
from rosa_ray.policy.slate import LearnsWithinADay, Shown, Slate, Step, decide
from rosa_ray.simulation.auction import choose as draw
from rosa_ray.units import DAY_US

Choose = Callable[[Slates], Ints]


@dataclass(frozen=True)
class Known:
    """What policies are told before their first day.

    Attributes:
        start_us: first instant of it, microseconds UTC, a midnight.
        budget_M: what each campaign may spend a day, currency units; infinite without budgets.
        true_day_before: the requests of the day before with what is true of them.
        true_requests: those of all days to come, as far as they follow from the base policy; None where no policy of
            the run needs them.
        estimate: what the policy knows of requests.
    """

    start_us: int
    budget_M: Floats
    true_day_before: Slates
    true_requests: Slates | None = None
    estimate: Callable[[Slates], Slates] = lambda slates: slates

    @cached_property
    def day_before(self) -> Slates:
        """The requests of the day before, as the policy estimates them."""
        return self.estimate(self.true_day_before)

    @cached_property
    def all_requests(self) -> Slates | None:
        """Those of all days to come, in the same way. Only a reference in hindsight may read them."""
        return None if self.true_requests is None else self.estimate(self.true_requests)

    def day_of(self, time_us: Ints) -> Ints:
        """Number of the day, from 0."""
        return (time_us - self.start_us) // DAY_US


class Policy(ABC):
    """Chooses what requests show.

    Attributes:
        reads_estimates: whether it looks at what candidates are expected to bring.
        reads_clusters: whether it looks at clusters of users; else all are in one. Asked after `fit`.
    """

    reads_estimates: bool = True
    reads_clusters: bool = False

    def fit(self, known: Known) -> None:  # noqa: B027
        """Learn from what is known before the first day."""

    @abstractmethod
    def choose(self, slates: Slates) -> Ints:
        """The candidate of each request, -1 for none; int64 (n,). One that may not be shown is not shown."""

    def tell(self, shown: Shown) -> None:  # noqa: B027
        """Take in the impressions that followed from a choice."""

    def retrained(self) -> None:  # noqa: B027
        """Go on with estimates of a model that has learned from all that was told so far."""


class Called(Policy):
    """A function as a policy."""

    def __init__(self, function: Choose) -> None:
        self.function = function

    def choose(self, slates: Slates) -> Ints:
        """What the function says."""
        return self.function(slates)


def as_policy(policy: Policy | Choose) -> Policy:
    """The policy itself, or one that asks a function `choose(slates)`.

    >>> as_policy(lambda slates: np.zeros(len(slates), int)).__class__.__name__
    'Called'
    """
    return policy if isinstance(policy, Policy) else Called(policy)


class Logging(Policy):
    """The logging policy of the simulator, over the candidates that may be shown."""

    reads_estimates = False

    def choose(self, slates: Slates) -> Ints:
        """Draw by the propensities."""
        return _drawn(slates.propensity_NK, slates)


class Random(Policy):
    """Every candidate that may be shown is as likely as the others."""

    reads_estimates = False

    def choose(self, slates: Slates) -> Ints:
        """Draw evenly."""
        return _drawn(np.ones(slates.ad_NK.shape), slates)


class Nothing(Policy):
    """Shows nothing."""

    reads_estimates = False

    def choose(self, slates: Slates) -> Ints:
        """None for each."""
        return np.full(len(slates), NONE)


class Ranked(Policy):
    """The candidate with the highest score, whatever it is."""

    def __init__(self, ranking: Ranking) -> None:
        self.ranking = ranking

    def choose(self, slates: Slates) -> Ints:
        """The best of each request."""
        return slates.best(scores(self.ranking, slates))


class Chain(Policy):
    """Steps of `rosa_ray.policy` on one request after another, in the order of time.

    Args:
        steps: applied to slates whose score is `ranking`'s; or a function that makes them of what is known before the
            first day.
        noted: takes each slate as the steps left it, with the number of its request.

    Attributes:
        made_of: `steps` as they were given.
    """

    def __init__(
        self,
        steps: Sequence[Step] | Callable[[Known], Sequence[Step]],
        ranking: Ranking | None = None,
        noted: Callable[[int, Slate], object] | None = None,
    ) -> None:
        self.made_of, self._noted = steps, noted
        self.steps: list[Step] = [] if callable(steps) else list(steps)
        self.ranking = ranking or Ranking("profit")

    def fit(self, known: Known) -> None:
        """Make the steps."""
        if callable(self.made_of):
            self.steps = list(self.made_of(known))
        self.reads_clusters = any(isinstance(step, LearnsWithinADay) for step in self.steps)

    def choose(self, slates: Slates) -> Ints:
        """The first of what the steps leave."""
        score_NK = scores(self.ranking, slates)
        chosen = np.full(len(slates), NONE)
        for n in np.argsort(slates.time_us, kind="stable"):
            slate = decide(
                self.steps,
                replace(slates.single(int(n)), score=score_NK[n], per_revenue=self.ranking.per_revenue),
                int(slates.time_us[n]),
            )
            if self._noted is not None:
                self._noted(int(slates.request[n]), slate)
            order = slate.order
            if order.size:
                chosen[n] = order[0]
        return chosen

    def tell(self, shown: Shown) -> None:
        """Tell every step."""
        for step in self.steps:
            step.tell(shown)

    def retrained(self) -> None:
        """Tell every step that learns within a day."""
        for step in self.steps:
            if isinstance(step, LearnsWithinADay):
                step.retrained()


def scores(ranking: Ranking, slates: Slates) -> Floats:
    """Score of each candidate, (n, k)."""
    shape = slates.ad_NK.shape
    return ranking.of_revenue(slates.revenue_NK.ravel(), slates.cost_NK.ravel()).reshape(shape)


def _drawn(weight_NK: Floats, slates: Slates) -> Ints:
    weight_NK = weight_NK * slates.shown_NK
    return np.where(slates.shown_NK.any(axis=1), draw(weight_NK, slates.uniform), NONE)
