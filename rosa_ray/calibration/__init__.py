"""Calibration: monotone corrections that make predicted probabilities and values match what happened.

Fitted on the validation period (`fit_calibration` of `CalibrationSums`), kept in the model bundle, applied wherever
scores are made. NumPy and scikit-learn only.
"""

from rosa_ray.calibration.calibration import Calibration, correct_sampling
from rosa_ray.calibration.config import CalibrationConfig
from rosa_ray.calibration.curve import Curve
from rosa_ray.calibration.fit import fit_calibration, fit_curve
from rosa_ray.calibration.returns import Returns, fit_level
from rosa_ray.calibration.sums import CalibrationSums, HeadSums, ValueSums

__all__ = [
    "Calibration",
    "CalibrationConfig",
    "CalibrationSums",
    "Curve",
    "HeadSums",
    "Returns",
    "ValueSums",
    "correct_sampling",
    "fit_calibration",
    "fit_curve",
    "fit_level",
]
