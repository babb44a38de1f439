"""What ways of spending budgets bring, for a terminal; see `budgets.py`."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def budgets_tables(document: Mapping[str, Any]) -> list[Table]:
    """A table for each share of `measure_budgets`; none where none was asked for."""
    measured = document.get("budgets")
    return [] if measured is None else [_table(measured, share) for share in measured["shares"]]


def _table(document: Mapping[str, Any], share: Mapping[str, Any]) -> Table:
    title = (
        f"budgets of {share['share']:g} of the spend without them: {share['budget']:,.0f} a day, "
        f"{document['campaigns']} campaigns, {document['days']} days"
    )
    names = ("money is spent", "true profit", "of hindsight", "over one price", "cost", "spent", "overspend", "ROI")
    caption = f"one price of yesterday: {share['price']:.2f}; that is a start for the budget step"
    table = Table(*names, title=title, caption=caption)
    for row in share["ways"]:
        roi = "–" if row["roi"] is None else f"{row['roi']:.2f}"
        gaps = (f"{100 * row['of_best']:.1f} %", f"{100 * row['above_rival']:+.1f} %")
        shares = (f"{100 * row['spent']:.1f} %", f"{100 * row['overspend']:.2f} %")
        table.add_row(row["way"], f"{row['profit']:,.0f}", *gaps, f"{row['cost']:,.0f}", *shares, roi)
    return table
