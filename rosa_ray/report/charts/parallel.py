"""Parallel coordinates: a vertical axis per quantity, a line per trial through what it has on each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rosa_ray.report.charts.axes import Axis
from rosa_ray.report.charts.frame import WIDTH, line, path, text
from rosa_ray.report.charts.lines import Series, legend
from rosa_ray.report.markup import Markup, tag

_TOP, _BOTTOM, _SIDE, _HEIGHT = 52, 22, 30, 308
_ROW = 15


@dataclass(frozen=True)
class Thread:
    """One line across all axes.

    Attributes:
        label: of its group, in the legend.
        hint: shown where a pointer rests on it.
        places: 0 (bottom) to 1 (top) on each axis, None where it has no value.
        style: 1 … 8, or 0 for the many others.
    """

    label: str
    hint: str
    places: Sequence[float | None]
    style: int


def parallel_chart(description: str, axes: Sequence[Axis], threads: Sequence[Thread]) -> Markup:
    """Return an SVG and its legend; threads are drawn in order, the last on top.

    Args:
        axes: their labels stand above in two rows, the first and last tick at their ends.
    """
    x = np.linspace(_SIDE, WIDTH - _SIDE, len(axes))
    marks = [_axis(float(at), axis, index) for index, (at, axis) in enumerate(zip(x, axes, strict=True))]
    lines = [_thread(x, thread) for thread in threads]
    drawing = tag(
        "svg",
        marks,
        lines,
        viewBox=f"0 0 {WIDTH} {_HEIGHT}",
        role="img",
        aria_label=description,
        class_="chart",
    )
    groups: Mapping[str, int] = {thread.label: thread.style for thread in threads}
    return Markup("").join([drawing, legend([Series(label, [], [], style) for label, style in groups.items()])])


def _axis(x: float, axis: Axis, index: int) -> list[Markup]:
    low, high = axis.ticks[0][1], axis.ticks[-1][1]
    return [
        line(x, _TOP, x, _HEIGHT - _BOTTOM, "axis"),
        text(x, 12 + _ROW * (index % 2), axis.label, "middle", "label"),
        text(x, _TOP - 6, high, "middle"),
        text(x, _HEIGHT - _BOTTOM + 15, low, "middle"),
    ]


def _thread(x: np.ndarray, thread: Thread) -> Markup:
    known = np.array([place is not None for place in thread.places])
    up = np.array([place if place is not None else 0.0 for place in thread.places])[known]
    drawn = path(x[known], _HEIGHT - _BOTTOM - up * (_HEIGHT - _BOTTOM - _TOP), f"line s{thread.style}")
    return tag("g", tag("title", thread.hint), drawn)
