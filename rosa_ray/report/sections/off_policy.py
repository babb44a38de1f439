"""What the ranking would earn, estimated from the log alone: IPS, SNIPS, doubly robust, with intervals."""

from collections.abc import Iterator, Mapping
from typing import Any

from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Row, linear_axis, row_chart
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import count, is_number, leaves, number, percent, plain
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Estimated from the log", 25
_NAMES = {"ips": "IPS", "snips": "SNIPS", "dr": "doubly robust", "dm": "direct model"}


def render(run: RunFiles) -> Child:
    """A chart of the ROI estimates beside the exact value, and all estimates."""
    if run.metrics is None:
        return missing("Test metrics are", run.command("evaluate"))
    test = run.metrics["test"]
    found = test.get("off_policy")
    if not isinstance(found, Mapping):
        reason = test.get("off_policy_skipped")
        return (
            tag("p", f"No estimate: {reason}.", class_="missing")
            if reason
            else missing("Off-policy estimates (they need logged propensities) are", run.command("evaluate"))
        )
    estimates = list(_estimates(found))
    return [_about(found), figures(_chart(estimates, test.get("policy_roi")), _table(estimates))]


def _estimates(found: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for estimator in _NAMES:
        for reward, one in (found.get(estimator) or {}).items():
            if isinstance(one, Mapping) and is_number(one.get("estimate")):
                yield estimator, reward, one


def _about(found: Mapping[str, Any]) -> Markup:
    size = found.get("effective_sample_size")
    clip, lost = found.get("clip"), percent(found.get("clipped_share"))
    clipped = (
        f"Weights clipped at {plain(clip)}, which lost {lost} of them." if is_number(clip) else "No weight clipped."
    )
    words = (
        f"{count(found.get('requests'))} logged requests weigh as much as {count(size)} drawn by this policy "
        f"(effective sample size). Mean weight {number(found.get('mean_weight'), 3)}; near 1 is right. {clipped}"
    )
    return tag("p", words)


def _chart(estimates: list[tuple[str, str, Mapping[str, Any]]], exact: Any) -> Markup | None:
    shown = [(name, one) for name, reward, one in estimates if reward == "roi"]
    if not shown:
        return None
    rows = [
        Row(_NAMES[name], one["estimate"], number(one["estimate"], 3), one.get("low"), one.get("high"))
        for name, one in shown
    ]
    if is_number(exact):
        rows.append(Row("exact (truth)", exact, number(exact, 3), style=3))
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
    chart = row_chart("ROI estimates.", linear_axis("ROI", [0.0, *ends]), rows, zero=0.0)
    return figure("ROI, estimated from what another policy showed", chart, "Bars: 95 % intervals over users.")


def _table(estimates: list[tuple[str, str, Mapping[str, Any]]]) -> Markup:
    keys = list(dict.fromkeys(key for *_, one in estimates for key, _ in leaves(dict(one))))
    rows = [
        [f"{_NAMES[name]}, {reward}", *(number(one.get(key), 4) for key in keys)] for name, reward, one in estimates
    ]
    return figure(
        "Every estimate, per request", table("Estimates", ["Estimate", *(key.replace("_", " ") for key in keys)], rows)
    )
