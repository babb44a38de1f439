"""What kinds of scores earn, for a terminal; see `kinds.py`."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def kinds_table(document: Mapping[str, Any], title: str) -> Table | None:
    """The exact rows of `measure_kinds` for a terminal, None where there are none."""
    if not document["exact"]:
        return None
    names = ("ranked by", "ROI", "profit", "cost", "ROI, %", "profit, %", "verdict on profit", "oracle ROI")
    table = Table(*names, title=title)
    for row in document["exact"]:
        name = f"dual, theta {row['theta']:.2f}" if row["kind"] == "dual" else row["kind"]
        money = (f"{row[one]:,.0f}" for one in ("profit", "cost"))
        cells = (_gap(row, "roi"), _gap(row, "profit"), row.get("profit_verdict") or "")
        table.add_row(name, f"{row['roi']:.2f}", *money, *cells, f"{row['oracle_roi']:.2f}")
    return table


def frontier_table(document: Mapping[str, Any]) -> Table | None:
    """Profit against return by theta for a terminal, None without truth."""
    if not document["frontier"]:
        return None
    table = Table("theta", "ROI", "profit", "cost", title="what one unit of cost has to bring, and what comes of it")
    for row in document["frontier"]:
        table.add_row(f"{row['theta']:.2f}", f"{row['roi']:.2f}", f"{row['profit']:,.0f}", f"{row['cost']:,.0f}")
    return table


def estimated_table(document: Mapping[str, Any]) -> Table | None:
    """What the log lets one estimate of each kind for a terminal, None where it does not."""
    if not document["estimated"]:
        return None
    table = Table("ranked by", "ROI", "95 %", title="estimated from what the log shows and its propensities (DR)")
    for row in document["estimated"]:
        ends = "" if row["low"] is None else f"{row['low']:.2f} … {row['high']:.2f}"
        table.add_row(row["kind"], "–" if row["roi"] is None else f"{row['roi']:.2f}", ends)
    return table


def _gap(row: Mapping[str, Any], name: str) -> str:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return "" if low is None else f"{row[f'{name}_gap']:+.1f} ({low:+.1f} … {high:+.1f})"
