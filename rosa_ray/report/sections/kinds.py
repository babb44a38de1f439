"""What to rank by: what each kind of score earns with the same predictions, and the frontier of profit and return."""

from typing import Any

import numpy as np

from rosa_ray.arrays import Columns, Floats
from rosa_ray.metrics import THETAS, Frontier, Ranking
from rosa_ray.report.blocks import figure, figures, missing, table
from rosa_ray.report.charts import Series, line_chart, linear_axis
from rosa_ray.report.markup import Child, Markup, tag
from rosa_ray.report.numbers import SCORE_WORDS, number
from rosa_ray.report.run_files import RunFiles

TITLE, ORDER = "What to rank by", 21
_COLUMNS = (("roi", 3), ("profit", 1), ("revenue", 1), ("cost", 1), ("oracle_roi", 3), ("oracle_profit", 1))
_DRAWN = ("roi", "profit", "dual", "ecpm")
_MOST_THETA = 16.0


def render(run: RunFiles) -> Child:
    """A table of kinds, and a chart of the frontier where the truth of candidates is there."""
    if run.metrics is None:
        return missing("Test metrics are", run.command("evaluate"))
    test = run.metrics["test"]
    kinds = test.get("kinds")
    if not kinds:
        reason = test.get("policy_skipped") or "it was evaluated by an earlier version"
        return tag("p", f"Not known: {reason}.", class_="missing")
    drawn = [] if run.candidates is None else [_frontier(Ranking.told(test), run.candidates, kinds)]
    return [_kinds(test, kinds), figures(*drawn) if drawn else None]


def _kinds(test: dict[str, Any], kinds: dict[str, Any]) -> list[Markup]:
    values = [
        [_name(kind, one), *(number(one.get(key), digits) for key, digits in _COLUMNS)] for kind, one in kinds.items()
    ]
    head = ["Ranked by", "ROI", "Profit", "Revenue", "Cost", "ROI, truth", "Profit, truth"]
    words = (
        "Every request of the test period shows its top ad; the predictions are the same in every row. The last two "
        f"columns rank by true probabilities. The service ranks by {_kind(test['score_kind'])}."
    )
    return [tag("p", words), table("Kinds of scores", head, values)]


def _name(kind: str, one: dict[str, Any]) -> str:
    return f"{_kind(kind)}, theta {number(one['theta'], 2)}" if one.get("theta") is not None else _kind(kind)


def _kind(kind: str) -> str:
    return SCORE_WORDS.get(kind, kind)


def _frontier(ranking: Ranking, rows: Columns, kinds: dict[str, Any]) -> Markup:
    keys, true = (rows["request_key"], rows["impression_key"]), (rows["true_revenue"], rows["true_cost"])
    expected = ranking.level * rows["p_ctr"] * rows["p_cvr"] * rows["value"]
    curves = {
        "this model": Frontier().update(expected, rows["expected_cost"], *keys, *true),
        "true probabilities": Frontier().update(*true, *keys),
    }
    kept = THETAS <= _MOST_THETA
    lines = [
        Series(name, _return(curve)[kept], curve.profit[kept], style)
        for (name, curve), style in zip(curves.items(), (1, 3), strict=True)
    ]
    points = [
        Series(_name(kind, kinds[kind]), [kinds[kind]["roi"]], [kinds[kind]["profit"]], style, mark=True, joined=False)
        for kind, style in zip(_DRAWN, (4, 5, 2, 6), strict=True)
        if kind in kinds and kinds[kind]["roi"] is not None
    ]
    series = [*lines, *points]
    chart = line_chart(
        "Profit against return by theta, and where kinds of scores lie.",
        linear_axis("true ROI", *(one.x for one in series)),
        linear_axis("true profit, currency units", *(one.y for one in series)),
        series,
    )
    model = curves["this model"]
    values = [
        [number(float(THETAS[at]), 2), number(float(_return(model)[at]), 3), number(float(model.profit[at]), 1)]
        for at in range(0, int(kept.sum()), 4)
    ]
    return figure(
        "Profit against return",
        chart,
        "Along a line theta rises from 0 (left): what one unit of cost has to bring. Theta 1 expects the most profit.",
        table("The model's line", ["Theta", "ROI", "Profit"], values),
    )


def _return(curve: Frontier) -> Floats:
    found: Floats = np.divide(curve.profit, curve.cost, out=np.full(len(THETAS), np.nan), where=curve.cost > 0)
    return found
