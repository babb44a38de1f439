"""Axes: from values to positions, and ticks at round numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats
from rosa_ray.report.numbers import MINUS

Scale = Literal["linear", "log", "sqrt"]

_CLOSE_TO_END = 0.77
_TRANSFORMS: dict[Scale, Callable[[Floats], Floats]] = {"linear": np.asarray, "log": np.log10, "sqrt": np.sqrt}


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes:
        label: what is measured, with its unit.
        low, high: values at the ends.
        ticks: value and text of each tick.
        scale: `log` needs values > 0, `sqrt` values >= 0.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    scale: Scale = "linear"

    def place(self, values: npt.ArrayLike) -> Floats:
        """Return positions: 0 at `low`, 1 at `high`; values beyond stay at the ends.

        >>> Axis("hours", 1, 100, (), "log").place([1, 10, 1000]).tolist()
        [0.0, 0.5, 1.0]
        """
        transform = _TRANSFORMS[self.scale]
        low, high = (float(transform(np.array(end, np.float64))) for end in (self.low, self.high))
        inside = np.clip(np.asarray(values, np.float64), self.low, self.high)
        return (transform(inside) - low) / (high - low)


def linear_axis(
    label: str, *values: npt.ArrayLike, low: float | None = None, high: float | None = None, ticks: int = 5
) -> Axis:
    """Return an axis around all values, its ends at round numbers where they are not given.

    >>> linear_axis("n", [3, 41]).ticks
    ((0.0, '0'), (10.0, '10'), (20.0, '20'), (30.0, '30'), (40.0, '40'), (50.0, '50'))
    """
    bottom, top = _range(values)
    bottom, top = bottom if low is None else low, top if high is None else high
    if top <= bottom:
        bottom, top = bottom - (abs(bottom) or 1) / 2, bottom + (abs(bottom) or 1) / 2
    step = _round_step((top - bottom) / ticks)
    start = math.floor(bottom / step + 1e-9) if low is None else math.ceil(bottom / step - 1e-9)
    stop = math.ceil(top / step - 1e-9) if high is None else math.floor(top / step + 1e-9)
    marks = [step * index for index in range(start, stop + 1)]
    ends = (marks[0] if low is None else low), (marks[-1] if high is None else high)
    digits = next(digits for digits in range(20) if abs(step * 10**digits - round(step * 10**digits)) < 1e-6)
    return Axis(label, *ends, tuple((mark, _text(mark, digits)) for mark in marks))


def log_axis(label: str, *values: npt.ArrayLike) -> Axis:
    """Return a logarithmic axis around all values, which are above 0, with ticks at 1, 2 and 5 of every power of ten.

    >>> log_axis("ms", [3, 41]).ticks
    ((2.0, '2'), (5.0, '5'), (10.0, '10'), (20.0, '20'), (50.0, '50'))
    """
    bottom, top = _range(values)
    powers = range(math.floor(math.log10(bottom)), math.ceil(math.log10(top)) + 2)
    grid = [part * 10.0**power for power in powers for part in (1, 2, 5)]
    low = max(mark for mark in grid if mark <= bottom * (1 + 1e-9))
    high = min(mark for mark in grid if mark >= top * (1 - 1e-9) and mark > low)
    return Axis(label, low, high, tuple((mark, f"{mark:g}") for mark in grid if low <= mark <= high), "log")


def sqrt_axis(label: str, *values: npt.ArrayLike) -> Axis:
    """Return an axis from 0 on a square-root scale, which spreads small probabilities and still has a 0.

    >>> [text for _, text in sqrt_axis("p", [0.02, 0.28]).ticks]
    ['0', '0.01', '0.05', '0.1', '0.2', '0.3']
    """
    top = _range(values)[1] or 1.0
    power = 10.0 ** math.floor(math.log10(top))
    grid = [part * power for part in (0.1, 0.5, 1, 2, 3, 5, 7, 10)]
    high = next(mark for mark in grid if mark >= top * (1 - 1e-9))
    marks = [0.0, *(mark for mark in grid if mark <= _CLOSE_TO_END * high), high]
    return Axis(label, 0.0, high, tuple((mark, f"{mark:.2g}") for mark in marks), "sqrt")


def _range(values: tuple[npt.ArrayLike, ...]) -> tuple[float, float]:
    joined = np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in values]) if values else np.zeros(0)
    finite = joined[np.isfinite(joined)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(part for part in (1, 2, 2.5, 5, 10) if part * power >= rough * (1 - 1e-9))


def _text(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}".replace("-", MINUS) if abs(value) > 1e-12 else "0"
