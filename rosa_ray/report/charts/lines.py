"""Lines and points over two axes: curves with bands, reliability points with error bars, references."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rosa_ray.report.charts.axes import Axis
from rosa_ray.report.charts.frame import Frame, dot, line, path, text
from rosa_ray.report.markup import Markup, tag

STYLES = 8
"""Colours, each with its own dash pattern, in the style sheet: `s1` … `s8`. `s0` is grey, for references."""


@dataclass(frozen=True)
class Series:
    """One line or set of points.

    Attributes:
        x, y: shape (n,); a NaN breaks nothing, its point is left out.
        style: 1 … `STYLES`, or 0 for a reference.
        low, high: an interval around y, shape (n,), drawn as `spread`.
        mark: draw the points.
        joined: draw the line through the points.
    """

    label: str
    x: npt.ArrayLike
    y: npt.ArrayLike
    style: int
    low: npt.ArrayLike | None = None
    high: npt.ArrayLike | None = None
    spread: Literal["band", "bars"] = "band"
    mark: bool = False
    joined: bool = True


@dataclass(frozen=True)
class GuideLine:
    """A vertical line at a value of the horizontal axis, with a word beside it."""

    at: float
    label: str


def line_chart(
    description: str, x: Axis, y: Axis, series: Sequence[Series], guides: Sequence[GuideLine] = ()
) -> Markup:
    """Return an SVG and its legend.

    Args:
        description: what the chart shows, for those who cannot see it.
    """
    frame = Frame(x, y, top=38 if guides else 26)
    marks = (
        [_guide_line(frame, guide) for guide in guides],
        [_spread(frame, one) for one in series],
        [_line(frame, one) for one in series],
    )
    return Markup("").join([frame.draw(description, *marks), legend(series)])


def legend(series: Sequence[Series]) -> Markup:
    """Return the names of the series beside a sample of each; nothing for a single one."""
    if len(series) < 2:
        return Markup("")
    return tag("ul", [tag("li", _sample(one), one.label) for one in series], class_="legend")


def _sample(one: Series) -> Markup:
    parts = [line(1, 6, 25, 6, f"line s{one.style}") if one.joined else None]
    if one.mark:
        parts.append(tag("circle", cx=13, cy=6, r=3.5, class_=f"dot s{one.style}"))
    return tag("svg", parts, viewBox="0 0 26 12", width=26, height=12, aria_hidden="true")


def _guide_line(frame: Frame, guide: GuideLine) -> list[Markup]:
    x = float(frame.across(guide.at))
    share = float(frame.x.place(guide.at))
    anchor = "start" if share < 0.2 else "end" if share > 0.8 else "middle"
    return [line(x, frame.top, x, frame.floor, "rule"), text(x, frame.top - 6, guide.label, anchor)]


def _points(one: Series) -> tuple[np.ndarray, ...]:
    x, y = np.asarray(one.x, np.float64), np.asarray(one.y, np.float64)
    low = y if one.low is None else np.asarray(one.low, np.float64)
    high = y if one.high is None else np.asarray(one.high, np.float64)
    kept = np.isfinite(x) & np.isfinite(y)
    return x[kept], y[kept], np.where(np.isfinite(low), low, y)[kept], np.where(np.isfinite(high), high, y)[kept]


def _spread(frame: Frame, one: Series) -> list[Markup]:
    if one.low is None or one.high is None:
        return []
    x, _, low, high = _points(one)
    at, bottom, top = frame.across(x), frame.up(low), frame.up(high)
    if one.spread == "bars":
        return [line(*ends, f"bar s{one.style}") for ends in zip(at, bottom, at, top, strict=True)]
    return [path(np.r_[at, at[::-1]], np.r_[top, bottom[::-1]], f"band s{one.style}", closed=True)] if at.size else []


def _line(frame: Frame, one: Series) -> list[Markup]:
    x, y, *_ = _points(one)
    if not x.size:
        return []
    at, up = frame.across(x), frame.up(y)
    marks = [path(at, up, f"line s{one.style}")] if one.joined else []
    if one.mark:
        words = (f"{one.label}: {a:.4g}, {b:.4g}" for a, b in zip(x, y, strict=True))
        marks += [dot(a, b, f"dot s{one.style}", word) for a, b, word in zip(at, up, words, strict=True)]
    return marks
