"""What events taught before training: the loss on events of held-out users by epoch, beside what reads no history."""

from typing import Any

from rosa_ray.report.blocks import figure, figures, fold, table
from rosa_ray.report.charts import GuideLine, Series, line_chart, linear_axis
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import MISSING, count, is_number, number
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Pre-training on events", 78

_LINES = (
    ("training users", "train_loss", 1),
    ("held-out users", "valid_loss", 2),
    ("without history", "valid_blank_loss", 0),
    ("by popularity", "valid_popularity_loss", 3),
)


def render(run: RunFiles) -> Child:
    """A chart of the losses, where there was pre-training; else one line that says how to have it."""
    document = run.pretrain
    if document is None:
        return tag("p", "This model learned from impressions alone. Set pretrain.epochs to let events teach it first.")
    history = document.get("history") or []
    if not history:
        return tag("p", f"The weights are those of {document.get('started_from')}, on the ids of this log.")
    return [_facts(document, history), figures(_chart(history, document)), fold("Every epoch", _all(history))]


def _facts(document: dict[str, Any], history: list[dict[str, Any]]) -> Markup:
    words = (
        f"{count(document['epochs'])} epochs of {count(history[-1].get('samples'))} events in "
        f"{number(document['seconds'], 0)} s, {count(document['events_per_s'])} events per second. Epoch "
        f"{count(document['best_epoch'])} tells the events of held-out users best; training started from its weights."
    )
    return tag("p", words)


def _chart(history: list[dict[str, Any]], document: dict[str, Any]) -> Markup:
    epochs = [one["epoch"] for one in history]
    shown = [line for line in _LINES if is_number(history[-1].get(line[1]))]
    curves = {name: [float(one[key]) for one in history] for name, key, _ in shown}
    series = [Series(name, epochs, curves[name], style, mark=style > 0) for name, _, style in shown]
    last = max(max(epochs), min(epochs) + 1)
    axis = linear_axis("epoch", epochs, low=min(epochs), high=last, ticks=max(1, min(last - min(epochs), 8)))
    title, best = "Loss of telling events", GuideLine(document["best_epoch"], "best epoch")
    chart = line_chart(f"{title} by epoch.", axis, linear_axis("loss, nats", *curves.values()), series, [best])
    rows = [[count(epoch), *(number(curve[at]) for curve in curves.values())] for at, epoch in enumerate(epochs)]
    note = "Lower is better. Without history every candidate is as likely as the others, or as usual."
    return figure(title, chart, note, table(title, ["Epoch", *curves], rows))


def _all(history: list[dict[str, Any]]) -> Markup:
    keys = [key for key in history[-1] if key != "epoch"]
    rows = [[key, *(number(one[key], 6) if is_number(one.get(key)) else MISSING for one in history)] for key in keys]
    return table("Epochs of pre-training", ["Figure", *(f"epoch {one['epoch']}" for one in history)], rows)
