"""What each kind of score would earn with the same predictions: exact on a simulated log, else estimated."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns, Floats
from rosa_ray.calibration import Returns
from rosa_ray.evaluation.policy_value import (
    CANDIDATE_COLUMNS,
    SHOWN_COLUMNS,
    estimated_value,
    join_truth,
    policy_scores,
    read_truth,
)
from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.features import Split
from rosa_ray.metrics import (
    SCORE_KINDS,
    THETAS,
    BootstrapConfig,
    Frontier,
    PolicyValue,
    Ranking,
    Statistic,
    gap_statistic,
    greedy_policy,
    interval,
    ratio_statistic,
)
from rosa_ray.words import gap_verdict

BASE = "roi"
"""The paper's score, which the others are compared with."""

_BOOTSTRAP = BootstrapConfig()
_FRONTIER = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def rankings(returns: Returns, candidates: Columns) -> Iterator[Ranking]:
    """Every kind that the candidates have amounts for: ratios divide by costs."""
    cost = candidates["expected_cost"]
    if not np.isfinite(cost).all():
        return
    for kind in SCORE_KINDS:
        ranking = Ranking(kind, returns.theta, returns.level)
        if kind not in ("roi", "roas") or cost.all():
            yield ranking


def value_kinds(candidates: Columns, truth: Columns, returns: Returns) -> dict[str, dict[str, Any]]:
    """Exact value of the best ad of each request by every kind.

    Args:
        candidates: `CANDIDATE_COLUMNS`, (n,).
        truth: expected_revenue and expected_cost of the same rows.

    Returns:
        kind -> theta; roi, profit, revenue and cost (currency units); oracle_roi and oracle_profit, of the same kind
        with true expectations.
    """
    return {
        ranking.kind: _value(ranking, policy, candidates, truth)
        for ranking, policy in _policies(candidates, returns).values()
    }


def _policies(candidates: Columns, returns: Returns) -> dict[str, tuple[Ranking, Floats]]:
    keys = candidates["request_key"], candidates["impression_key"]
    return {
        one.kind: (one, greedy_policy(policy_scores(candidates, one), *keys)) for one in rankings(returns, candidates)
    }


def _value(ranking: Ranking, policy: Floats, candidates: Columns, truth: Columns) -> dict[str, Any]:
    revenue, cost = truth["expected_revenue"], truth["expected_cost"]
    value = PolicyValue().update(policy, revenue, cost)
    scores = ranking.of_truth.of_revenue(revenue, cost)
    best = greedy_policy(scores, candidates["request_key"], candidates["impression_key"])
    oracle = PolicyValue().update(best, revenue, cost)
    return {
        "theta": ranking.theta if ranking.kind == "dual" else None,
        **{name: getattr(value, name) for name in ("roi", "profit", "revenue", "cost")},
        "oracle_roi": oracle.roi,
        "oracle_profit": oracle.profit,
    }


def exact_kinds(candidates: Columns, log_dir: str, returns: Returns) -> dict[str, Any] | None:
    """`value_kinds` on a log with a truth; None without one, or without candidates."""
    truth = read_truth(log_dir)
    if truth is None or not len(candidates["request_key"]):
        return None
    return value_kinds(candidates, join_truth(truth, candidates["impression_key"], log_dir), returns)


def measure_kinds(files: Sequence[str], log_dir: str, returns: Returns, clip: float | None = None) -> dict[str, Any]:
    """Value every kind on the test period, with intervals over users.

    Args:
        files: predictions of a run.
        clip: largest importance weight of the estimates.

    Returns:
        requests, theta, level and base; `exact`, rows of kind and the figures of `value_kinds`, with roi_gap, roi_low,
        roi_high and roi_verdict against the base, in percent, and the same of profit; `frontier`, rows of
        theta, roi and profit; both None without truth. `estimated`, rows of kind, roi, low and high by DR where the log
        has propensities, else None with a reason in `estimated_skipped`.
    """
    names = ("user_key", *CANDIDATE_COLUMNS)
    rows = read_predictions(files, Split.POLICY, names)
    shown = read_predictions(files, Split.TEST, SHOWN_COLUMNS)
    truth = read_truth(log_dir) if len(rows["request_key"]) else None
    joined = None if truth is None else join_truth(truth, rows["impression_key"], log_dir)
    estimated, skipped = _estimated(shown, rows, returns, clip)
    return {
        "requests": len(np.unique(rows["request_key"])),
        "theta": returns.theta,
        "level": returns.level,
        "base": BASE,
        "exact": None if joined is None else _exact(rows, joined, returns),
        "frontier": None if joined is None else _frontier(rows, joined, returns),
        "estimated": estimated,
        "estimated_skipped": skipped,
    }


