"""What ranking by the model earns: beside random and the oracle, by score threshold and by budget."""

from typing import Any

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.metrics import (
    BootstrapConfig,
    Ranking,
    best_roi_policy,
    greedy_policy,
    roi_interval,
    uniform_policy,
)
from rosa_ray.metrics.budget import BUDGET_FRACTIONS, ServingCurve, random_at_budgets, serving_curve
from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Row, Series, line_chart, linear_axis, row_chart
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import SCORE_WORDS, is_number, number, percent
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "What the ranking earns", 20
_BOOTSTRAP = BootstrapConfig(replicates=200)
_NAMES = {"policy": "this model", "random": "random choice", "oracle": "oracle, same rule", "best": "highest possible"}
_STYLES = {"policy": 1, "random": 8, "oracle": 3, "best": 4}

Budgets = dict[str, list[dict[str, Any]]]


def render(run: RunFiles) -> Child:
    """Four charts where the log has a truth, one where only the metrics know it, else why there is none."""
    if run.metrics is None:
        return missing("Test metrics are", run.command("evaluate"))
    test = run.metrics["test"]
    if not is_number(test.get("policy_roi")):
        reason = test.get("policy_skipped") or "the log has no truth"
        return tag("p", f"No exact value: {reason}.", class_="missing")
    rows = run.candidates
    charts = [_policies(test, rows)]
    if rows is not None:
        curves = _curves(Ranking.told(test), rows)
        charts += [_by_threshold(test["score_kind"], curves), *_by_budget(curves, rows)]
    return figures(*charts)


def _scores(ranking: Ranking, rows: Columns) -> dict[str, np.ndarray]:
    names = ("p_ctr", "p_cvr", "value", "expected_cost")
    return {
        "policy": ranking.score(*(rows[name] for name in names)),
        "oracle": ranking.of_truth.of_revenue(rows["true_revenue"], rows["true_cost"]),
    }


def _curves(ranking: Ranking, rows: Columns) -> dict[str, ServingCurve]:
    keys = rows["request_key"], rows["impression_key"]
    return {
        name: serving_curve(scores, rows["true_revenue"], rows["true_cost"], *keys)
        for name, scores in _scores(ranking, rows).items()
    }


def _policies(test: dict[str, Any], rows: Columns | None) -> Markup:
    spread = _intervals(Ranking.told(test), rows) if rows is not None else {}
    found = {name: one for name, one in test["policies"].items() if is_number(one.get("roi"))}
    marks = [
        Row(
            _NAMES.get(name, name),
            one["roi"],
            number(one["roi"], 3),
            low=spread.get(name, (None, None))[0],
            high=spread.get(name, (None, None))[1],
            style=_STYLES.get(name, 5),
        )
        for name, one in found.items()
    ]
    values = [
        [_NAMES.get(name, name), *(number(one.get(key), digits) for key, digits in _MONEY)]
        for name, one in found.items()
    ]
    ends = [part for pair in spread.values() for part in pair]
    return figure(
        "Return of one ad per request",
        row_chart(
            "ROI of the model's ranking, of a random choice and of the oracle.",
            linear_axis("ROI = (revenue − cost) / cost", [0.0, *ends], [row.value for row in marks], ticks=7),
            marks,
            zero=0.0,
        ),
        f"Every request of the test period shows its top ad by {_kind(test)}. Bars: 95 %, bootstrap over users."
        f"{_uncalibrated(test)}",
        table("Policies", ["Policy", "Requests", "Revenue", "Cost", "Profit", "ROI", "ROAS"], values),
    )


def _uncalibrated(test: dict[str, Any]) -> str:
    raw = test.get("raw_policy_roi")
    return f" Without calibration the model’s ROI is {number(raw, 3)}." if is_number(raw) else ""


def _kind(test: dict[str, Any]) -> str:
    return SCORE_WORDS.get(test["score_kind"], str(test["score_kind"]))


