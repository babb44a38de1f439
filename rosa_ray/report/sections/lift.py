"""What the best-scored impressions hold: cumulative gain, and lift by decile."""

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import Split
from rosa_ray.metrics import conversion_weights
from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Row, Series, line_chart, linear_axis, row_chart
from rosa_ray.report.heads import HEADS, cumulative_gain, evidence, wilson
from rosa_ray.report.markup import Child, Markup
from rosa_ray.report.numbers import count, number, percent
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Gain and lift", 35
_GRID = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)


def render(run: RunFiles) -> Child:
    """Two charts over the test period."""
    rows = run.predictions(Split.TEST)
    if rows is None:
        return missing("Predictions of the test period are", run.command("evaluate"))
    if not rows["click"].any():
        return missing("Clicks in the test period are", run.command("preprocess"))
    return figures(_gain(rows), _deciles(rows))


def _gain(rows: Columns) -> Markup:
    bought = conversion_weights(rows, len(rows["click"]))
    parts = (
        ("clicks, by p(click)", rows["p_ctr"], rows["click"], rows["weight"], HEADS[0].style),
        (
            "conversions, by p(click and conversion)",
            rows["p_ctcvr"],
            rows["click"] * rows["conversion"],
            bought,
            HEADS[2].style,
        ),
        ("revenue, by expected revenue", rows["p_ctcvr"] * rows["value"], rows["revenue"], bought, 4),
    )
    curves = {
        name: (*cumulative_gain(scores[weights > 0], amounts[weights > 0], weights[weights > 0]), style)
        for name, scores, amounts, weights, style in parts
        if (amounts * weights).any()
    }
    series = [Series("random order", [0, 100], [0, 100], 0)] + [
        Series(name, 100 * share, 100 * gain, style) for name, (share, gain, style) in curves.items()
    ]
    values = [
        [percent(at, 0), *(percent(float(np.interp(at, share, gain))) for share, gain, _ in curves.values())]
        for at in _GRID
    ]
    return figure(
        "How much the best-scored impressions hold",
        line_chart(
            "Share of clicks, conversions and revenue among the best-scored impressions.",
            linear_axis("impressions, best-scored first, %", low=0, high=100),
            linear_axis("share of the total, %", low=0, high=100),
            series,
        ),
        None,
        table("Cumulative gain", ["Top", *(name.split(",")[0] for name in curves)], values),
    )


def _deciles(rows: Columns) -> Markup:
    weight, order = rows["weight"], np.argsort(-rows["p_ctr"], kind="stable")
    middle = np.cumsum(weight[order]) - weight[order] / 2
    decile = np.minimum((middle * 10 / weight.sum()).astype(np.int64), 9)
    sizes, clicks, scores = (
        np.bincount(decile, (weight * part)[order], 10).astype(np.float64)
        for part in (np.ones(len(order)), rows["click"], rows["p_ctr"])
    )
    predicted = scores / np.maximum(sizes, 1)
    base = clicks.sum() / sizes.sum()
    sure = evidence(rows["click"], weight)
    low, high = (ends / base for ends in wilson(sure * clicks, np.maximum(sure * sizes, 1.0)))
    lift = clicks / np.maximum(sizes, 1) / base
    names = ["top 10 %", *(f"{10 * at} to {10 * at + 10} %" for at in range(1, 10))]
    marks = [Row(*row) for row in zip(names, lift, [number(part, 2) for part in lift], low, high, strict=True)]
    values = [
        [name, count(int(n)), count(int(y)), percent(y / max(n, 1), 2), percent(float(p), 2), number(float(up), 2)]
        for name, n, y, p, up in zip(names, sizes, clicks, predicted, lift, strict=True)
    ]
    return figure(
        "Click rate by decile of score, over the average",
        row_chart(
            "Lift of each decile of the click probability.",
            linear_axis("lift: click rate over the average of all", low, high, low=0),
            marks,
            zero=1.0,
        ),
        "Deciles of p(click), best first; bars are 95 % intervals, the line is the average.",
        table("Lift by decile", ["Decile", "Rows", "Clicks", "Click rate", "Predicted", "Lift"], values),
    )
