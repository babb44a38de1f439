"""The document of a study as tables for a terminal, in the form of the paper's Tables 2 and 3."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

_QUALITY = {
    "auc": "AUC",
    "cvr_auc": "CVR AUC",
    "logloss": "log loss",
    "roi_gain": "ROI Gain",
    "policy_roi": "ROI",
    "covered_share": "of random → oracle",
    "pcoc": "PCOC",
}
_TRUE = {
    "true_auc": "AUC*",
    "true_cvr_auc": "CVR AUC*",
    "true_excess_logloss": "KL*, nats",
    "true_cvr_excess_logloss": "CVR KL*, nats",
    "true_pcoc": "PCOC*",
    "true_cvr_pcoc": "CVR PCOC*",
    "true_shown_auc": "AUC*, shown",
    "true_shown_cvr_auc": "CVR AUC*, shown",
}
_TRUTH_ITSELF = {"true_excess_logloss": 0.0, "true_cvr_excess_logloss": 0.0, "true_pcoc": 1.0, "true_cvr_pcoc": 1.0}
_SPEED = {
    "latency_p50_ms": "p50, ms",
    "latency_p99_ms": "p99, ms",
    "requests_per_s": "requests/s",
    "samples_per_s": "training impressions/s",
}
_GAP_NAMES = {**_QUALITY, **_TRUE, "ctcvr_auc": "CTCVR AUC", "roi_gain_percent": "ROAS, %"}
_PRINTED = {"roi_gain": ".1f", "latency_p50_ms": ".2f", "latency_p99_ms": ".2f", "requests_per_s": ".0f"}
_PRINTED |= {"samples_per_s": ",.0f", "policy_roi": ".2f", "covered_share": ".3f", "pcoc": ".3f"}
_PRINTED |= {"true_pcoc": ".3f", "true_cvr_pcoc": ".3f", "true_excess_logloss": ".5f", "true_cvr_excess_logloss": ".5f"}


def comparison_tables(document: Mapping[str, Any]) -> list[Table]:
    """Quality, by labels and by the truth where there is one, speed and gaps of a study."""
    against_truth = truth_table(document)
    tables = [quality_table(document), against_truth, speed_table(document), gaps_table(document)]
    return [table for table in tables if table is not None]


def quality_table(document: Mapping[str, Any]) -> Table:
    """Table 2: means over seeds with their 95 % intervals, the paper's figures below ours."""
    shown = [name for name in _QUALITY if any(row["mean"].get(name) is not None for row in document["variants"])]
    seeds = len(document["seeds"])
    table = Table("model", *(_QUALITY[name] for name in shown), title=f"test period, {seeds} seeds, 95 % over users")
    for row in document["variants"]:
        cells = [_with_interval(row, name) for name in shown]
        paper = document["paper"].get(row["name"], {}) if document["kind"] == "compare" else {}
        table.add_row(row["label"], *cells)
        if paper:
            table.add_row("  the paper's", *(_cell(name, paper.get(name)) for name in shown), style="dim")
    return table


def truth_table(document: Mapping[str, Any]) -> Table | None:
    """The same against the simulator's true probabilities, and below it what the truth itself reaches; else None."""
    shown = [name for name in _TRUE if any(row["mean"].get(name) is not None for row in document["variants"])]
    if not shown:
        return None
    title = f"against the true probabilities of the test period's candidates, {len(document['seeds'])} seeds"
    table = Table("model", *(_TRUE[name] for name in shown), title=title)
    for row in document["variants"]:
        table.add_row(row["label"], *(_with_interval(row, name) for name in shown))
    reached = {**_TRUTH_ITSELF, **(document.get("ceilings") or {})}
    table.add_row("the truth", *(_cell(name, reached.get(name)) for name in shown), style="dim")
    return table


def speed_table(document: Mapping[str, Any]) -> Table:
    """Table 3: one request of N candidates through each model in process, and training speed of one process."""
    latency = document["variants"][0]["trials"][0]["latency"]
    title = f"one process, {latency['candidates']} candidates a request" if latency else "one process"
    table = Table("model", *_SPEED.values(), title=title)
    for row in document["variants"]:
        table.add_row(row["label"], *(_cell(name, row["mean"].get(name)) for name in _SPEED))
    return table


def gaps_table(document: Mapping[str, Any]) -> Table:
    """By how much one variant of each pair is above the other, paired by users and seeds, and what that decides."""
    labels = {row["name"]: row["label"] for row in document["variants"]}
    shown = [gap for gap in document["gaps"] if gap["gap"] is not None]
    table = Table("", "against", "metric", "gap", "95 % interval", "verdict", "target")
    for gap in shown:
        percent = gap["metric"] == "roi_gain_percent"
        form = "+.1f" if percent else "+.5f" if gap["metric"].endswith("excess_logloss") else "+.4f"
        name = _GAP_NAMES.get(gap["metric"], gap["metric"])
        table.add_row(
            labels[gap["champion"]],
            labels[gap["baseline"]],
            name,
            format(gap["gap"], form),
            f"{gap['low']:{form}} … {gap['high']:{form}}",
            gap.get("verdict") or "",
            "" if gap["target"] is None else format(gap["target"], "+.3f" if not percent else "+.1f"),
        )
    return table


def _with_interval(row: Mapping[str, Any], name: str) -> str:
    mean, low, high = row["mean"].get(name), row["low"].get(name), row["high"].get(name)
    if mean is None or low is None or high is None:
        return _cell(name, mean)
    return f"{_cell(name, mean)} ({_cell(name, low)} … {_cell(name, high)})"


def _cell(name: str, value: float | None) -> str:
    return "–" if value is None else format(value, _PRINTED.get(name, ".4f"))
