"""What policies earned in the arena, as plain values: totals, gaps with intervals, by campaign and by hour."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rosa_ray.arena.arena import Run
from rosa_ray.arena.ledger import COLUMNS, Ledger
from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.bootstrap import BootstrapConfig, interval

_DIGITS = 4


def figures_of(runs: Sequence[Run], bootstrap: BootstrapConfig) -> dict[str, Any]:
    """Figures of policies in equal worlds. Money is in currency units, rounded to four digits.

    Value is the expected revenue of the impressions less what they cost.

    Returns:
        `policies`, by name: totals, `value_low` and `value_high`, `gap` to the first policy in value with its interval,
        `by_campaign`, `by_hour` (one entry an hour from the first day on) and `by_hour_of_day`.
        `intervals`: how they were drawn. A gap draws users, and takes both policies' figures of the same users.
    """
    first = runs[0]
    policies = {run.name: _of_run(run, first, bootstrap) for run in runs}
    drawn = {"level": bootstrap.level, "replicates": bootstrap.replicates, "seed": bootstrap.seed, "draws": "users"}
    return {"policies": policies, "gaps_to": first.name, "intervals": drawn}


def _of_run(run: Run, first: Run, bootstrap: BootstrapConfig) -> dict[str, Any]:
    ledger = run.ledger
    value_U = ledger.revenue_U - ledger.spend_U
    found = totals(ledger) | {"seconds": round(run.seconds, 1)}
    found |= _interval("value", value_U, bootstrap)
    if run is not first:
        found |= _interval("gap", value_U - (first.ledger.revenue_U - first.ledger.spend_U), bootstrap)
    for name in ("theta", "bound"):
        if isinstance(fitted := getattr(run.policy, name, None), float) and np.isfinite(fitted):
            found[name] = round(fitted, _DIGITS)
    return found | {
        "by_campaign": _by_campaign(ledger),
        "by_hour": _rows(ledger.hour_CHM.sum(axis=2).T, "hour"),
        "by_hour_of_day": _rows(ledger.hour_CHM.sum(axis=2).reshape(len(COLUMNS), -1, 24).mean(axis=1).T, "hour"),
    }


def totals(ledger: Ledger) -> dict[str, Any]:
    """Sums of a ledger, its value, and its return: value over spend, None where nothing was spent."""
    spend, revenue, budget = ledger.total("spend"), ledger.total("revenue"), float(ledger.budget_M.sum())
    days = len(ledger.column_HM("spend")) // 24
    return {
        "requests": ledger.requests,
        "unanswered": ledger.unanswered,
        **{name: int(ledger.total(name)) for name in COLUMNS if name not in ("spend", "revenue")},
        "revenue": round(revenue, _DIGITS),
        "spend": round(spend, _DIGITS),
        "value": round(revenue - spend, _DIGITS),
        "roi": round((revenue - spend) / spend, _DIGITS) if spend else None,
        "budget": round(budget * days, _DIGITS) if np.isfinite(budget) else None,
        "overspend": round(ledger.overspend, _DIGITS),
        "near_audience": round(ledger.near_audience, _DIGITS),
    }


def _by_campaign(ledger: Ledger) -> list[dict[str, Any]]:
    rows = _rows(ledger.hour_CHM.sum(axis=1).T, "campaign")
    for row, budget in zip(rows, ledger.budget_M, strict=True):
        row["daily_budget"] = round(float(budget), _DIGITS) if np.isfinite(budget) else None
    return rows


def _rows(sums_XC: Floats, place: str) -> list[dict[str, Any]]:
    rows = []
    for at, sums in enumerate(sums_XC):
        row = {name: round(float(value), _DIGITS) for name, value in zip(COLUMNS, sums, strict=True)}
        rows.append({place: at, **row, "value": round(row["revenue"] - row["spend"], _DIGITS)})
    return rows


def _interval(name: str, of_user: Floats, config: BootstrapConfig) -> dict[str, float]:
    def statistic(drawn: Ints) -> float:
        return float(drawn @ of_user)

    found = interval(statistic, len(of_user), config)
    if found is None:
        return {}
    return {
        name: round(found.estimate, _DIGITS),
        f"{name}_low": round(found.low, _DIGITS),
        f"{name}_high": round(found.high, _DIGITS),
    }
