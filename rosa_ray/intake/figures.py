"""Figures of a scanned log: spans, days, rates, the age of labels, repeated ids, coverage between tables, periods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rosa_ray.errors import ConfigError
from rosa_ray.intake.scan import TableScan, row_id_of
from rosa_ray.schema import CONVERSIONS
from rosa_ray.schema.overlap import Overlap, find_overlap
from rosa_ray.schema.spans import CONVERSION_TIME, TIME_COLUMNS, TimeBounds, find_bounds, rows_of_days
from rosa_ray.units import DAY_US, HOUR_US

MEETINGS = (
    ("impressions", "user_id", "events", "user_id", "users with impressions have events"),
    ("impressions", "ad_id", "ads", "ad_id", "ads of impressions are in the catalogue"),
    ("ads", "item_id", "events", "item_id", "items of ads occur in events"),
    ("ads", "category", "events", "category", "categories of ads occur in events"),
    ("candidates", "ad_id", "ads", "ad_id", "ads of candidates are in the catalogue"),
    ("impressions", "user_id", "users", "user_id", "users of impressions are in the table of users"),
    ("ads", "item_id", "items", "item_id", "items of ads are in the table of items"),
    ("candidates", "request_id", "impressions", "request_id", "requests of candidates have impressions"),
    ("clicks", "impression_id", "impressions", "impression_id", "impressions of clicks are there"),
    ("conversions", "impression_id", "impressions", "impression_id", "impressions of conversions are there"),
    ("conversions", "click_id", "clicks", "click_id", "clicks of conversions are there"),
)
"""Table and column whose ids the next table and column should know, and what that says after "n of m"."""

Periods = Callable[[int, int], Any]
"""From the first and last moment, in microseconds UTC, to when validation (`valid_us`) and test (`test_us`) begin."""


@dataclass(frozen=True)
class Repeats:
    """Rows whose id another row has already.

    Attributes:
        same: those that are equal in every column.
        other: those that say something else.
        other_labels: those of `other` with another click or conversion.
        example: where two of `other` stand.
    """

    same: int = 0
    other: int = 0
    other_labels: int = 0
    example: str = ""


@dataclass(frozen=True)
class Meeting:
    """Coverage of one table's ids by another's.

    Attributes:
        meaning: what is counted, for people.
        rows: rows of the first table.
        rows_known: rows whose id the other table knows.
    """

    left: str
    right: str
    meaning: str
    overlap: Overlap
    rows: int
    rows_known: int


@dataclass(frozen=True)
class Bulk:
    """The rows of a table that preprocessing takes by their time.

    Attributes:
        start_us, end_us: their first and last time, microseconds UTC.
        outside: rows that it sets aside, because they lie far outside of the log's time.
        examples: times of such rows, the first and the last, or of conversions that come too late.
    """

    start_us: int
    end_us: int
    outside: int = 0
    examples: tuple[int, ...] = ()


def bulks(scans: Mapping[str, TableScan], period: TimeBounds, keep: bool) -> dict[str, Bulk]:
    """Return the time span of each table that has one.

    Args:
        period: that rows are taken of.
        keep: takes rows far outside of the log's time too.
    """
    found = {name: _bulk(scan, period, keep) for name, scan in scans.items() if name in TIME_COLUMNS}
    return {name: bulk for name, bulk in found.items() if bulk is not None}


def _bulk(scan: TableScan, period: TimeBounds, keep: bool) -> Bulk | None:
    time_us = scan.kept.column(TIME_COLUMNS[scan.table])
    bought_us = scan.kept.column(CONVERSION_TIME) if CONVERSION_TIME in scan.kept.names else np.zeros_like(time_us)
    days = {TIME_COLUMNS[scan.table]: rows_of_days(time_us), CONVERSION_TIME: rows_of_days(bought_us[bought_us != 0])}
    asked = period.inside(time_us)
    usual = TimeBounds() if keep else find_bounds(scan.table, days, period)
    taken = usual.inside(time_us, bought_us)
    if not (asked & taken).any():
        return None
    odd, late = asked & ~usual.inside(time_us), asked & ~taken & usual.inside(time_us)
    times = time_us[odd] if odd.any() else bought_us[late]
    examples = tuple(sorted({int(times.min()), int(times.max())})) if len(times) else ()
    inside = time_us[asked & taken]
    return Bulk(int(inside.min()), int(inside.max()), int((asked & ~taken).sum()), examples)


def repeats(scan: TableScan) -> Repeats:
    """Count rows whose id is there already."""
    ids, content = scan.kept.column(row_id_of(scan.table)), scan.kept.column("#content")
    order = np.lexsort((content, ids))
    ids_now, content_now = ids[order], content[order]
    again = np.r_[False, ids_now[1:] == ids_now[:-1]] & (ids_now != 0) if len(ids) else np.zeros(0, bool)
    if not again.any():
        return Repeats()
    same = again & np.r_[False, content_now[1:] == content_now[:-1]]
    # A refund names the conversion that it takes back.
    other = again & ~same & (scan.table != CONVERSIONS.name)
    labels = np.zeros(len(ids), np.int8)
    for name in ("click", "conversion"):
        if name in scan.kept.names:
            labels = labels * 2 + scan.kept.column(name)[order]
    changed = other & np.r_[False, labels[1:] != labels[:-1]]
    return Repeats(int(same.sum()), int(other.sum()), int(changed.sum()), _example(scan, order, other))


def _example(scan: TableScan, order: np.ndarray, other: np.ndarray) -> str:
    if not other.any():
        return ""
    at = int(other.argmax())
    rows = sorted((int(order[at - 1]), int(order[at])))
    places = [scan.place(row) for row in rows]
    column = row_id_of(scan.table)
    if places[0] != places[1]:
        return f"one {column} stands in {places[0]} and in {places[1]}"
    return f"one {column} stands twice in {places[0]}"


def meetings(scans: Mapping[str, TableScan]) -> list[Meeting]:
    """Compare ids between the tables that are there."""
    found = []
    for left, column, right, other, meaning in MEETINGS:
        if left not in scans or right not in scans:
            continue
        kept, known = scans[left].kept, scans[right].kept
        if column not in kept.names or other not in known.names:
            continue
        keys, known_keys = kept.column(column), np.unique(known.column(other))
        keys = keys[keys != 0]
        if len(keys):
            found.append(_meeting(scans, (left, column, right, other, meaning), keys, known_keys))
    return found


def _meeting(
    scans: Mapping[str, TableScan], names: tuple[str, str, str, str, str], keys: np.ndarray, known_keys: np.ndarray
) -> Meeting:
    left, column, right, other, meaning = names
    distinct = np.unique(keys)
    known = int(np.isin(distinct, known_keys).sum())
    written = find_overlap(scans[left].kept.texts(column)[0], _texts_of(scans[right], other))
    overlap = replace(written, ids=len(distinct), known=known)
    rows_known = int(np.isin(keys, known_keys).sum())
    return Meeting(f"{left}.{column}", f"{right}.{other}", meaning, overlap, len(keys), rows_known)


def _texts_of(scan: TableScan, column: str) -> Any:
    return scan.kept.texts(column)[0]


def days(scan: TableScan, bulk: Bulk) -> list[dict[str, Any]]:
    """Rows of each day of the bulk, with clicks and conversions of impressions."""
    at = scan.kept.column(TIME_COLUMNS[scan.table])
    inside = (at >= bulk.start_us) & (at <= bulk.end_us)
    day = at[inside] // DAY_US - bulk.start_us // DAY_US
    length = int(bulk.end_us // DAY_US - bulk.start_us // DAY_US) + 1
    counts = {"rows": np.bincount(day, minlength=length)}
    for name, label in (("clicks", "click"), ("conversions", "conversion")):
        if label in scan.kept.names:
            counts[name] = np.bincount(day, scan.kept.column(label)[inside], minlength=length).astype(int)
    start = np.datetime64(int(bulk.start_us // DAY_US), "D")
    return [
        {"day": str(start + at), **{name: int(values[at]) for name, values in counts.items()}} for at in range(length)
    ]


def rates(scan: TableScan, negative_keep_rate: float = 1.0) -> dict[str, Any]:
    """Clicks, conversions, money and their rates, of all impressions.

    Args:
        negative_keep_rate: share of the impressions without a click that the log kept; rates are of all of them.

    Returns:
        Rows and sums over rows; `stands_for`, how many impressions the rows stand for; `ctr` and `cvr` of these.
    """
    kept = scan.kept
    click, conversion = (kept.column(name).astype(np.float64) for name in ("click", "conversion"))
    given = kept.column("weight") if "weight" in kept.names else np.ones(kept.rows)
    weight = np.where(np.isfinite(given), given, 1.0) / np.where(click > 0, 1.0, negative_keep_rate)
    shown, clicked, bought = (float(part.sum()) for part in (weight, weight * click, weight * conversion))
    clicks, conversions = (int(kept.column(name).sum()) for name in ("click", "conversion"))
    money = {name: _sum(kept.column(name)) for name in ("cost", "revenue", "bid") if name in kept.names}
    return {
        "impressions": kept.rows,
        "clicks": clicks,
        "conversions": conversions,
        "stands_for": shown,
        "ctr": clicked / shown if kept.rows else None,
        "cvr": bought / clicked if clicks else None,
        **money,
    }


def _sum(values: np.ndarray) -> float:
    return float(np.nansum(values))


def label_age(scan: TableScan, bulk: Bulk) -> dict[str, Any] | None:
    """How long conversions take after their requests, and how many clicks are younger than most of that.

    Returns:
        None where no conversion has a time.
    """
    kept = scan.kept
    if "conversion_time" not in kept.names:
        return None
    then, request = kept.column("conversion_time"), kept.column("request_time")
    dated = kept.column("conversion") & (then > 0)
    if not dated.any():
        return None
    delays = (then[dated] - request[dated]) / HOUR_US
    quantiles = {name: float(np.quantile(delays, at)) for name, at in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))}
    end = max(bulk.end_us, int(np.max(then[dated & (then <= bulk.end_us + 60 * DAY_US)], initial=0)))
    clicks = kept.column("click")
    young = clicks & (end - request < quantiles["p90"] * HOUR_US)
    return {
        "conversions_with_time": int(dated.sum()),
        "delay_hours": {**quantiles, "max": float(delays.max())},
        "clicks": int(clicks.sum()),
        "young_clicks": int(young.sum()),
        "days_to_know_99_percent": int(np.ceil(quantiles["p99"] / 24)),
    }


def with_history(scans: Mapping[str, TableScan]) -> tuple[int, int] | None:
    """Return how many impressions come after an event of their user, and how many there are of users with events."""
    if "events" not in scans or "impressions" not in scans:
        return None
    events, shown = scans["events"].kept, scans["impressions"].kept
    users, at = np.unique(events.column("user_id"), return_inverse=True)
    if not len(users):
        return None
    first = np.full(len(users), np.iinfo(np.int64).max)
    np.minimum.at(first, at, events.column("event_time"))
    who = shown.column("user_id")
    place = np.minimum(np.searchsorted(users, who), len(users) - 1)
    known = users[place] == who
    return int((known & (first[place] < shown.column("request_time"))).sum()), int(known.sum())


def periods(scan: TableScan, bulk: Bulk, cut: Periods) -> dict[str, Any]:
    """Return the periods that preprocessing would cut, with impressions, clicks and conversions of each.

    Returns:
        `problem` alone where the settings cut this log in no way.
    """
    try:
        bounds = cut(bulk.start_us, bulk.end_us)
    except ConfigError as error:
        return {"problem": str(error)}
    at = scan.kept.column("request_time")
    inside = (at >= bulk.start_us) & (at <= bulk.end_us)
    period = np.searchsorted([bounds.valid_us, bounds.test_us], at, side="right")
    starts = (bulk.start_us, bounds.valid_us, bounds.test_us)
    found: dict[str, Any] = {}
    for place, name in enumerate(("train", "valid", "test")):
        chosen = inside & (period == place)
        found[name] = {
            "from_us": int(starts[place]),
            "impressions": int(chosen.sum()),
            "clicks": int(scan.kept.column("click")[chosen].sum()),
            "conversions": int(scan.kept.column("conversion")[chosen].sum()),
        }
    return found


def busiest(scan: TableScan) -> tuple[float, int]:
    """Share and number of rows of the user with most of them."""
    users = scan.kept.column("user_id")
    if not len(users) or "user_id" in scan.lacking:
        return 0.0, 0
    most = int(np.unique(users, return_counts=True)[1].max())
    return most / len(users), most
