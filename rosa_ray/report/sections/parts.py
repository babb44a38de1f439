"""Where return is lost: what the ranking would earn with one part of its score swapped for the truth."""

from collections.abc import Mapping
from typing import Any

from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Row, linear_axis, row_chart
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import MISSING, SCORE_WORDS, count, is_number, number, plain
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "Where return is lost", 22
_STYLES = {"none": 1, "all": 3, "random": 8}
_OTHER = 2


def render(run: RunFiles) -> Child:
    """A chart and a table; on a log without truth, that there is nothing to compare with."""
    found, command = run.parts, run.command("evaluate --parts")
    test = (run.metrics or {}).get("test") or {}
    if found is None and test.get("policy_skipped"):
        return tag("p", f"Nothing to compare with: {test['policy_skipped']}.", class_="missing")
    if found is None:
        return missing("What each part costs in return is", command)
    current = (run.metrics or {}).get("model_version")
    if current and found.get("model_version") != current:
        return missing(f"Parts are of model {found.get('model_version')}; those of model {current} are", command)
    return [_about(found), figures(_chart(found))]


def _about(found: Mapping[str, Any]) -> Markup:
    kind = SCORE_WORDS.get(found["score_kind"], plain(found["score_kind"]))
    words = (
        f"Each of {count(found['requests'])} test requests shows its top ad by {kind}, once as the model scores and "
        "once with one part swapped. All are valued at the truth. What a true part gains is what the model's own "
        "costs; a simpler part that gains says that the model's own is worse than nothing."
    )
    return tag("p", words)


def _chart(found: Mapping[str, Any]) -> Markup:
    known = [row for row in found["rows"] if is_number(row["roi"])]
    base = next((row["roi"] for row in known if row["name"] == "none"), 0.0)
    marks = [
        Row(
            row["words"],
            row["roi"],
            number(row["roi"], 3),
            base + row["low"] if is_number(row["low"]) else None,
            base + row["high"] if is_number(row["high"]) else None,
            style=_STYLES.get(row["name"], _OTHER),
        )
        for row in known
    ]
    ends = [end for row in marks for end in (row.value, row.low, row.high) if end is not None]
    return figure(
        "Return with one part swapped",
        row_chart(
            "True ROI of the ranking with each part swapped.",
            linear_axis("ROI = (revenue − cost) / cost", [0.0, *ends], ticks=7),
            marks,
            zero=base,
        ),
        "Line: the model as it is. Bars: 95 % of the difference to it, over users.",
        table(
            "Swapped parts",
            ["Swapped", "ROI", "Profit", "Revenue", "Cost", "ROI gained", "from", "to", "Verdict"],
            [_cells(row) for row in found["rows"]],
            words=(8,),
        ),
    )


def _cells(row: Mapping[str, Any]) -> list[Child]:
    money = (number(row[name], 0) for name in ("profit", "revenue", "cost"))
    gained = (number(row[name], 3) for name in ("gap", "low", "high"))
    return [row["words"], number(row["roi"], 3), *money, *gained, row["verdict"] or MISSING]
