"""What the ranking would earn, estimated from the log alone: IPS, SNIPS, doubly robust, with intervals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Row, linear_axis, row_chart
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import count, is_number, leaves, number, percent, plain
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Estimated from the log", 25
_NAMES = {"ips": "IPS", "snips": "SNIPS", "dr": "doubly robust", "dm": "direct model"}


@dataclass(frozen=True)
class _Estimate:
    """One reward of one policy by one estimator."""

    name: str
    reward: str
    figures: Mapping[str, Any]
    style: int

    def row(self) -> Row:
        at = self.figures["estimate"]
        return Row(self.name, at, number(at, 3), self.figures.get("low"), self.figures.get("high"), style=self.style)


def render(run: RunFiles) -> Child:
    """A chart of the ROI estimates beside random choice and the exact value, and all estimates."""
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
    estimates = [*_estimates(found, ""), *_estimates(test.get("off_policy_random") or {}, "random, ")]
    return [_about(found), figures(_chart(estimates, test.get("policy_roi")), _table(estimates))]


def _estimates(found: Mapping[str, Any], policy: str) -> Iterator[_Estimate]:
    for estimator, name in _NAMES.items():
        for reward, one in (found.get(estimator) or {}).items():
            if isinstance(one, Mapping) and is_number(one.get("estimate")):
                yield _Estimate(f"{policy}{name}", reward, one, style=8 if policy else 1)


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


def _chart(estimates: list[_Estimate], exact: Any) -> Markup | None:
    rows = [one.row() for one in estimates if one.reward == "roi"]
    if not rows:
        return None
    if is_number(exact):
        rows.append(Row("this model, exact (truth)", exact, number(exact, 3), style=3))
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
    chart = row_chart("ROI estimates.", linear_axis("ROI", [0.0, *ends]), rows, zero=0.0)
    return figure("ROI, estimated from what another policy showed", chart, "Bars: 95 % intervals over users.")


def _table(estimates: list[_Estimate]) -> Markup:
    keys = list(dict.fromkeys(key for one in estimates for key, _ in leaves(dict(one.figures))))
    rows = [[f"{one.name}, {one.reward}", *(number(one.figures.get(key), 4) for key in keys)] for one in estimates]
    return figure(
        "Every estimate, per request", table("Estimates", ["Estimate", *(key.replace("_", " ") for key in keys)], rows)
    )