def _exact(rows: Columns, truth: Columns, returns: Returns) -> list[dict[str, Any]]:
    revenue, cost = truth["expected_revenue"], truth["expected_cost"]
    policies = _policies(rows, returns)
    _, base = policies.get(BASE, (None, None))
    found: list[dict[str, Any]] = []
    for kind, (ranking, policy) in policies.items():
        gaps = {} if base is None or kind == BASE else _gaps(policy, base, revenue, cost, rows["user_key"])
        found.append({"kind": kind, **_value(ranking, policy, rows, truth), **gaps})
    return found


def _gaps(policy: Floats, base: Floats, revenue: Floats, cost: Floats, user_key: np.ndarray) -> dict[str, Any]:
    """Of return and of profit, in percent of the base's, paired over users."""
    _, users = ratio_statistic(policy, base, user_key)
    gaps: dict[str, Any] = {}
    # Profits are taken per unit of the base's cost, which changes no gap and bounds them in every draw.
    for name, divisors in {"roi": (policy * cost, base * cost), "profit": (base * cost, base * cost)}.items():
        mine, theirs = (
            gap_statistic(*(ratio_statistic(one * money, per, user_key)[0] for money in (revenue, cost)))
            for one, per in zip((policy, base), divisors, strict=True)
        )
        gap = interval(_percent(mine, theirs), users, _BOOTSTRAP)
        low, high = (gap.low, gap.high) if gap else (None, None)
        gaps |= {f"{name}_gap": gap.estimate if gap else None, f"{name}_low": low, f"{name}_high": high}
        gaps[f"{name}_verdict"] = gap_verdict(low, high)
    return gaps


def _percent(mine: Statistic, theirs: Statistic) -> Statistic:
    def gap(drawn: np.ndarray) -> float | None:
        above, below = mine(drawn), theirs(drawn)
        return None if above is None or below is None or below <= 0 else 100 * (above / below - 1)

    return gap


def _frontier(rows: Columns, truth: Columns, returns: Returns) -> list[dict[str, float]]:
    revenue = returns.level * rows["p_ctr"] * rows["p_cvr"] * rows["value"]
    keys = rows["request_key"], rows["impression_key"]
    true = truth["expected_revenue"], truth["expected_cost"]
    curve = Frontier().update(revenue, rows["expected_cost"], *keys, *true)
    places = sorted({int(np.abs(THETAS - theta).argmin()) for theta in (*_FRONTIER, returns.theta)})
    return [
        {
            "theta": float(THETAS[at]),
            "roi": float(curve.profit[at] / curve.cost[at]),
            "profit": float(curve.profit[at]),
            "cost": float(curve.cost[at]),
        }
        for at in places
        if curve.cost[at]
    ]


def _estimated(
    shown: Columns, rows: Columns, returns: Returns, clip: float | None
) -> tuple[list[dict[str, Any]] | None, str | None]:
    found = []
    for ranking in rankings(returns, rows):
        figures = estimated_value(shown, rows, ranking, clip)
        if figures["off_policy"] is None:
            return None, figures["off_policy_skipped"]
        roi = figures["off_policy"]["dr"]["roi"]
        ends = {"roi": None, "low": None, "high": None}
        if roi:
            ends = {"roi": roi["estimate"], "low": roi["low"], "high": roi["high"]}
        found.append({"kind": ranking.kind, **ends})
    return (found, None) if found else (None, "the test period has no candidates with costs")
