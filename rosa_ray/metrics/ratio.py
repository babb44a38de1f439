"""A ratio of sums over independent clusters (users), with its interval by the delta method.

Means per request, self-normalised means and ROI are all one sum over another. The rows of a user are not independent,
so the variance is taken over users: with residuals e_u = a_u - r·b_u, Var(r) = U/(U - 1) · Σ e_u² / (Σ b_u)²
(linearisation; Cochran 1977, Sampling Techniques, sections 6.3 and 9A).

Revenue is a few large amounts among many zeros. Then r ± 1.96·se misses too often: the variance is itself estimated
from those few, and a low estimate comes with a low error. `log_t` mends both: the log scale, and Student's quantile at
the degrees of freedom that the residuals' fourth moment leaves, 2·(Σe²)²/Σe⁴ (after Satterthwaite 1946).
"""

from dataclasses import dataclass
from math import exp, sqrt
from statistics import NormalDist
from typing import Literal, get_args

import numpy.typing as npt

from rosa_ray.arrays import Floats
from rosa_ray.metrics.checks import as_amounts, require_same_length

IntervalMethod = Literal["log_t", "log", "normal"]


@dataclass(frozen=True)
class Ratio:
    """An estimate, its standard error and its two-sided interval.

    Attributes:
        standard_error: None with fewer than two clusters.
        low, high: None where there is no standard error, or where the numerator is 0 in every cluster: that nothing
            was seen says how little was looked at, not that the ratio is exactly 0.
    """

    estimate: float
    standard_error: float | None
    low: float | None
    high: float | None

    def shifted(self, by: float) -> "Ratio":
        """The same with a constant added: ROI is ROAS - 1.

        >>> Ratio(2.0, 0.5, 1.25, 3.0).shifted(-1)
        Ratio(estimate=1.0, standard_error=0.5, low=0.25, high=2.0)
        """
        low, high = (None if end is None else end + by for end in (self.low, self.high))
        return Ratio(self.estimate + by, self.standard_error, low, high)


def ratio_of_sums(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike, level: float = 0.95, method: IntervalMethod = "log_t"
) -> Ratio | None:
    """Return Σnumerator/Σdenominator over clusters; None when the denominator sums to 0.

    Args:
        numerator: one sum per cluster, shape (U,).
        denominator: likewise.
        level: two-sided coverage, in (0, 1).
        method: `normal` is r ± z·se, `log` is r·exp(±z·se/r), `log_t` the same with Student's t for z; where r <= 0
            there is no log, and the last two are r ± z·se and r ± t·se.

    >>> ratio_of_sums([1.0, 3.0], [1.0, 1.0], method="normal", level=0.5).estimate
    2.0
    """
    a, b = as_amounts("numerator", numerator), as_amounts("denominator", denominator)
    require_same_length(numerator=a, denominator=b)
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    if method not in get_args(IntervalMethod):
        raise ValueError(f"method '{method}' is unknown; choose one of {', '.join(get_args(IntervalMethod))}")
    total = float(b.sum())
    if total == 0:
        return None
    estimate, clusters = float(a.sum()) / total, a.size
    if clusters < 2:
        return Ratio(estimate, None, None, None)
    residual = a - estimate * b
    error = sqrt(float(residual @ residual) * clusters / (clusters - 1)) / abs(total)
    if not a.any():
        return Ratio(estimate, error, None, None)
    reach = error * _quantile(residual, level, method)
    if method == "normal" or estimate <= 0:
        return Ratio(estimate, error, estimate - reach, estimate + reach)
    factor = exp(min(reach / estimate, 700.0))
    return Ratio(estimate, error, estimate / factor, estimate * factor)


def student_quantile(level: float, degrees: float) -> float:
    """Two-sided quantile of Student's t, by its series in 1/degrees (Abramowitz & Stegun 1964, 26.7.5).

    Within 1 % for degrees >= 2 at levels up to 0.95.

    >>> round(student_quantile(0.95, 10.0), 3)
    2.228
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, start=1))


def _quantile(residual: Floats, level: float, method: IntervalMethod) -> float:
    squares = residual**2
    fourth = float(squares @ squares)
    if method != "log_t" or fourth == 0:
        return NormalDist().inv_cdf((1 + level) / 2)
    return student_quantile(level, 2 * float(squares.sum()) ** 2 / fourth)
