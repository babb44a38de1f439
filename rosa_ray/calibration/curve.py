"""A strictly rising piecewise-linear map from logit to calibrated logit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats

LOGIT_EPS = 1e-15
"""Probabilities are kept this far from 0 and 1 before the logit is taken."""


def logit(probabilities: npt.ArrayLike) -> Floats:
    """Return log(p / (1 - p)), finite also at 0 and 1.

    >>> logit([0.5]).tolist()
    [0.0]
    """
    p = np.clip(np.asarray(probabilities, np.float64), LOGIT_EPS, 1 - LOGIT_EPS)
    return np.log(p) - np.log1p(-p)


def sigmoid(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)), without overflow.

    >>> sigmoid(np.array([0.0, -1e9])).tolist()
    [0.5, 0.0]
    """
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


@dataclass(frozen=True)
class Curve:
    """Calibration of one probability head.

    Between knots the map is linear, beyond the first and the last it goes on with slope 1, a plain shift. It rises
    everywhere, so it never inverts a ranking and never makes ties. No knots is the identity.

    >>> Curve((-2.0, 0.0), (-3.0, 0.0)).logits(np.array([-4.0, -1.0, 1.0])).tolist()
    [-5.0, -1.5, 1.0]

    Attributes:
        logit: logits of the raw probability at the knots, rising.
        calibrated_logit: what they become, rising.
        method: how it was fitted: `isotonic`, `platt` or `identity`.
        rows, positives: what it was fitted on.

    Raises:
        ValueError: the knots differ in number, or do not rise strictly.
    """

    logit: tuple[float, ...] = ()
    calibrated_logit: tuple[float, ...] = ()
    method: str = "identity"
    rows: float = 0.0
    positives: float = 0.0

    def __post_init__(self) -> None:
        if len(self.logit) != len(self.calibrated_logit):
            raise ValueError(f"{len(self.logit)} logits but {len(self.calibrated_logit)} calibrated logits")
        for name in ("logit", "calibrated_logit"):
            knots = np.asarray(getattr(self, name), np.float64)
            if not (np.isfinite(knots).all() and (np.diff(knots) > 0).all()):
                raise ValueError(f"knots '{name}' are not finite and strictly rising")

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.logit == self.calibrated_logit

    def logits(self, logits: Floats) -> Floats:
        """Return calibrated logits."""
        if self.is_identity:
            return logits
        x, y = np.asarray(self.logit), np.asarray(self.calibrated_logit)
        beyond = np.minimum(logits - x[0], 0.0) + np.maximum(logits - x[-1], 0.0)
        return np.interp(logits, x, y) + beyond

    def __call__(self, probabilities: Floats) -> Floats:
        """Return calibrated probabilities, in [0, 1]."""
        return probabilities if self.is_identity else sigmoid(self.logits(logit(probabilities)))

    def shifted(self, shift: float) -> "Curve":
        """Return the curve raised by a number of logits."""
        raised = tuple(knot + shift for knot in self.calibrated_logit)
        return Curve(self.logit, raised, self.method, self.rows, self.positives)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "method": self.method,
            "rows": self.rows,
            "positives": self.positives,
            "logit": list(self.logit),
            "calibrated_logit": list(self.calibrated_logit),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Curve":
        """Inverse of `to_dict`.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        return cls(
            logit=tuple(map(float, document["logit"])),
            calibrated_logit=tuple(map(float, document["calibrated_logit"])),
            method=str(document["method"]),
            rows=float(document["rows"]),
            positives=float(document["positives"]),
        )
