"""Segments of the test period: who clicks more, and whether predictions hold in each."""

from typing import Any

import numpy as np

from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Row, linear_axis, row_chart
from rosa_ray.report.heads import wilson
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import is_number, number, plain
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Lift by segment", 50
_MOST = 12
_DIGITS = {"n": 0, "weight": 0, "clicks": 0, "conversions": 0}


def render(run: RunFiles) -> Child:
    """A chart and a table per kind of segment."""
    if run.metrics is None:
        return missing("Test metrics are", run.command("evaluate"))
    test = run.metrics["test"]
    kinds = {kind: _usable(found) for kind, found in (test.get("segments") or {}).items()}
    charts = [_segment(kind, found, test.get("ctr")) for kind, found in kinds.items() if found]
    if not charts:
        return missing("Figures by device, campaign and activity are", run.command("evaluate"))
    return figures(*charts)


def _usable(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, **row} for name, row in found.items() if row.get("n")]


def _segment(kind: str, found: list[dict[str, Any]], base: float | None) -> Markup:
    largest = sorted(found, key=lambda row: -row["n"])[:_MOST]
    shown = [row for row in found if row in largest and is_number(row.get("clicks"))] if base else []
    keys = [key for key in dict.fromkeys(key for row in found for key in row) if key != "name"]
    values = [[plain(row.get("name")), *(_cell(key, row.get(key)) for key in keys)] for row in found]
    more = f" The {_MOST} largest of {len(found)} are drawn." if len(found) > _MOST else ""
    return figure(
        f"Click rate by {kind.replace('_', ' ')}, over the average",
        _chart(kind, shown, base) if shown and base else tag("p", "No clicks to compare.", class_="missing"),
        f"Observed click rate of the segment over that of all; bars are 95 % intervals.{more}",
        table(f"Segments: {kind}", [kind.capitalize(), *keys], values),
    )


def _chart(kind: str, shown: list[dict[str, Any]], base: float) -> Markup:
    rates, clicks = (np.array([row.get(key) or 0 for row in shown], np.float64) for key in ("ctr", "clicks"))
    # Rows of evidence are the clicks over their rate: rows without a click may stand for many.
    meant = np.array([row.get("weight") or row["n"] for row in shown], np.float64)
    rows = np.divide(clicks, rates, out=meant, where=rates > 0)
    low, high = (ends / base for ends in wilson(clicks, rows))
    lift = clicks / rows / base
    names = [plain(row.get("name")) for row in shown]
    marks = [Row(*one) for one in zip(names, lift, [number(part, 2) for part in lift], low, high, strict=True)]
    axis = linear_axis("lift: click rate over the average of all", low, high, low=0)
    return row_chart(f"Lift of each {kind}.", axis, marks, zero=1.0)


def _cell(key: str, value: Any) -> str:
    return number(value, _DIGITS.get(key, 4)) if is_number(value) else plain(value)
