"""A check as tables for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from rosa_ray.intake.check import LogCheck, day, hours

COLOURS = {"unreadable": "bold red", "lost": "red", "odd": "yellow", "off": "cyan", "note": "dim"}
_PERIODS = {"train": "training", "valid": "validation", "test": "test"}


def tables(check: LogCheck) -> Iterator[Table]:
    """Yield the tables in the order of the page."""
    yield _read(check)
    if check.meetings:
        yield _coverage(check)
    if check.columns:
        yield _columns(check)
    if check.periods and "problem" not in check.periods:
        yield _periods(check.periods)
    yield _heads(check)
    if check.remarks:
        yield _remarks(check)


def summary(check: LogCheck) -> str:
    """Return the figures of the impressions in one line; empty without any."""
    if not check.rates:
        return ""
    found = check.rates
    parts = [f"CTR {percent(found['ctr'])}", f"CVR {percent(found['cvr'])}"]
    parts += [f"{name} {found[name]:,.2f}" for name in ("cost", "revenue") if found.get(name)]
    if check.label_age:
        parts.append(f"conversions after {hours(check.label_age['delay_hours']['p50'])} (median)")
    return ", ".join(parts)


def percent(share: float | None) -> str:
    """Return a share.

    >>> percent(0.07531), percent(None)
    ('7.53 %', '–')
    """
    return "–" if share is None else f"{100 * share:.3g} %"


def _grid(title: str, *columns: str, words: int = 1) -> Table:
    table = Table(title=title, title_justify="left")
    for at, name in enumerate(columns):
        table.add_column(name, overflow="fold", justify="left" if at < words else "right")
    return table


def _read(check: LogCheck) -> Table:
    table = _grid("Read", "table", "files", "rows read", "kept", "set aside", "users", "from", "to")
    for name, scan in check.tables.items():
        bulk = check.spans.get(name)
        files = f"{scan.files}" if scan.whole else f"{scan.files_read} of {scan.files}, in part"
        users = f"{scan.kept.distinct('user_id'):,}" if "user_id" in scan.kept.names else ""
        span = [day(bulk.start_us), day(bulk.end_us)] if bulk else ["", ""]
        aside = scan.rows_read - scan.kept.rows
        table.add_row(name, files, f"{scan.rows_read:,}", f"{scan.kept.rows:,}", f"{aside:,}", users, *span)
    return table


def _coverage(check: LogCheck) -> Table:
    table = _grid("Coverage", "what", "known", "of", "rows known", "of rows")
    for one in check.meetings:
        known = f"{one.overlap.known:,}", f"{one.overlap.ids:,}", f"{one.rows_known:,}", f"{one.rows:,}"
        table.add_row(one.meaning, *known)
    return table


def _columns(check: LogCheck) -> Table:
    table = _grid("Declared columns", "column", "table", "such as", "known", "different", words=3)
    for one in check.columns:
        table.add_row(one.name, one.table, "; ".join(one.examples), percent(one.known_share), f"{one.distinct:,}")
    return table


def _periods(periods: Mapping[str, Any]) -> Table:
    table = _grid("Periods", "period", "from", "impressions", "clicks", "conversions", "CTR")
    for name, part in periods.items():
        rate = part["clicks"] / part["impressions"] if part["impressions"] else None
        counts = [f"{part[key]:,}" for key in ("impressions", "clicks", "conversions")]
        table.add_row(_PERIODS[name], day(part["from_us"]), *counts, percent(rate))
    return table


def _heads(check: LogCheck) -> Table:
    table = _grid("What the log can teach", "part", "", "why", "instead", words=4)
    for head in check.heads:
        table.add_row(head.name, "yes" if head.on else "no", head.why, head.remedy)
    return table


def _remarks(check: LogCheck) -> Table:
    table = _grid("Remarks", "", "where", "what", "what to do", words=4)
    for remark in check.remarks:
        if remark.level != "off":
            table.add_row(f"[{COLOURS[remark.level]}]{remark.level}[/]", remark.where, remark.text, remark.remedy)
    return table
