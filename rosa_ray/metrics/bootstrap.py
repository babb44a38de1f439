"""Intervals by bootstrap over users: rows of one user are not independent, so users are drawn, not rows.

A statistic takes how often each user was drawn, shape (users,), and returns a number. Rows are sorted and grouped once;
a replicate only reweights them. For the interval of a difference between two models, subtract two statistics of the
same rows: both see the same draw, so the interval is paired.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt

from rosa_ray.arrays import Ints
from rosa_ray.metrics.checks import as_amounts, as_keys, as_labels, as_not_negative, as_weights, require_same_length
from rosa_ray.settings import section

Statistic = Callable[[Ints], float | None]


@section("bootstrap")
class BootstrapConfig:
    """How intervals are drawn."""

    replicates: Annotated[int, Ge(1)] = 500
    """Bootstrap samples."""
    level: Annotated[float, Gt(0), Lt(1)] = 0.95
    """Two-sided coverage."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the draws. Equal seeds give equal intervals."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its percentile interval.

    Attributes:
        replicates: samples in which the statistic was defined.
    """

    estimate: float
    low: float
    high: float
    level: float
    replicates: int


def interval(statistic: Statistic, users: int, config: BootstrapConfig) -> Interval | None:
    """Return the percentile bootstrap interval of a statistic over `users` users; None when it is undefined.

    >>> share = lambda drawn: float(drawn[:50].sum() / drawn.sum())
    >>> drawn = interval(share, 100, BootstrapConfig(replicates=200))
    >>> drawn.estimate, 0.35 < drawn.low < 0.45, 0.55 < drawn.high < 0.65
    (0.5, True, True)
    """
    estimate = statistic(np.ones(users, np.int64)) if users else None
    if estimate is None:
        return None
    rng = np.random.default_rng(config.seed)
    draws = (np.bincount(rng.integers(0, users, users), minlength=users) for _ in range(config.replicates))
    values = [value for value in map(statistic, draws) if value is not None]
    if not values:
        return None
    tail = (1 - config.level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), config.level, len(values))


def auc_statistic(
    scores: npt.ArrayLike, labels: npt.ArrayLike, user_key: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[Statistic, int]:
    """Return the exact AUC as a statistic of drawn users, and the number of users. All arrays have shape (n,).

    A row stands for `weights` rows, 1 by default.

    A positive row wins against the negatives below it and half of those level with it; where these lie in the sorted
    negatives is found once, so a draw costs one cumulative sum.
    """
    s, y, keys = as_amounts("scores", scores), as_labels("labels", labels), as_keys("user_key", user_key)
    require_same_length(scores=s, labels=y, user_key=keys)
    users, user = np.unique(keys, return_inverse=True)
    positive = y == 1
    order = np.argsort(s[~positive])
    negatives, user_of_negative = s[~positive][order], user[~positive][order]
    below, not_above = (np.searchsorted(negatives, s[positive], side) for side in ("left", "right"))
    user_of_positive = user[positive]
    w = as_weights(weights, y.size)
    of_positive, of_negative = w[positive], w[~positive][order]

    def statistic(drawn: Ints) -> float | None:
        won = drawn[user_of_positive] * of_positive
        passed = np.append(0.0, np.cumsum(drawn[user_of_negative] * of_negative))
        pairs = float(won.sum()) * float(passed[-1])
        twice_wins = won @ (passed[below] + passed[not_above])
        return float(twice_wins) / (2 * pairs) if pairs else None

    return statistic, users.size


def gap_statistic(one: Statistic, other: Statistic) -> Statistic:
    """Return the first less the second, of the same draw; None where either is.

    >>> gap_statistic(lambda drawn: 3.0, lambda drawn: 1.0)(np.ones(2))
    2.0
    """

    def gap(drawn: np.ndarray) -> float | None:
        above, below = one(drawn), other(drawn)
        return None if above is None or below is None else above - below

    return gap


def ratio_statistic(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike, user_key: npt.ArrayLike
) -> tuple[Statistic, int]:
    """Return Σnumerator/Σdenominator as a statistic of drawn users, and the number of users. Arrays are (n,), >= 0."""
    above, below = as_not_negative("numerator", numerator), as_not_negative("denominator", denominator)
    keys = as_keys("user_key", user_key)
    require_same_length(numerator=above, denominator=below, user_key=keys)
    users, user = np.unique(keys, return_inverse=True)
    above_of_user, below_of_user = (np.bincount(user, sums, users.size) for sums in (above, below))

    def statistic(drawn: Ints) -> float | None:
        total = float(drawn @ below_of_user)
        return float(drawn @ above_of_user) / total if total else None

    return statistic, users.size


def roi_statistic(
    policy: npt.ArrayLike, revenue: npt.ArrayLike, cost: npt.ArrayLike, user_key: npt.ArrayLike
) -> tuple[Statistic, int]:
    """Return a policy's ROI, (Σrevenue - Σcost)/Σcost, as a statistic of drawn users, and the number of users."""
    chosen, keys = as_not_negative("policy", policy), as_keys("user_key", user_key)
    gain, price = as_not_negative("revenue", revenue), as_not_negative("cost", cost)
    require_same_length(policy=chosen, revenue=gain, cost=price, user_key=keys)
    ratio, users = ratio_statistic(chosen * gain, chosen * price, keys)

    def statistic(drawn: Ints) -> float | None:
        roas = ratio(drawn)
        return roas - 1 if roas is not None else None

    return statistic, users


def auc_interval(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    user_key: npt.ArrayLike,
    config: BootstrapConfig,
    weights: npt.ArrayLike | None = None,
) -> Interval | None:
    """Return the AUC with its interval over users; None when a class is absent."""
    statistic, users = auc_statistic(scores, labels, user_key, weights)
    return interval(statistic, users, config)


def pcoc_interval(
    predicted: npt.ArrayLike,
    observed: npt.ArrayLike,
    user_key: npt.ArrayLike,
    config: BootstrapConfig,
    weights: npt.ArrayLike | None = None,
) -> Interval | None:
    """Return predicted over observed with its interval over users, see `Pcoc`; None when nothing was observed.

    Args:
        predicted, observed: probabilities and labels, or amounts, each >= 0, (n,).
        weights: how many rows each stands for, above 0, (n,); None is 1.

    >>> found = pcoc_interval([0.5, 0.5], [0, 1], [7, 8], BootstrapConfig(replicates=50))
    >>> found.estimate, found.low
    (1.0, 0.5)
    """
    p, y = as_not_negative("predicted", predicted), as_not_negative("observed", observed)
    require_same_length(predicted=p, observed=y)
    w = as_weights(weights, y.size)
    statistic, users = ratio_statistic(w * p, w * y, user_key)
    return interval(statistic, users, config)


def roi_interval(
    policy: npt.ArrayLike,
    revenue: npt.ArrayLike,
    cost: npt.ArrayLike,
    user_key: npt.ArrayLike,
    config: BootstrapConfig,
) -> Interval | None:
    """Return a policy's ROI with its interval over users; None when nothing was spent."""
    statistic, users = roi_statistic(policy, revenue, cost, user_key)
    return interval(statistic, users, config)
