"""What ranking by return needs beside calibrated scores: the level of candidates, and the price of money.

A model is calibrated on ads that were shown. A former policy chose them, and what it saw of users the model does not
see: candidates are worse. Under a ratio a common factor moves no ad, under profit it does.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rosa_ray.calibration.curve import Curve, sigmoid
from rosa_ray.calibration.sums import HeadSums


@dataclass(frozen=True)
class Returns:
    """Numbers of `rosa_ray.metrics.Ranking`.

    Attributes:
        theta: what one unit of cost has to bring under `dual`, >= 0.
        level: what the expected revenue of candidates is multiplied by, > 0.
        requests: of the validation period that theta was read from; 0 where they had no candidates, and theta is 1.
        clicks: that the level rests on, as many as their weights are worth; 0 without propensities, and it is 1.

    Raises:
        ValueError: a number is out of range.
    """

    theta: float = 1.0
    level: float = 1.0
    requests: int = 0
    clicks: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.theta) and self.theta >= 0):
            raise ValueError(f"theta is {self.theta}; it must be finite and 0 or more")
        if not (math.isfinite(self.level) and self.level > 0):
            raise ValueError(f"level is {self.level}; it must be finite and above 0")

    def to_dict(self) -> dict[str, float | int]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Returns":
        """Inverse of `to_dict`.

        Raises:
            KeyError: one is missing.
            ValueError: a number is out of range.
        """
        theta, level, clicks = (float(document[name]) for name in ("theta", "level", "clicks"))
        return cls(theta, level, int(document["requests"]), clicks)


def fit_level(candidates: HeadSums, curve: Curve, prior_positives: float) -> tuple[float, float]:
    """Return the level of candidates, and the clicks that it rests on.

    The clicks of shown rows that stand for the candidates they were drawn from, over as many as were predicted. The
    prior counts as that many clicks predicted exactly.

    Args:
        candidates: raw click scores, each row as often as 1 / propensity.
        curve: of the click head, which turns raw scores into calibrated ones.

    >>> import numpy as np
    >>> sums = HeadSums().update(np.full(100, 0.5), np.repeat([1, 0], [25, 75]))
    >>> level, clicks = fit_level(sums, Curve(), 25.0)
    >>> round(level, 3), clicks
    (0.667, 25.0)
    """
    x, rows, positives = candidates.effective().table()
    clicks, predicted = float(positives.sum()), float(rows @ sigmoid(curve.logits(x))) if len(x) else 0.0
    if not clicks or not predicted:
        return 1.0, 0.0
    return (clicks + prior_positives) / (predicted + prior_positives), clicks
