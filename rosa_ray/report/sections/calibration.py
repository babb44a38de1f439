"""Reliability of the three heads: what was predicted against what happened, raw and calibrated."""

from typing import Any

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import Split
from rosa_ray.metrics import Ece
from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Series, line_chart, sqrt_axis
from rosa_ray.report.heads import HEADS, Head, evidence, wilson
from rosa_ray.report.markup import Child, Markup
from rosa_ray.report.numbers import count, number, percent
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Calibration", 40
_BINS, _MOST_BINS = 8, 20
_POSITIVES_PER_BIN = 25
_FIGURES = (
    ("PCOC", "pcoc", 3),
    ("ECE", "ece", 4),
    ("log loss", "logloss", 4),
    ("normalised entropy", "normalised_entropy", 4),
)


def render(run: RunFiles) -> Child:
    """A table of figures, and a diagram per head."""
    rows = run.predictions(Split.TEST)
    if run.metrics is None:
        return missing("Test metrics are", run.command("evaluate"))
    diagrams = [_diagram(head, rows) for head in HEADS if head.rows(rows)[0].size] if rows else []
    return figures(*diagrams, _figures(run))


def _figures(run: RunFiles) -> Markup:
    assert run.metrics is not None
    periods = [(name, run.metrics[name]) for name in ("test", "valid") if run.metrics.get(name)]
    rows = [
        [
            f"{head.name}, {period}{note}",
            *(_cell(metrics, f"{prefix}{head.prefix}{key}", digits) for _, key, digits in _FIGURES),
        ]
        for head in HEADS
        for period, metrics in periods
        for note, prefix in (("", ""), (", raw", "raw_"))
        if prefix == "" or f"raw_{head.prefix}pcoc" in metrics
    ]
    return figure(
        "How far predictions are off",
        table("Calibration figures", ["Head and period", *(name for name, *_ in _FIGURES)], rows),
        "PCOC: predicted over observed, 1 is right; in brackets 95 % over users. ECE: mean distance over equal-mass "
        "bins. Normalised entropy: log loss over that of the base rate, below 1 is useful.",
    )


def _cell(metrics: dict[str, Any], name: str, digits: int) -> str:
    value, ends = number(metrics.get(name), digits), (metrics.get("intervals") or {}).get(name)
    return f"{value} ({number(ends['low'], digits)} … {number(ends['high'], digits)})" if ends else value


def _diagram(head: Head, predictions: Columns) -> Markup:
    raw = f"raw_{head.column}"
    shown = [("calibrated" if raw in predictions else "model", head.column, head.style)]
    if raw in predictions:
        shown.insert(0, ("raw", raw, 8))
    bins = {name: _bins(*head.rows(predictions, column)) for name, column, _ in shown}
    axis = sqrt_axis("", *(np.r_[part["predicted"], part["high"]] for part in bins.values()))
    series = [Series("perfect", [0, axis.high], [0, axis.high], 0)] + [
        Series(name, part["predicted"], part["observed"], style, part["low"], part["high"], "bars", True, False)
        for (name, part), (*_, style) in zip(bins.items(), shown, strict=True)
    ]
    chart = line_chart(
        f"Observed {head.outcome} over predicted, in bins of equally many rows.",
        sqrt_axis("predicted probability (square-root scale)", [axis.high]),
        sqrt_axis("observed rate (square-root scale)", [axis.high]),
        series,
    )
    return figure(
        f"{head.name}: predicted and observed {head.outcome}",
        chart,
        "Each point holds equally many rows; bars are 95 % intervals.",
        [_values(name, part) for name, part in bins.items()],
    )


def _bins(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    count_of_bins = int(np.clip(labels.sum() // _POSITIVES_PER_BIN, _BINS, _MOST_BINS))
    found = Ece(bins=count_of_bins).update(scores, labels, weights).table()
    rows, predicted, observed = (
        np.array([getattr(part, name) for part in found], np.float64) for name in ("rows", "predicted", "observed")
    )
    sure = evidence(labels, weights) * rows
    low, high = wilson(sure * observed, sure)
    return {"rows": rows, "predicted": predicted, "observed": observed, "low": low, "high": high}


def _values(name: str, part: dict[str, np.ndarray]) -> Markup:
    rows = [
        [count(int(n)), percent(float(p), 3), percent(float(y), 3), percent(float(low), 3), percent(float(high), 3)]
        for n, p, y, low, high in zip(*part.values(), strict=True)
    ]
    return table(f"Reliability, {name}", [f"Rows ({name})", "Predicted", "Observed", "from", "to"], rows)
