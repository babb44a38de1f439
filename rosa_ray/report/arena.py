"""What policies earned in the arena as one HTML page that opens offline."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rosa_ray.report.blocks import figure, figures, table, tiles
from rosa_ray.report.charts import Row, Series, line_chart, linear_axis, row_chart
from rosa_ray.report.layout import Part, save_page, whole_page
from rosa_ray.report.markup import Child, tag
from rosa_ray.report.numbers import MISSING, count, number
from rosa_ray.words import counted

_MOST_LINES = 6


def write_arena_page(found: Mapping[str, Any], out: str | Path) -> Path:
    """Write the page.

    Args:
        found: figures of `rosa_ray.arena.figures_of`, and `settings`.

    Raises:
        InputError: the page cannot be written.
    """
    arena, simulation = found["settings"]["arena"], found["settings"]["simulation"]
    share = arena["budget_share"]
    limit = f"budgets are {share:g} of what {arena['base']} spends without" if share else "no budgets"
    facts = [
        f"{simulation['users']:,} users, {counted(arena['days'], 'day')}, seed {simulation['seed']}",
        limit,
        f"noise {arena['noise']:g} in the logits of estimates",
        f"written {datetime.now(UTC).date().isoformat()}",
    ]
    parts: list[Part] = [
        ("value", "Who earns most", [tiles(_tiles(found)), _intervals(found), _totals(found)]),
        ("hours", "Hour by hour", _hours(found)),
        ("campaigns", "Campaign by campaign", _campaigns(found)),
    ]
    return save_page(whole_page("Arena", "Policies in the arena", facts, parts), Path(out))


def _tiles(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    policies = found["policies"]
    best = max(policies, key=lambda name: policies[name]["value"])
    first = policies[found["gaps_to"]]
    return [
        ("Highest value", best, f"{policies[best]['value']:,.0f} currency units"),
        ("First policy", found["gaps_to"], f"{first['value']:,.0f} currency units"),
        ("Requests", count(first["requests"]), "the same ones for all policies"),
    ]


def _intervals(found: Mapping[str, Any]) -> Child:
    policies = found["policies"]
    best = max(policies, key=lambda name: policies[name]["value"])
    rows = [
        Row(
            name, row["value"], count(row["value"]), row["value_low"], row["value_high"], style=2 if name == best else 1
        )
        for name, row in policies.items()
    ]
    ends = np.array([[row["value_low"], row["value_high"]] for row in policies.values()]).ravel()
    axis = linear_axis("value, currency units", ends, ticks=3)
    note = "True value: expected revenue of the impressions less their cost. The bars are 95 % over users."
    return figure("Value of each policy", row_chart("value of each policy", axis, rows), note)


def _totals(found: Mapping[str, Any]) -> Child:
    base = found["policies"][found["gaps_to"]]["value"]
    rows: list[list[Child]] = []
    for name, row in found["policies"].items():
        gap = MISSING
        if "gap" in row and base > 0:
            estimate, low, high = (100 * row[key] / base for key in ("gap", "gap_low", "gap_high"))
            gap = f"{estimate:+.1f} ({low:+.1f} … {high:+.1f})"
        overspend = number(row["overspend"], 1) if row["budget"] else MISSING
        shown, lost, cut = (count(row[key]) for key in ("impressions", "lost", "cut"))
        near = number(100 * row["near_audience"], 0)
        money = [count(row["value"]), count(row["spend"]), number(row["roi"], 2), gap, overspend]
        rows.append([name, *money, shown, lost, cut, near])
    head = [
        "Policy",
        "Value",
        "Spend",
        "ROI",
        f"Value above {found['gaps_to']}, %",
        "Overspend",
        "Shown",
        "Lost",
        "Cut",
        "Near audience, %",
    ]
    note = (
        "Lost: auctions below the market price. Cut: chosen when the campaign had just spent its budget. "
        "Near audience: campaigns that reach regions as their requests would, but for a tenth of the impressions."
    )
    return [table("Policies", head, rows), tag("p", note)]


def _hours(found: Mapping[str, Any]) -> Child:
    names = list(found["policies"])[:_MOST_LINES]
    spends = {name: _of_hours(found, name, "spend") for name in names}
    values = {name: _of_hours(found, name, "value") for name in names}
    hours = np.arange(24.0)
    axis = linear_axis("hour of the day", hours)
    charts = [_chart("Spend of each hour, mean over days", axis, hours, spends)]
    budget = found["policies"][names[0]]["budget"]
    if budget:
        days = found["settings"]["arena"]["days"]
        left = {name: 100 * (1 - np.cumsum(spend) * days / budget) for name, spend in spends.items()}
        charts.append(_chart("Share of the budgets that is left at the end of an hour, %", axis, hours, left))
    charts.append(_chart("Value of each hour, mean over days", axis, hours, values))
    more = len(found["policies"]) - len(names)
    return [figures(*charts), tag("p", f"{more} further policies are not drawn.") if more > 0 else None]


def _of_hours(found: Mapping[str, Any], name: str, column: str) -> np.ndarray:
    return np.array([row[column] for row in found["policies"][name]["by_hour_of_day"]], float)


def _chart(title: str, axis: Any, hours: np.ndarray, lines: Mapping[str, np.ndarray]) -> Child:
    series = [Series(name, hours, values, 1 + at) for at, (name, values) in enumerate(lines.items())]
    return figure(title, line_chart(title, axis, linear_axis("", *(one.y for one in series)), series))


def _campaigns(found: Mapping[str, Any]) -> Child:
    names = list(found["policies"])
    tables = {name: found["policies"][name]["by_campaign"] for name in names}
    rows: list[list[Child]] = []
    for at, campaign in enumerate(tables[names[0]]):
        budget = campaign["daily_budget"]
        won = max(names, key=lambda name: tables[name][at]["value"])
        values = [count(tables[name][at]["value"]) for name in names]
        rows.append([f"m{campaign['campaign']}", MISSING if budget is None else number(budget, 1), *values, won])
    head = ["Campaign", "Budget a day", *(f"Value, {name}" for name in names), "Highest"]
    return table("Campaigns", head, rows, words=(len(head) - 1,))
