"""The document of a study as tables for a terminal, in the form of the paper's Tables 2 and 3."""

from collections.abc import Mapping, Sequence
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
    tables = [
        quality_table(document),
        against_truth,
        score_table(document),
        speed_table(document),
        gaps_table(document),
    ]
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


def score_table(document: Mapping[str, Any]) -> Table | None:
    """What each model earns by every kind of score, means over seeds; None where no trial knows."""
    found = {row["name"]: mean_kinds(row["trials"]) for row in document["variants"]}
    kinds = list(dict.fromkeys(kind for one in found.values() for kind in one))
    if not kinds:
        return None
    reference = next(row["label"] for row in document["variants"] if row["name"] == document["reference"])
    title = f"ROI, profit, and ROAS in percent of {reference}'s, by what ads are ranked by"
    table = Table("model", *kinds, title=title)
    base = found[document["reference"]]
    for row in document["variants"]:
        mine = found[row["name"]]
        table.add_row(row["label"], *(_earned(mine.get(kind), base.get(kind)) for kind in kinds))
    oracles = (next((one[kind] for one in found.values() if kind in one), {}) for kind in kinds)
    table.add_row("the truth", *map(_oracle, oracles), style="dim")
    return table


def mean_kinds(trials: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over trials of the figures of `rosa_ray.evaluation.kinds.value_kinds`, empty where one has none.

    >>> mean_kinds([{"test": {"kinds": {"roi": {"roi": 1.0}}}}, {"test": {"kinds": {"roi": {"roi": 2.0}}}}])
    {'roi': {'roi': 1.5}}
    """
    each = [trial["test"].get("kinds") for trial in trials]
    if not each or not all(each):
        return {}
    first: Mapping[str, Mapping[str, float | None]] = each[0]
    return {
        kind: {
            name: sum(one[kind][name] for one in each) / len(each)
            for name in figures
            if all(one.get(kind, {}).get(name) is not None for one in each)
        }
        for kind, figures in first.items()
    }


def _earned(mine: Mapping[str, float] | None, base: Mapping[str, float] | None) -> str:
    if not mine or "roi" not in mine:
        return "–"
    gain = f", {100 * (mine['roi'] + 1) / (base['roi'] + 1):.1f} %" if base and base.get("roi", -1) > -1 else ""
    return f"{mine['roi']:.2f}, {mine['profit']:,.0f}{gain}"


def _oracle(one: Mapping[str, float]) -> str:
    return f"{one['oracle_roi']:.2f}, {one['oracle_profit']:,.0f}" if "oracle_roi" in one else "–"


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
