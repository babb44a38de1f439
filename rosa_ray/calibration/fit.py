"""Fits a calibration on the sums of the validation period.

Every fit starts from "the model is right" and leaves it as far as the data carries: shift and slope of the logit have a
normal prior at 0 and 1. The precision of the shift is `prior_positives`, since a positive of a rare event carries one
unit of information about it. A few dozen conversions then move a head a little, thousands move it all the way. The
slope gets `slope_caution` times that: a shift leaves the order of the ads nearly as it is, a slope weighs one head
against the other and against the cost, so a slope read off a few hundred noisy labels costs return.
"""

import numpy as np

from rosa_ray.arrays import Floats
from rosa_ray.calibration.calibration import Calibration
from rosa_ray.calibration.config import CalibrationConfig
from rosa_ray.calibration.curve import Curve, logit, sigmoid
from rosa_ray.calibration.sums import VALUE_WEIGHTS, CalibrationSums, HeadSums, ValueSums
from rosa_ray.calibration.value import fit_value_weight
from rosa_ray.words import one_class_reason

MIN_SLOPE = 0.1
"""Least rise of a calibrated logit per logit, so that a flat stretch neither inverts a ranking nor makes ties."""

MAX_KNOTS = 20
_NEWTON_STEPS = 50
_TOLERANCE = 1e-10


def fit_calibration(sums: CalibrationSums, config: CalibrationConfig) -> Calibration:
    """Return the calibration of a model's raw scores.

    Args:
        sums: of the validation period.
    """
    if config.method == "none":
        return Calibration()
    ctr, cvr = _population(sums, config)
    weight = 1.0 if config.value == "learned" else fit_value_weight(sums.value.moments, config.prior_positives)
    weight = _nearest(VALUE_WEIGHTS, weight)
    return Calibration(
        ctr=fit_curve(ctr, config, days=sums.days),
        cvr=fit_curve(cvr, config, config.cvr_slope, sums.days),
        value_weight=weight,
        value_factor=fit_value_factor(sums.value, config.prior_positives, weight),
        conversions=sums.value.conversions,
        fallbacks=_fallbacks(sums) | _population_fallback(sums, config),
    )


def _population(sums: CalibrationSums, config: CalibrationConfig) -> tuple[HeadSums, HeadSums]:
    """Rows of the two probability heads that stand for the ads the probabilities are to be right for."""
    if config.population == "shown" or not sums.candidate_ctr.total_rows:
        return sums.ctr, sums.cvr
    return sums.candidate_ctr.effective(), sums.candidate_cvr.effective()


def _population_fallback(sums: CalibrationSums, config: CalibrationConfig) -> dict[str, str]:
    lacking = config.population == "candidates" and not sums.candidate_ctr.total_rows
    return {"population": "no propensity in the validation period"} if lacking else {}


def _fallbacks(sums: CalibrationSums) -> dict[str, str]:
    """Parts that keep the raw score, each with the reason."""
    value = sums.value
    reasons = {
        "ctr": one_class_reason(sums.ctr.total_rows, sums.ctr.total_positives, "impression", "click"),
        "cvr": one_class_reason(sums.cvr.total_rows, sums.cvr.total_positives, "click", "conversion"),
        "value": None if value.observed > 0 else "no revenue" if value.conversions else "no conversion",
    }
    return {part: f"{reason} in the validation period" for part, reason in reasons.items() if reason}


def fit_curve(sums: HeadSums, config: CalibrationConfig, slope: float = 1.0, days: float = 1.0) -> Curve:
    """Return the curve of one head; the identity where only one class was seen.

    Args:
        slope: of the line before any evidence: 1 is the model, 0 its mean rate for all.
        days: that the sums are of; matter where `day_spread` is above 0.

    >>> p = np.full(4000, 0.5)
    >>> curve = fit_curve(HeadSums().update(p, np.arange(4000) % 4 == 0), CalibrationConfig(prior_positives=0))
    >>> curve(p[:1]).round(6).tolist()
    [0.25]
    """
    positives, rows = sums.total_positives, sums.total_rows
    if not 0 < positives < rows:
        return Curve(rows=rows, positives=positives)
    prior = config.prior_positives
    level_prior = prior * luck_of_days(positives, config.day_spread, days)
    platt = fit_platt(sums, prior, config.slope_caution, slope, level_prior)
    enough = config.isotonic_positives if config.method == "auto" else 2 * config.knot_positives
    if config.method == "platt" or positives < enough:
        return platt
    return fit_isotonic(sums, platt, config, level_prior)


def luck_of_days(positives: float, day_spread: float, days: float) -> float:
    """Return how many times more prior a level needs, as days differ: `1 + positives · day_spread² / days`.

    The log of a level seen on some days varies by 1 / positives, and by day_spread² / days as the days were what they
    were. Both together weigh `positives / (1 + positives · day_spread² / days)` against the prior: as much as all
    positives against so many times the prior.

    >>> luck_of_days(300, 0.0, 1.0), luck_of_days(300, 0.1, 1.5)
    (1.0, 3.0)
    """
    return round(1.0 + positives * day_spread**2 / days, 12)


def level_error(positives: float, day_spread: float, days: float) -> float:
    """Return the standard error of the log level of a day to come, as some days before tell it.

    Args:
        positives: of the days before.

    >>> round(level_error(400, 0.1, 2.0), 3)
    0.132
    """
    return float(np.sqrt(1 / max(positives, 1.0) + day_spread**2 * (1 + 1 / days)))


