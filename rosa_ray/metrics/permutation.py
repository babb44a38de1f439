"""What a statistic loses when an input is permuted, over several permutations, with an interval.

Two things are left to chance: which users the sample holds, and how the input happened to be permuted. A replicate
draws both anew, users and repeats, each with replacement. Before and after the permutation see the same draw.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.bootstrap import BootstrapConfig, Interval, Statistic
from rosa_ray.metrics.checks import as_amounts, as_keys, as_weights, require_same_length


@dataclass(frozen=True, eq=False)
class Draws:
    """B draws of users and of repeats; before them the sample itself, in which each counts once.

    Attributes:
        users: uint16 (B + 1, U), how often each user was drawn.
        repeats: float64 (B + 1, R), the share of each repeat.
        level: two-sided coverage of intervals.
    """

    users: npt.NDArray[np.uint16]
    repeats: Floats
    level: float

    @classmethod
    def of(cls, users: int, repeats: int, config: BootstrapConfig) -> "Draws":
        """Draw; equal counts and settings give equal draws."""
        rng = np.random.default_rng([config.seed, 1])
        drawn = np.ones((config.replicates + 1, users), np.uint16)
        shares = np.full((config.replicates + 1, repeats), 1 / repeats)
        for at in range(1, config.replicates + 1):
            drawn[at] = np.bincount(rng.integers(0, users, users), minlength=users)
            shares[at] = np.bincount(rng.integers(0, repeats, repeats), minlength=repeats) / repeats
        return cls(drawn, shares, config.level)

    def values(self, statistic: Statistic) -> Floats:
        """A statistic in the sample and in every draw, (B + 1,), NaN where it is undefined."""
        found = (statistic(drawn.astype(np.int64)) for drawn in self.users)
        return np.array([np.nan if value is None else value for value in found])

    def change(self, before: Floats, after: Floats) -> Interval | None:
        """How much larger a statistic is after the permutations than before, with its interval.

        Args:
            before: from `values`, (B + 1,).
            after: those of each repeat, (R, B + 1).

        >>> draws = Draws.of(2, 1, BootstrapConfig(replicates=20))
        >>> draws.change(np.zeros(21), np.full((1, 21), 0.5)).estimate
        0.5
        """
        differences = np.einsum("br,rb->b", self.repeats, after - before)
        defined = differences[1:][np.isfinite(differences[1:])]
        if not np.isfinite(differences[0]) or not len(defined):
            return None
        tail = (1 - self.level) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return Interval(float(differences[0]), float(low), float(high), self.level, len(defined))


def mean_statistic(
    values: npt.ArrayLike, user_key: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[Statistic, int]:
    """Return the mean of n values as a statistic of drawn users, and the number of users; a row stands for `weights`.

    >>> mean, users = mean_statistic([1.0, 2.0, 6.0], [7, 7, 9])
    >>> mean(np.array([1, 1])), mean(np.array([0, 2])), users
    (3.0, 6.0, 2)
    """
    amounts, keys = as_amounts("values", values), as_keys("user_key", user_key)
    require_same_length(values=amounts, user_key=keys)
    w = as_weights(weights, amounts.size)
    users, user = np.unique(keys, return_inverse=True)
    of_user = np.bincount(user, weights=w * amounts, minlength=users.size)
    weight_of_user = np.bincount(user, weights=w, minlength=users.size)

    def statistic(drawn: Ints) -> float | None:
        weight = float(drawn @ weight_of_user)
        return float(drawn @ of_user) / weight if weight else None

    return statistic, users.size
