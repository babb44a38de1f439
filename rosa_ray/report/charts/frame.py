"""What every chart shares: the SVG element, the plot area, grid, ticks and axis labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats
from rosa_ray.report.charts.axes import Axis
from rosa_ray.report.markup import Child, Markup, tag

WIDTH = 460
_TICK_GAP = 8


@dataclass(frozen=True)
class Frame:
    """A plot area inside an SVG of `WIDTH` by `height` units, which are CSS pixels at full size."""

    x: Axis
    y: Axis | None
    height: int = 308
    left: int = 52
    right: int = 16
    top: int = 26
    bottom: int = 46

    def across(self, values: npt.ArrayLike) -> Floats:
        """Horizontal positions of values."""
        return self.left + self.x.place(values) * (WIDTH - self.left - self.right)

    def up(self, values: npt.ArrayLike) -> Floats:
        """Vertical positions of values; SVG counts from the top."""
        assert self.y is not None, "this frame has rows, not a vertical axis"
        return self.floor - self.y.place(values) * (self.floor - self.top)

    @property
    def floor(self) -> int:
        """Vertical position of the horizontal axis."""
        return self.height - self.bottom

    def draw(self, description: str, *marks: Child) -> Markup:
        """Return the SVG: axes first, marks on top."""
        return tag(
            "svg",
            self._horizontal(),
            self._vertical(),
            marks,
            viewBox=f"0 0 {WIDTH} {self.height}",
            role="img",
            aria_label=description,
            class_="chart",
        )

    def _horizontal(self) -> list[Markup]:
        middle = (self.left + WIDTH - self.right) / 2
        at = self.across([value for value, _ in self.x.ticks])
        return [
            *(line(x, self.top, x, self.floor, "grid") for x in at),
            line(self.left, self.floor, WIDTH - self.right, self.floor, "axis"),
            *(text(x, self.floor + 16, word, "middle") for x, (_, word) in zip(at, self.x.ticks, strict=True)),
            text(middle, self.height - 8, self.x.label, "middle", "label"),
        ]

    def _vertical(self) -> list[Markup]:
        if self.y is None:
            return []
        at = self.up([value for value, _ in self.y.ticks])
        return [
            *(line(self.left, y, WIDTH - self.right, y, "grid") for y in at),
            *(text(self.left - _TICK_GAP, y + 4, word, "end") for y, (_, word) in zip(at, self.y.ticks, strict=True)),
            text(0, 12, self.y.label, "start", "label"),
        ]


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return tag("line", x1=short(x1), y1=short(y1), x2=short(x2), y2=short(y2), class_=class_)


def text(x: float, y: float, words: str, anchor: str, class_: str = "tick") -> Markup:
    """Return a line of text; `anchor` is `start`, `middle` or `end`."""
    return tag("text", words, x=short(x), y=short(y), text_anchor=anchor, class_=class_)


def path(x: Floats, y: Floats, class_: str, closed: bool = False) -> Markup:
    """Return a line through points, or the area they enclose."""
    points = "L".join(f"{short(a)} {short(b)}" for a, b in zip(x, y, strict=True))
    return tag("path", d=f"M{points}{'Z' if closed else ''}", class_=class_)


def dot(x: float, y: float, class_: str, words: str, radius: float = 3.5) -> Markup:
    """Return a round mark; `words` show where a pointer rests on it."""
    return tag("circle", tag("title", words), cx=short(x), cy=short(y), r=radius, class_=class_)


def short(value: float) -> str:
    """Return a coordinate to a tenth of a pixel.

    >>> short(12.04), short(3.26)
    ('12', '3.3')
    """
    return f"{np.round(value, 1) + 0.0:.1f}".removesuffix(".0")