def fit_platt(
    sums: HeadSums,
    prior_positives: float,
    caution: float = CalibrationConfig.slope_caution,
    slope: float = 1.0,
    level_prior: float | None = None,
) -> Curve:
    """Return the line through the logits that is most likely a posteriori (Platt 1999, with a prior on both numbers).

    The slope turns about the information-weighted mean logit, so that it and the shift are nearly independent.

    Args:
        caution: how many times more evidence the slope needs than the shift.
        slope: of the line before any evidence. Its level is that of the raw scores.
        level_prior: of the shift alone, in positives; None is `prior_positives`.
    """
    x, rows, positives = sums.table()
    prior = np.array([prior_positives if level_prior is None else level_prior, prior_positives * caution])
    centre = float(np.average(x, weights=rows * _information(x)))
    start = x if slope == 1.0 else _flattened(x, rows, centre, slope)
    shift, tilt = _newton(np.stack([np.ones_like(x), x - centre], 1), start, rows, positives, prior)
    if slope + tilt < MIN_SLOPE:
        tilt = MIN_SLOPE - slope
        shift = float(_newton(np.ones((len(x), 1)), start + tilt * (x - centre), rows, positives, prior[:1])[0])
    ends = np.unique(x[[0, -1]])
    return _curve(ends, np.interp(ends, x, start) + shift + tilt * (ends - centre), "platt", sums)


def _flattened(x: Floats, rows: Floats, centre: float, slope: float) -> Floats:
    """Logits with another slope and the same mean probability."""
    flat = centre + slope * (x - centre)
    level = _newton(np.ones((len(x), 1)), flat, rows, rows * sigmoid(x), np.zeros(1))
    return flat + float(level[0])


def fit_isotonic(sums: HeadSums, platt: Curve, config: CalibrationConfig, level_prior: float) -> Curve:
    """Return isotonic regression through bins of equal positives, made strictly rising (Zadrozny & Elkan 2002).

    A bin's rate is shrunk to that of Platt's line; bins that violate the order are pooled; knots stand at the centres
    of the pools with lines between them, where plain isotonic regression has plateaus. Last, a shift restores the mean.
    """
    from sklearn.isotonic import isotonic_regression

    x, rows, positives = sums.table()
    count = min(MAX_KNOTS, int(sums.total_positives // config.knot_positives))
    share = (np.cumsum(positives) - positives / 2) / sums.total_positives
    _, bin_of = np.unique((share * count).astype(np.int64), return_inverse=True)
    columns = (rows, positives, rows * sigmoid(x), rows * sigmoid(platt.logits(x)))
    n, seen, raw, expected = (np.bincount(bin_of, column) for column in columns)
    prior = config.prior_positives
    rate = (seen + prior) / (expected + prior) * expected / n
    _, pool_of = np.unique(isotonic_regression(rate, sample_weight=n), return_inverse=True)
    n_pool, raw_pool, rate_pool = (np.bincount(pool_of, column) for column in (n, raw, rate * n))
    knots, calibrated = logit(raw_pool / n_pool), logit(np.minimum(rate_pool / n_pool, 1 - 1e-9))
    curve = _curve(knots, _at_least_min_slope(knots, calibrated), "isotonic", sums)
    shift = _newton(np.ones((len(x), 1)), curve.logits(x), rows, positives, np.array([level_prior]))
    return curve.shifted(float(shift[0]))


def fit_value_factor(sums: ValueSums, prior_conversions: float, weight: float = 1.0) -> float:
    """Return what predicted values must be multiplied by to add up to the revenue, shrunk to 1.

    The prior counts as that many average conversions predicted exactly. 1 without conversions or revenue.

    Args:
        weight: of `VALUE_WEIGHTS`, which the learned factor of the value has.

    >>> fit_value_factor(ValueSums(conversions=30, predicted=300.0, observed=600.0), 10)
    1.75
    """
    predicted = sums.predicted if weight == 1.0 else float(sums.at_weights[weight == VALUE_WEIGHTS][0])
    if not (sums.conversions and predicted > 0 and sums.observed > 0):
        return 1.0
    prior = prior_conversions * predicted / sums.conversions
    return (sums.observed + prior) / (predicted + prior)


def _nearest(grid: Floats, value: float) -> float:
    return float(grid[np.abs(grid - value).argmin()])


def _newton(design: Floats, offset: Floats, rows: Floats, positives: Floats, precision: Floats) -> Floats:
    """Logistic regression with an offset and a normal prior at 0 of some precision per coefficient, on grouped rows."""
    theta = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        logits = offset + design @ theta
        gradient = design.T @ (positives - rows * sigmoid(logits)) - precision * theta
        weight = rows * _information(logits)
        hessian = (design * weight[:, None]).T @ design + np.diag(precision + 1e-9)
        step = np.linalg.solve(hessian, gradient)
        step /= max(1.0, float(np.abs(step).max()))
        theta = theta + step
        if np.abs(step).max() < _TOLERANCE:
            break
    return theta


def _information(logits: Floats) -> Floats:
    p = sigmoid(logits)
    return np.maximum(p * (1 - p), 1e-12)


def _at_least_min_slope(x: Floats, y: Floats) -> Floats:
    """Raise knots where the line from the one before is too flat.

    >>> _at_least_min_slope(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0])).tolist()
    [0.0, 0.1, 1.0]
    """
    return np.maximum.accumulate(y - MIN_SLOPE * x) + MIN_SLOPE * x


def _curve(x: Floats, y: Floats, method: str, sums: HeadSums) -> Curve:
    return Curve(tuple(x.tolist()), tuple(y.tolist()), method, sums.total_rows, sums.total_positives)