_MONEY = (("requests", 0), ("revenue", 2), ("cost", 2), ("profit", 2), ("roi", 4), ("roas", 4))


def _intervals(ranking: Ranking, rows: Columns) -> dict[str, tuple[float, float]]:
    keys, truth = (rows["request_key"], rows["impression_key"]), (rows["true_revenue"], rows["true_cost"])
    policies = {
        **{name: greedy_policy(scores, *keys) for name, scores in _scores(ranking, rows).items()},
        "random": uniform_policy(keys[0]),
        "best": best_roi_policy(*truth, *keys),
    }
    found = {name: roi_interval(policy, *truth, rows["user_key"], _BOOTSTRAP) for name, policy in policies.items()}
    return {name: (one.low, one.high) for name, one in found.items() if one}


def _by_threshold(kind: str, curves: dict[str, ServingCurve]) -> Markup:
    curve = curves["policy"]
    rows = [row for row in curve.at_thresholds(curve.thresholds()) if row["roi"] is not None]
    drawn = [row for row in rows if row["share"] is not None and row["share"] >= 0.1]
    levels, rois = (np.array([row[key] for row in drawn], np.float64) for key in ("threshold", "roi"))
    chart = line_chart(
        "True ROI of showing only ads whose score reaches a threshold.",
        linear_axis(f"least {SCORE_WORDS.get(kind, kind)} that is shown", levels),
        linear_axis("true ROI of what is shown", [0.0], rois),
        [Series("this model", levels, rois, 1, mark=True)],
    )
    values = [
        [number(row["threshold"], 3), percent(row["share"]), *(number(row[key], digits) for key, digits in _SERVED)]
        for row in rows
    ]
    return figure(
        "Return by score threshold",
        chart,
        "Requests whose best ad stays below the threshold show none. Points: from all requests to a tenth of them.",
        table("Thresholds", ["Threshold", "Requests shown", "Revenue", "Cost", "ROI"], values),
    )


_SERVED = (("revenue", 1), ("cost", 1), ("roi", 4))


def _by_budget(curves: dict[str, ServingCurve], rows: Columns) -> list[Markup]:
    uniform = uniform_policy(rows["request_key"])
    revenue, cost = (float(uniform @ rows[name]) for name in ("true_revenue", "true_cost"))
    budgets = [cost * share for share in BUDGET_FRACTIONS]
    found: Budgets = {name: curve.at_budgets(budgets) for name, curve in curves.items()}
    found["random"] = random_at_budgets(float(uniform.sum()), revenue, cost, budgets)
    return [
        _budget_chart("Return at equal budget", "true ROI", "roi", found),
        _budget_chart("Profit at equal budget", "true profit, currency units", "profit", found),
    ]


def _budget_chart(title: str, unit: str, key: str, found: Budgets) -> Markup:
    shares = [100 * share for share in BUDGET_FRACTIONS]
    from_share = 2 if key == "roi" else 0
    lines = {name: [_amount(row, key) for row in part] for name, part in found.items()}
    series = [
        Series(_NAMES[name], shares[from_share:], part[from_share:], _STYLES[name]) for name, part in lines.items()
    ]
    chart = line_chart(
        f"{title}: the model, the oracle and random choice.",
        linear_axis("budget, % of what random choice spends on all requests", low=0, high=100),
        linear_axis(unit, [0.0], *(part[from_share:] for part in lines.values())),
        series,
    )
    values = [
        [percent(share, 0), *(number(part[at], 3 if key == "roi" else 1) for part in lines.values())]
        for at, share in enumerate(BUDGET_FRACTIONS)
    ]
    return figure(
        title,
        chart,
        "Requests are served best score first until the money is spent; random choice in random order.",
        table(title, ["Budget", *(_NAMES[name] for name in lines)], values),
    )


def _amount(row: dict[str, Any], key: str) -> float:
    value = row["revenue"] - row["cost"] if key == "profit" else row[key]
    return float("nan") if value is None else float(value)
