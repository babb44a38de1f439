"""A check as one HTML page that opens offline."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rosa_ray.intake.check import LogCheck, day, hours
from rosa_ray.intake.printed import percent
from rosa_ray.intake.remarks import Remark
from rosa_ray.report.blocks import figure, figures, fold, table, tiles
from rosa_ray.report.charts import GuideLine, Series, line_chart, linear_axis
from rosa_ray.report.layout import Part, save_page, whole_page
from rosa_ray.report.markup import Child, tag
from rosa_ray.report.numbers import MISSING, count
from rosa_ray.schema import CONTRACTS
from rosa_ray.units import DAY_US

_PERIODS = {"train": "training", "valid": "validation", "test": "test"}
_VERDICTS = {
    0: "Nothing is lost and nothing is odd.",
    3: "Something cannot be read.",
    4: "Something would be lost, or is odd.",
}


def write_page(check: LogCheck, name: str, out: str | Path) -> Path:
    """Write the page.

    Args:
        name: of the config.

    Raises:
        InputError: the page cannot be written.
    """
    facts = [f"read in {check.seconds:.1f} s", f"written {datetime.now(UTC).date().isoformat()}"]
    return save_page(whole_page(f"{name}: check", f"Check of {name}", facts, _parts(check)), Path(out))


def _parts(check: LogCheck) -> list[Part]:
    parts: list[Part] = [
        ("remarks", "What was found", [_overview(check), _remarks(check)]),
        ("heads", "What the log can teach", _heads(check)),
        ("tables", "What was read", [_read(check), _set_aside(check), _declared(check), _columns(check)]),
    ]
    if check.daily:
        parts.append(("days", "Day by day", _days(check)))
    if check.periods:
        parts.append(("periods", "Periods", _periods(check)))
    if check.meetings:
        parts.append(("coverage", "Coverage between tables", _coverage(check)))
    if check.label_age:
        parts.append(("labels", "Age of labels", _label_age(check)))
    return parts


def _overview(check: LogCheck) -> Child:
    entries = [(name.capitalize(), count(scan.kept.rows), _of_read(scan)) for name, scan in check.tables.items()]
    if check.rates:
        entries += [
            ("CTR", percent(check.rates["ctr"]), f"{check.rates['clicks']:,} clicks"),
            ("CVR", percent(check.rates["cvr"]), f"{check.rates['conversions']:,} conversions"),
        ]
    return [tag("p", tag("strong", _VERDICTS[check.exit_code])), tiles(entries)]


def _of_read(scan: Any) -> str:
    aside = scan.rows_read - scan.kept.rows
    part = "" if scan.whole else ", read in part"
    return f"{aside:,} set aside{part}" if aside else f"all rows kept{part}"


def _remarks(check: LogCheck) -> Child:
    shown = [remark for remark in check.remarks if remark.level != "off"]
    if not shown:
        return None
    return tag("ul", [tag("li", _remark(remark)) for remark in shown], class_="remarks")


def _remark(remark: Remark) -> Child:
    level = tag("span", remark.level, class_=f"level {remark.level}")
    remedy = tag("small", _sentence(remark.remedy)) if remark.remedy else None
    return [tag("div", level, tag("span", remark.where, class_="note")), _sentence(remark.text), remedy]


def _sentence(text: str) -> str:
    """Text as a sentence: a capital first, a stop last.

    >>> _sentence("is it so?"), _sentence("--rows 0 reads all")
    ('Is it so?', '--rows 0 reads all.')
    """
    stop = "" if text.endswith(("?", ".")) else "."
    return f"{text[:1].upper()}{text[1:]}{stop}"


def _heads(check: LogCheck) -> Child:
    rows = [
        [head.name, "yes" if head.on else "no", [head.why, tag("small", head.remedy) if head.remedy else None]]
        for head in check.heads
    ]
    return table("What the log can teach", ["Part", "There", "Why"], rows, words=(2,))


def _read(check: LogCheck) -> Child:
    head = ["Table", "Files", "Rows read", "Kept", "Set aside", "Users", "From", "To"]
    rows = []
    for name, scan in check.tables.items():
        bulk = check.spans.get(name)
        files = count(scan.files) if scan.whole else f"{scan.files_read} of {scan.files}, in part"
        users = count(scan.kept.distinct("user_id")) if "user_id" in scan.kept.names else MISSING
        span = [day(bulk.start_us), day(bulk.end_us)] if bulk else [MISSING, MISSING]
        counts = [count(scan.rows_read), count(scan.kept.rows), count(scan.rows_read - scan.kept.rows)]
        rows.append([name, files, *counts, users, *span])
    return table("What was read", head, rows)


def _set_aside(check: LogCheck) -> Child:
    rows = [
        [name, one.column, count(one.rows), [one.reason, tag("small", one.example) if one.example else None]]
        for name, scan in check.tables.items()
        for one in (*scan.set_aside, *scan.noted)
    ]
    if not rows:
        return None
    return [tag("h3", "Rows set aside or odd"), table("Rows", ["Table", "Column", "Rows", "Why"], rows, words=(1, 3))]


def _declared(check: LogCheck) -> Child:
    """What declared columns hold."""
    rows = [
        [one.name, one.table, percent(one.known_share), count(one.distinct), "; ".join(one.examples)]
        for one in check.columns
    ]
    head = ["Column", "Table", "Known", "Different", "Such as"]
    return [tag("h3", "Declared columns"), table("Declared columns", head, rows, words=(1, 4))] if rows else None


def _columns(check: LogCheck) -> Child:
    rows = [
        [f"{name}.{entry.name}", percent(scan.kept.known_share(entry.name)), entry.meaning]
        for name, scan in check.tables.items()
        if scan.kept.rows
        for entry in CONTRACTS[name].columns
    ]
    return fold("Columns", table("Columns", ["Column", "Known", "Meaning"], rows, words=(2,)))


def _days(check: LogCheck) -> Child:
    charts = [
        figure(f"{name.capitalize()} a day", _chart(f"{name} of each day", "rows", days, "rows"), values=_values(days))
        for name, days in check.daily.items()
        if len(days) > 1
    ]
    shown = check.daily.get("impressions", [])
    if len(shown) > 1:
        charts.append(figure("Click rate a day", _rates(shown, "clicks", "rows", "click rate, %")))
        if any(one["conversions"] for one in shown):
            note = "It falls at the end where conversions have not come yet."
            charts.append(figure("Conversions per click a day", _rates(shown, "conversions", "clicks", "CVR, %"), note))
    return figures(*charts) if charts else tag("p", "All rows lie on one day.")


def _chart(description: str, label: str, days: list[dict[str, Any]], key: str) -> Child:
    values = np.array([one[key] for one in days], float)
    x = np.arange(1, len(days) + 1)
    axis = linear_axis(f"day, from {days[0]['day']}", x, low=1.0, high=float(len(days)))
    series = [Series(label, x, values, 1, mark=len(days) < 40)]
    return line_chart(description, axis, linear_axis(label, values, [0.0]), series)


def _rates(days: list[dict[str, Any]], above: str, below: str, label: str) -> Child:
    rates = [{"day": one["day"], "rate": 100 * one[above] / one[below] if one[below] else np.nan} for one in days]
    return _chart(f"{label} of each day", label, rates, "rate")


def _values(days: list[dict[str, Any]]) -> Child:
    names = [name for name in days[0] if name != "day"]
    return table("Days", ["Day", *names], [[one["day"], *(count(one[name]) for name in names)] for one in days])


def _periods(check: LogCheck) -> Child:
    if "problem" in check.periods:
        return tag("p", check.periods["problem"])
    rows = []
    for name, part in check.periods.items():
        rate = part["clicks"] / part["impressions"] if part["impressions"] else None
        counts = [count(part[key]) for key in ("impressions", "clicks", "conversions")]
        rows.append([_PERIODS[name], day(part["from_us"]), *counts, percent(rate)])
    head = ["Period", "From", "Impressions", "Clicks", "Conversions", "CTR"]
    return [table("Periods", head, rows), _period_chart(check)]


def _period_chart(check: LogCheck) -> Child:
    days, bulk = check.daily.get("impressions", []), check.spans["impressions"]
    if len(days) < 2:
        return None
    values = np.array([one["rows"] for one in days], float)
    x = np.arange(1, len(days) + 1)
    axis = linear_axis(f"day, from {days[0]['day']}", x, low=1.0, high=float(len(days)))
    begin = bulk.start_us // DAY_US * DAY_US
    guides = [
        GuideLine(1 + (check.periods[name]["from_us"] - begin) / DAY_US, _PERIODS[name]) for name in ("valid", "test")
    ]
    close = any(b.at - a.at < 0.25 * len(days) for a, b in pairwise(guides))
    guides = [GuideLine(guides[0].at, "validation, test"), GuideLine(guides[1].at, "")] if close else guides
    chart = line_chart(
        "impressions of each day with the beginnings of the periods",
        axis,
        linear_axis("impressions", values, [0.0]),
        [Series("impressions", x, values, 1)],
        guides,
    )
    return figure("Where the periods begin", chart)


def _coverage(check: LogCheck) -> Child:
    rows = [
        [
            [one.meaning, tag("small", f"{one.left} in {one.right}")],
            f"{one.overlap.known:,} of {one.overlap.ids:,}",
            percent(one.overlap.share),
            f"{one.rows_known:,} of {one.rows:,}",
            one.overlap.told(one.left, one.right),
        ]
        for one in check.meetings
    ]
    return table("Coverage", ["What", "Ids known", "Share", "Rows known", "Hint"], rows, words=(4,))


def _label_age(check: LogCheck) -> Child:
    age = check.label_age
    assert age is not None
    late = age["delay_hours"]
    names = (("p50", "half of them"), ("p90", "90 %"), ("p99", "99 %"), ("max", "all"))
    rows = [[f"{words} come within", hours(late[name])] for name, words in names]
    return [
        table("Delay of conversions", ["Conversions", "After the request"], rows),
        tag(
            "p",
            f"{age['young_clicks']:,} of {age['clicks']:,} clicks are younger than 90 % of the conversions need. "
            "Their conversions may still come.",
        ),
    ]
