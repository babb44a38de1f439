"""One dot per row over a horizontal axis: gaps with intervals, lifts, half-lives."""

from collections.abc import Sequence
from dataclasses import dataclass

from rosa_ray.report.charts.axes import Axis
from rosa_ray.report.charts.frame import Frame, dot, line, text
from rosa_ray.report.markup import Markup

_TOP, _BOTTOM, _CHARACTER = 12, 46, 7.2
_FEW = 6


@dataclass(frozen=True)
class Row:
    """One row of a chart.

    Attributes:
        value: where the dot is.
        text: the value as the page writes it, for the pointer's hint.
        low, high: ends of its interval.
        reference: where a hollow mark is: a target, or where training began.
        style: 1 … 8, or 0, which is grey.
    """

    label: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    style: int = 1


def row_chart(description: str, axis: Axis, rows: Sequence[Row], zero: float | None = None) -> Markup:
    """Return an SVG with a dot per row, top to bottom, and a line at `zero` where one is given."""
    longest = max((len(row.label) for row in rows), default=0)
    pitch = 38 if len(rows) <= _FEW else 24
    height = _TOP + pitch * len(rows) + _BOTTOM
    frame = Frame(axis, None, height=height, left=min(int(16 + _CHARACTER * longest), 200), top=_TOP, bottom=_BOTTOM)
    marks = [_row(frame, row, _TOP + pitch * (index + 0.5)) for index, row in enumerate(rows)]
    origin = [] if zero is None else [line(*_upright(frame, zero), "rule")]
    return frame.draw(description, origin, marks)


def _upright(frame: Frame, value: float) -> tuple[float, float, float, float]:
    x = float(frame.across(value))
    return x, frame.top, x, frame.floor


def _row(frame: Frame, row: Row, y: float) -> list[Markup]:
    x = float(frame.across(row.value))
    marks = [text(frame.left - 10, y + 4, shorten(row.label), "end", "row")]
    if row.low is not None and row.high is not None:
        low, high = frame.across([row.low, row.high])
        marks.append(line(low, y, high, y, f"bar s{row.style}"))
    if row.reference is not None:
        marks.append(dot(float(frame.across(row.reference)), y, "hollow", f"{row.label}: reference", 5.5))
    return [*marks, dot(x, y, f"dot s{row.style}", f"{row.label}: {row.text}", 4.5)]


def shorten(label: str, most: int = 26) -> str:
    """Return a label that fits beside a chart.

    >>> shorten("a" * 30, 5)
    'aaaa…'
    """
    return label if len(label) <= most else f"{label[: most - 1]}…"
