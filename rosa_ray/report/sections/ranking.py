"""ROC and precision-recall of the three heads on the test period, and figures against the truth where there is one."""

from typing import Any

import numpy as np

from rosa_ray.arrays import Columns, Floats
from rosa_ray.features import Split
from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Series, line_chart, linear_axis, log_axis
from rosa_ray.report.heads import HEADS, Head, has_both_classes, precision_recall, roc
from rosa_ray.report.markup import Child, Markup
from rosa_ray.report.numbers import is_number, number, percent
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Ranking quality", 30
_TRUE = (("auc_ceiling", 4), ("excess_logloss", 5), ("pcoc", 3))
_GRID = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


def render(run: RunFiles) -> Child:
    """Two charts, and a table where the log has a truth."""
    rows = run.predictions(Split.TEST)
    if rows is None:
        return missing("Predictions of the test period are", run.command("evaluate"))
    heads = [head for head in HEADS if has_both_classes(head.rows(rows)[1])]
    test = (run.metrics or {}).get("test", {})
    curves = [_roc(rows, heads, test), _precision_recall(rows, heads)] if heads else [_one_class()]
    return figures(*curves, _against_truth(run.metrics or {}))


def _against_truth(metrics: dict[str, Any]) -> Markup | None:
    """Figures against the simulator's true probabilities; None where the log has none."""
    test, valid = metrics.get("test") or {}, metrics.get("valid") or {}
    if not is_number(test.get("true_auc")):
        return None
    over = [("test, all candidates", test, ""), ("test, shown", test, "shown_"), ("validation, shown", valid, "")]
    rows = [
        [
            f"{head}, {period}",
            _with_interval(found, f"true_{where}{prefix}auc"),
            *(number(found.get(f"true_{where}{prefix}{name}"), digits) for name, digits in _TRUE),
        ]
        for head, prefix in (("CTR", ""), ("CVR", "cvr_"))
        for period, found, where in over
    ]
    return figure(
        "Against the truth",
        table("Against the truth", ["Head and rows", "AUC*", "of the truth itself", "KL*, nats", "PCOC*"], rows),
        "Each row counts as a positive with its true probability, and as a negative with the rest. KL* is the log loss "
        "above that of the truth. In brackets: 95 % over users.",
    )


def _with_interval(found: dict[str, Any], name: str) -> str:
    ends = (found.get("intervals") or {}).get(name)
    value = number(found.get(name))
    return f"{value} ({number(ends['low'])} … {number(ends['high'])})" if ends else value


def _one_class() -> Markup:
    return missing("Curves need clicks in the test period, which are", "rosa preprocess with a longer test period")


def _roc(rows: Columns, heads: list[Head], test: dict[str, float]) -> Markup:
    curves = {head: roc(*head.rows(rows)) for head in heads}
    series = [Series("chance", [0, 1], [0, 1], 0)] + [
        Series(f"{head.name}, AUC {number(test.get(f'{head.prefix}auc'))}", *curve, head.style)
        for head, curve in curves.items()
    ]
    axes = (
        linear_axis("false positive rate", low=0, high=1),
        linear_axis("true positive rate", low=0, high=1),
    )
    values = [
        [percent(rate, 0), *(percent(float(np.interp(rate, *curve))) for curve in curves.values())] for rate in _GRID
    ]
    return figure(
        "How well each head separates: ROC",
        line_chart("ROC curves of the heads; further to the upper left is better.", *axes, series),
        "CTR over all impressions, CVR over clicked ones, CTCVR (click and conversion) over all.",
        table("True positive rates", ["False positive rate", *(head.name for head in heads)], values),
    )


def _precision_recall(rows: Columns, heads: list[Head]) -> Markup:
    curves = {head: precision_recall(*head.rows(rows)) for head in heads}
    rates = {head: _rate(*head.rows(rows)[1:]) for head in heads}
    series = [
        Series(
            f"{head.name}, average {percent(average)}, base rate {percent(rates[head])}",
            recall,
            100 * precision,
            head.style,
        )
        for head, (recall, precision, average) in curves.items()
    ]
    precisions = [100 * precision for _, precision, _ in curves.values()]
    values = [
        [
            percent(rate, 0),
            *(percent(float(np.interp(rate, recall, precision))) for recall, precision, _ in curves.values()),
        ]
        for rate in _GRID
    ]
    return figure(
        "How many of the top-scored are right: precision by recall",
        line_chart(
            "Precision over recall of the heads.",
            linear_axis("recall (share of positives found)", low=0, high=1),
            log_axis("precision, % (logarithmic)", *precisions, [100 * rate for rate in rates.values()]),
            series,
        ),
        "At full recall, precision falls to the base rate.",
        table("Precision", ["Recall", *(head.name for head in heads)], values),
    )


def _rate(labels: Floats, weights: Floats) -> float:
    return float(np.average(labels, weights=weights))
