"""What more data, a larger model and longer training bring: learning curves of the model and the baselines."""

import math
from typing import Any

from rosa_ray.report.blocks import figure, figures, fold, missing, table
from rosa_ray.report.charts import Series, line_chart, linear_axis, log_axis
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import count, is_number, number
from rosa_ray.report.run_files import RunFiles
from rosa_ray.report.studies import (
    METRIC_NAMES,
    QUALITY,
    StudyDocument,
    about,
    gap_table,
    trials_table,
    truth_part,
    variants_table,
)

TITLE, ORDER = "More data, a larger model", 75
Point = tuple[float, float, float, float]
_CURVES = ("auc", "cvr_auc", "policy_roi")


def render(run: RunFiles) -> Child:
    """A chart per metric over the impressions trained on, the table of all variants, gaps on the same users."""
    study = run.study("curve")
    if study is None:
        return missing("Learning curves are", "rosa curve CONFIG")
    return [
        about(study),
        figures(*(_curve(study, metric) for metric in _CURVES)),
        variants_table("Learning curves", study, QUALITY, with_paper=False),
        tag("p", "Means over seeds, 95 % intervals below, the best in bold.", class_="note"),
        truth_part(study),
        fold("Gaps between variants", gap_table(study)),
        trials_table(study),
    ]


def _curve(study: StudyDocument, metric: str) -> Markup | None:
    models = list(dict.fromkeys(_line(one) for one in study["variants"] if "user_share" in (one.get("training") or {})))
    points = {model: _points(study, model, metric) for model in models}
    if not any(points.values()):
        return None
    names = {model: next(one["label"] for one in study["variants"] if one["name"] == model) for model in models}
    champion = study.get("champion")
    others = iter(range(2, 9))
    series = [
        Series(
            names[model],
            [trained for trained, *_ in points[model]],
            [mean for _, mean, *_ in points[model]],
            style=1 if model == champion else next(others, 8),
            low=[low for _, _, low, _ in points[model]],
            high=[high for _, _, _, high in points[model]],
            mark=True,
        )
        for model in models
        if points[model]
    ]
    trained = [point[0] for model in models for point in points[model]]
    ends = [end for model in models for point in points[model] for end in point[1:] if math.isfinite(end)]
    rows = [
        [names[model], count(point[0]), *(number(value) for value in point[1:])]
        for model in models
        for point in points[model]
    ]
    name = METRIC_NAMES[metric]
    return figure(
        f"{name} by the impressions trained on",
        line_chart(
            f"{name} of each model over the number of impressions it was trained on.",
            log_axis("impressions", trained),
            linear_axis(name, ends),
            series,
        ),
        "Users are left out whole, the same ones for all models; bands: 95 %. The test period is the same throughout.",
        table(f"{name} by training data", ["Model", "Impressions", name, "from", "to"], rows),
    )


def _points(study: StudyDocument, model: str, metric: str) -> list[Point]:
    """Impressions trained on, mean, low and high of the variants of one line, fewest first."""
    found: list[Point] = []
    for one in study["variants"]:
        trained = next((_trained_on(trial) for trial in one.get("trials") or []), math.nan)
        mean, low, high = (_float((one.get(part) or {}).get(metric)) for part in ("mean", "low", "high"))
        if _line(one) == model and math.isfinite(trained) and math.isfinite(mean):
            found.append((trained, mean, low, high))
    return sorted(found)


def _line(one: dict[str, Any]) -> str:
    """The model that a variant is on a share of the users, or itself."""
    return str(one["name"]).partition("-share")[0]


def _trained_on(trial: dict[str, Any]) -> float:
    """Impressions of an epoch: of the first in the history, or as a condensed study has them."""
    history = trial.get("history") or [trial]
    return _float(history[0].get("samples"))


def _float(value: Any) -> float:
    return float(value) if is_number(value) else math.nan
