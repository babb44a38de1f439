"""The models beside each other: the paper's Table 2, Table 3 and ROC figure, with intervals."""

from typing import Any

import numpy as np

from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Series, line_chart, linear_axis
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import number, percent
from rosa_ray.report.run_files import RunFiles
from rosa_ray.report.studies import (
    QUALITY,
    SPEED,
    StudyDocument,
    about,
    gap_charts,
    label,
    trials_table,
    truth_part,
    variants_table,
    verdicts,
)

TITLE, ORDER = "Against the baselines", 60
_GRID = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)


def render(run: RunFiles) -> Child:
    """Two tables, the gaps, the ROC curves."""
    study = run.study("compare")
    if study is None:
        return missing("A comparison with boosted trees, DIN with exact match and others is", "rosa compare CONFIG")
    return [
        about(study),
        verdicts(study),
        tag("h3", "Ranking and return"),
        variants_table("Ranking and return of the models", study, QUALITY, with_paper=True),
        _reading(study),
        truth_part(study),
        figures(_roc(study), gap_charts(study)),
        tag("h3", "Speed"),
        variants_table("Latency and throughput of the models", study, SPEED, with_paper=True),
        trials_table(study),
    ]


def _reading(study: StudyDocument) -> Markup:
    reference = next(
        (label(one) for one in study["variants"] if one["name"] == study.get("reference")), "the reference"
    )
    words = (
        f"Means over seeds, 95 % intervals below, the best in bold. In italics: the paper’s, on its own data. ROI gain "
        f"is 100 × ROAS over that of {reference}; covered share is the way from random choice to the oracle."
    )
    return tag("p", words, class_="note")


def _roc(study: StudyDocument) -> Markup | None:
    drawn = [one for one in study["variants"] if (one.get("roc") or {}).get("fpr")]
    if not drawn:
        return None
    champion = study.get("champion")
    others = iter(range(2, 9))
    styles = {one["name"]: 1 if one["name"] == champion else next(others, 8) for one in drawn}
    series = [Series("chance", [0, 1], [0, 1], 0)] + [_curve(one, styles[one["name"]]) for one in drawn]
    rates = [
        [percent(at, 0), *(percent(float(np.interp(at, one["roc"]["fpr"], one["roc"]["tpr"]))) for one in drawn)]
        for at in _GRID
    ]
    return figure(
        "ROC of every model, clicks of the test period",
        line_chart(
            "ROC curves of all models with bands of 95 %.",
            linear_axis("false positive rate", low=0, high=1),
            linear_axis("true positive rate", low=0, high=1),
            series,
        ),
        "First seed; bands: 95 %, bootstrap over users. AUC is the mean of the seeds.",
        table("True positive rates", ["False positive rate", *map(label, drawn)], rates),
    )


def _curve(one: dict[str, Any], style: int) -> Series:
    roc, mean = one["roc"], (one.get("mean") or {}).get("auc")
    name = f"{label(one)}, AUC {number(mean)}"
    return Series(name, roc["fpr"], roc["tpr"], style, roc.get("tpr_low"), roc.get("tpr_high"))
