"""How far a learned value may leave the catalogue price.

The value head gives `price · exp(l)`. Few conversions teach it noise, and a ranking by return chases noise. So the
factor gets a weight: `price · exp(w · l)`, with w in [0, 1] fitted on the conversions of the validation period.
"""

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats

LEAST_AMOUNT = 1e-9
"""Currency units that prices are raised to before the logarithm, as the value head does."""

LEAST_SPREAD = 0.05
"""Spread of log revenue that is assumed at least: 5 %."""


ROUNDING = 1e-12
"""Variance of the learned factor's log that is no variance, but rounding of its sums."""


def log_over(amount: npt.ArrayLike, price: npt.ArrayLike) -> Floats:
    """Return the log of an amount over the catalogue price.

    >>> log_over([20.0], [20.0]).tolist()
    [0.0]
    """
    over: Floats = np.log(_positive(amount)) - np.log(_positive(price))
    return over


def weigh_value(value: Floats, price: Floats, weight: float) -> Floats:
    """Return `price · (value / price)^weight`: the price at 0, the value at 1.

    >>> weigh_value(np.array([80.0]), np.array([20.0]), 0.5).round(9).tolist()
    [40.0]
    """
    if weight == 1.0:
        return value
    return price * np.exp(weight * log_over(value, price))


def fit_value_weight(moments: Floats, prior_conversions: float) -> float:
    """Return the weight of the learned factor, most likely a posteriori: a linear regression of y on l.

    Log revenue is normal about the weighted log value (Gelman et al. 2013, §14.8). The weight has a normal prior at 0.
    A conversion whose factor is one spread of log revenue away from the mean factor carries one unit of information;
    the prior has `prior_conversions` units. So the factor stays off where conversions are few, where it hardly
    varies, and where revenue hardly follows it.

    Args:
        moments: see `ValueSums`.

    Returns:
        In [0, 1]; 0 without conversions.

    >>> l, y = np.array([-1.0, 1.0]), np.array([-0.5, 1.5])
    >>> sums = np.array([2, l.sum(), y.sum(), (l * l).sum(), (l * y).sum(), (y * y).sum()])
    >>> fit_value_weight(sums, 0.0), fit_value_weight(sums, 2.0)
    (1.0, 0.5)
    """
    number, learned, paid, learned_2, product, paid_2 = moments
    if number <= 0:
        return 0.0
    spread_2 = max((paid_2 - paid * paid / number) / number, LEAST_SPREAD**2)
    varied = learned_2 - learned * learned / number
    if varied <= ROUNDING * number:
        return 0.0
    along = product - learned * paid / number
    return float(np.clip(along / (varied + prior_conversions * spread_2), 0.0, 1.0))


def _positive(amount: npt.ArrayLike) -> Floats:
    return np.maximum(np.asarray(amount, np.float64), LEAST_AMOUNT)
