"""Losses per task over the epochs, in training and in validation, and what else the epochs recorded."""

import re
from typing import Any

from rosa_ray.report.blocks import figure, figures, fold, missing, table
from rosa_ray.report.charts import GuideLine, Series, line_chart, linear_axis
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import MISSING, count, is_number, number
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Training", 80
_NAMES = {
    "ctr": "Click loss (binary cross-entropy)",
    "cvr": "Click-and-conversion loss (binary cross-entropy)",
    "roi": "ROI loss (Tweedie deviance)",
    "value": "Value loss (log-normal likelihood)",
    "next": "Next-event loss (cross-entropy)",
}
_TASK = re.compile(r"(?:train|valid)_(\w+)_loss")
_WEIGHT = "train_weight_"

EpochRows = list[dict[str, Any]]


def render(run: RunFiles) -> Child:
    """A chart per task, one of validation AUC, one of task weights where they were learned."""
    history: EpochRows = (run.train or {}).get("history") or []
    if run.train is None or not history:
        return missing("Losses of the epochs are", run.command("train"))
    best = run.train.get("best_epoch")
    tasks = list(dict.fromkeys(match[1] for key in history[-1] if (match := _TASK.fullmatch(key))))
    charts = [
        _losses("Total loss, as weighted", "loss", history, best),
        *(_losses(_NAMES.get(task, f"{task} loss"), f"{task}_loss", history, best) for task in tasks),
        _aucs(history, best),
        _weights(history, best),
    ]
    return [_facts(run.train, history), figures(*charts), fold("Every figure of every epoch", _all(history))]


def _facts(train: dict[str, Any], history: EpochRows) -> Markup:
    words = (
        f"{count(train.get('epochs', len(history)))} epochs of {count(history[-1].get('samples'))} impressions in "
        f"{number(train.get('seconds'), 0)} s, {count(train.get('samples_per_s'))} impressions per second. Epoch "
        f"{count(train.get('best_epoch'))} was best on the validation period; its weights are the model’s."
    )
    return tag("p", words)


def _losses(title: str, key: str, history: EpochRows, best: int | None) -> Markup | None:
    lines = [("training", f"train_{key}", 1), ("validation", f"valid_{key}", 2)]
    return _chart(title, "loss, nats per row" if key not in ("roi_loss", "loss") else "loss", lines, history, best)


def _aucs(history: EpochRows, best: int | None) -> Markup | None:
    lines = [("CTR", "valid_auc", 1), ("CVR", "valid_cvr_auc", 2), ("CTCVR", "valid_ctcvr_auc", 3)]
    return _chart("Validation AUC", "AUC", lines, history, best)


def _weights(history: EpochRows, best: int | None) -> Markup | None:
    keys = [key for key in history[-1] if key.startswith(_WEIGHT)]
    lines = [(key.removeprefix(_WEIGHT), key, 1 + index) for index, key in enumerate(keys)]
    return _chart("Weight of each task", "weight", lines, history, best)


def _chart(
    title: str, unit: str, lines: list[tuple[str, str, int]], history: EpochRows, best: int | None
) -> Markup | None:
    shown = [(name, key, style) for name, key, style in lines if any(is_number(one.get(key)) for one in history)]
    if not shown:
        return None
    epochs = [one["epoch"] for one in history]
    curves = {name: [_float(one.get(key)) for one in history] for name, key, _ in shown}
    series = [Series(name, epochs, curves[name], style, mark=True) for name, _, style in shown]
    axis = linear_axis("epoch", epochs, low=min(epochs), high=max(max(epochs), min(epochs) + 1), ticks=_steps(epochs))
    rules = [GuideLine(best, "best epoch")] if is_number(best) and best is not None else []
    chart = line_chart(f"{title} over the epochs.", axis, linear_axis(unit, *curves.values()), series, rules)
    rows = [[count(epoch), *(number(curve[at]) for curve in curves.values())] for at, epoch in enumerate(epochs)]
    return figure(title, chart, None, table(title, ["Epoch", *curves], rows))


def _steps(epochs: list[int]) -> int:
    return max(1, min(max(epochs) - min(epochs), 8))


def _float(value: Any) -> float:
    return float(value) if is_number(value) else float("nan")


def _all(history: EpochRows) -> Markup:
    keys = [key for key in history[-1] if key != "epoch"]
    rows = [[key, *(number(one[key], 6) if is_number(one.get(key)) else MISSING for one in history)] for key in keys]
    return table("Epochs", ["Figure", *(f"epoch {one['epoch']}" for one in history)], rows)
