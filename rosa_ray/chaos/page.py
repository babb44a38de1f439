"""The outcomes as one HTML page that opens offline."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from rosa_ray.chaos.runner import Document, Outcome
from rosa_ray.report.blocks import table, tiles
from rosa_ray.report.layout import Part, save_page, whole_page
from rosa_ray.report.markup import Child, tag
from rosa_ray.report.numbers import MISSING, count, number

_HEAD = ["Case", "What is done", "What is expected", "What was seen", "Met", "Recovery, s"]


def write_page(document: Document, name: str, out: str | Path) -> Path:
    """Write the page.

    Args:
        name: of the run.

    Raises:
        InputError: the page cannot be written.
    """
    outcomes = list(document.outcomes.values())
    short = [one for one in outcomes if one.state == "not met"]
    parts: list[Part] = [("overview", "What was tried", [tiles(_tiles(document)), _short(short)])]
    by_subject = sorted(outcomes, key=lambda one: one.name.partition(".")[0])
    for subject, cases in groupby(by_subject, key=lambda one: one.name.partition(".")[0]):
        parts.append((subject, subject.replace("_", " ").capitalize(), _table(subject, list(cases))))
    facts = [f"run {name}", *_rates(document), f"written {datetime.now(UTC).date().isoformat()}"]
    return save_page(whole_page(f"{name}: chaos", "Broken on purpose", facts, parts), Path(out))


def _tiles(document: Document) -> list[tuple[str, str, str]]:
    counts = document.counts()
    recoveries = [one.recovery_s for one in document.outcomes.values() if one.recovery_s is not None]
    return [
        ("Met", count(counts["met"]), f"of {len(document.outcomes)} cases"),
        ("Not met", count(counts["not met"]), "callers saw what they may not expect"),
        ("Not tried", count(counts["not tried"]), "this machine cannot"),
        ("Longest recovery, s", number(max(recoveries, default=None), 1), f"of {len(recoveries)} faults"),
    ]


def _rates(document: Document) -> list[str]:
    rates = ", ".join(f"{name} {per_s:.0f}/s" for name, per_s in document.saturation_per_s.items())
    return [f"a third of saturation ({rates})"] if rates else []


def _short(outcomes: Sequence[Outcome]) -> Child:
    if not outcomes:
        return tag("p", tag("strong", "Every case that was tried is met."))
    lines = [tag("li", tag("strong", one.name), ": ", "; ".join(one.shortfalls)) for one in outcomes]
    return [tag("h3", "Not met"), tag("ul", lines)]


def _table(subject: str, outcomes: Sequence[Outcome]) -> Child:
    rows = [
        [
            one.name.partition(".")[2],
            one.does,
            one.expects,
            [one.saw, [tag("small", shortfall) for shortfall in one.shortfalls]],
            {"met": "yes", "not met": "no"}.get(one.state, one.state),
            MISSING if one.recovery_s is None else number(one.recovery_s, 1),
        ]
        for one in outcomes
    ]
    return table(subject, _HEAD, rows, words=(1, 2, 3, 4))
