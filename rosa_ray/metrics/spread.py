"""Spread of probabilities among ads that compete: are the high ones too high and the low ones too low?

Calibration of the level cannot see it: a model may be right on average and too sure of the order within each request.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.checks import as_keys, as_labels, as_probabilities, as_weights, require_same_length

LEAST, MOST = 0.1, 3.0
"""Bounds of the exponent; beyond them the data says no more than which end it is."""
_FLOOR = 1e-12
_STEPS = 50


@dataclass(frozen=True)
class Spread:
    """What power probabilities should be raised to, so that they differ within a group as outcomes do.

    Attributes:
        exponent: below 1 they are too spread, above 1 too flat; 1 where nothing can be said.
        standard_error: None where nothing can be said.
        clicks: positives in groups of several rows, which alone say something.
    """

    exponent: float
    standard_error: float | None
    clicks: float


def fit_spread(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    group_key: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
) -> Spread:
    """Return the most likely exponent: a conditional logit of which row of its group a click fell on (McFadden 1974).

    How many clicks a group has is given, so the level decides nothing.

    Args:
        probabilities, labels: of each row, (n,).
        group_key: of the rows that compete, such as a request or a user, (n,).
        weights: how many rows each stands for, above 0, (n,); None is 1.

    >>> p, group = np.tile([0.1, 0.4], 100), np.repeat(np.arange(100), 2)
    >>> clicks = np.tile([0, 1], 100)
    >>> clicks[:66] = np.tile([1, 0], 33)
    >>> round(fit_spread(p, clicks, group).exponent, 2)
    0.51
    """
    p, y, groups = (
        as_probabilities("probabilities", probabilities),
        as_labels("labels", labels),
        as_keys("group_key", group_key),
    )
    require_same_length(probabilities=p, labels=y, group_key=groups)
    w, x = as_weights(weights, y.size), np.log(np.maximum(p, _FLOOR))
    _, group = np.unique(groups, return_inverse=True)
    clicks = np.bincount(group, w * y)
    told = float(clicks[_varied(group, x)].sum()) if x.size else 0.0
    if not told:
        return Spread(1.0, None, 0.0)
    k, information = 1.0, 0.0
    for _ in range(_STEPS):
        mean, variance = _moments(group, w, x, k)
        gradient = float((w * y) @ (x - mean[group]))
        information = float(clicks @ variance)
        step = gradient / information if information > _FLOOR else 0.0
        before, k = k, min(max(k + min(max(step, -0.5), 0.5), LEAST), MOST)
        if abs(k - before) < 1e-9:
            break
    return Spread(k, 1 / sqrt(information) if information > _FLOOR else None, told)


def respread(probabilities: npt.ArrayLike, group_key: npt.ArrayLike, exponent: float) -> Floats:
    """Return probabilities raised to a power and scaled so that each group keeps its sum, at most 1, (n,).

    >>> respread([0.04, 0.16], [7, 7], 0.5).round(4).tolist()
    [0.0667, 0.1333]
    """
    p, groups = as_probabilities("probabilities", probabilities), as_keys("group_key", group_key)
    require_same_length(probabilities=p, group_key=groups)
    _, group = np.unique(groups, return_inverse=True)
    raised = np.maximum(p, _FLOOR) ** exponent
    factor = np.bincount(group, p) / np.bincount(group, raised) if p.size else p
    bounded: Floats = np.minimum(raised * factor[group], 1.0)
    return bounded


def _varied(group: Ints, x: Floats) -> npt.NDArray[np.bool_]:
    """Which groups hold different values."""
    most, least = (np.full(group.max() + 1, end) for end in (-np.inf, np.inf))
    np.maximum.at(most, group, x)
    np.minimum.at(least, group, x)
    varied: npt.NDArray[np.bool_] = most > least
    return varied


def _mean(group: Ints, weights: Floats, x: Floats) -> Floats:
    mean: Floats = np.bincount(group, weights * x) / np.bincount(group, weights)
    return mean


def _moments(group: Ints, weights: Floats, x: Floats, k: float) -> tuple[Floats, Floats]:
    """Mean and variance of x in each group, each row weighted by its probability to the power k."""
    tilted = weights * np.exp(k * (x - x.max()))
    mean = _mean(group, tilted, x)
    return mean, _mean(group, tilted, (x - mean[group]) ** 2)
