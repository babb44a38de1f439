"""The level of candidates and theta of a calibrated model, from the validation period alone; see `Returns`."""

from collections.abc import Iterable

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.calibration import Calibration, CalibrationConfig, CalibrationSums, Returns, fit_level
from rosa_ray.evaluation.predictions import calibrated_columns
from rosa_ray.metrics import Frontier

MOST_CANDIDATES = 200_000
"""Candidates that theta is read from, at most: one number needs no more."""


def fit_returns(
    calibration: Calibration, sums: CalibrationSums, candidates: Iterable[Columns], config: CalibrationConfig
) -> Returns:
    """Return what ranking by `dual` needs.

    Args:
        sums: those that the calibration was fitted on.
        candidates: raw scores of the validation period's candidates, whole requests, part by part; no more parts are
            asked for once there are `MOST_CANDIDATES`. Labels are not read.
    """
    level, clicks = fit_level(sums.candidate_ctr, calibration.ctr, config.prior_positives)
    frontier, seen = Frontier(), 0
    for raw in candidates:
        rows = calibrated_columns(raw, calibration)
        if not np.isfinite(rows["expected_cost"]).all():
            break  # the log has no costs, so nothing has a price
        revenue = level * rows["p_ctr"] * rows["p_cvr"] * rows["value"]
        frontier.update(revenue, rows["expected_cost"], rows["request_key"], rows["impression_key"])
        seen += len(revenue)
        if seen >= MOST_CANDIDATES:
            break
    return Returns(frontier.theta(config.profit_kept), level, frontier.requests, clicks)
