"""Charts as inline SVG whose colours come from the page's style sheet, so they follow light, dark and print.

A chart is at most `WIDTH` wide, so that its text stays readable on a phone. Nothing here knows what is drawn.
"""

from rosa_ray.report.charts.axes import Axis, linear_axis, log_axis, sqrt_axis
from rosa_ray.report.charts.frame import WIDTH
from rosa_ray.report.charts.lines import GuideLine, Series, legend, line_chart
from rosa_ray.report.charts.parallel import Thread, parallel_chart
from rosa_ray.report.charts.rows import Row, row_chart

__all__ = [
    "WIDTH",
    "Axis",
    "GuideLine",
    "Row",
    "Series",
    "Thread",
    "legend",
    "line_chart",
    "linear_axis",
    "log_axis",
    "parallel_chart",
    "row_chart",
    "sqrt_axis",
]
