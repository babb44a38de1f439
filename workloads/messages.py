"""What jobs tell a person in the same words."""

from collections.abc import Iterator
from typing import Any

import typer

from rosa_ray.schema.contract import LACKING_REMEDY
from rosa_ray.schema.contracts import lacking_in_words

RIPE_SHARE = 0.95
"""Share of a period's conversions that have come, below which labels are said to be unripe."""

MOST_COLUMNS = 8
"""Declared columns whose shares are printed; `data/report.json` and the report page have all."""


def print_set_aside(path: str, reason: str) -> None:
    """Name an input file that was set aside, and why, on stderr."""
    typer.secho(f"set aside: {path}: {reason.removeprefix(path + ': ')}", fg=typer.colors.YELLOW, err=True)


def stands_for(report: dict[str, Any]) -> str:
    """Say how many impressions the rows of a data report stand for, where that is another number.

    >>> stands_for({"impressions": 120, "stands_for": 1200.0}), stands_for({"impressions": 5, "stands_for": 5.0})
    (', which stand for 1,200', '')
    """
    meant = report["stands_for"]
    return f", which stand for {meant:,.0f}" if meant != report["impressions"] else ""


def print_losses(report: dict[str, Any]) -> None:
    """Say which rows did not go on and why, whether the tables know each other, and on stderr what is wrong."""
    lines = list(loss_lines(report["losses"]))
    if lines:
        print("\n".join(["rows that did not go on, or not as they were:", *lines]))
    for table, names in report.get("lacking", {}).items():
        print(f"{table} have no column {lacking_in_words(table, names)}; {LACKING_REMEDY}")
    for share in report["coverage"]:
        print(f"{share['have']:,} of {share['of']:,} {share['what']}")
    if line := columns_line(report.get("own", {})):
        print(line)
    for warning in report["warnings"]:
        typer.secho(f"warning: {warning}", fg=typer.colors.YELLOW, err=True)


def columns_line(own: dict[str, Any]) -> str:
    """Say for declared columns which share of the impressions has a value; of many, those least known.

    >>> columns_line({"impressions": 200, "known": {"user.age_band": 150, "item.brand": 200}})
    'impressions with a value: user.age_band 75 %, item.brand 100 %'
    >>> columns_line({"impressions": 2, "known": {f"user.c{place:02}": 2 - (place == 7) for place in range(12)}})[-30:]
    '100 %, 4 more at least so much'
    """
    known = own.get("known", {})
    chosen = [*known] if len(known) <= MOST_COLUMNS else sorted(known, key=lambda name: known[name])[:MOST_COLUMNS]
    shares = [f"{name} {100 * known[name] / own['impressions']:.3g} %" for name in chosen]
    shares += [f"{len(known) - len(chosen)} more at least so much"] if len(chosen) < len(known) else []
    return f"impressions with a value: {', '.join(shares)}" if shares else ""


def catalogue_line(catalogue: dict[str, int]) -> str:
    """How the catalogue changed while the log ran; empty where it did not.

    >>> catalogue_line({"ads": 16, "versions": 32, "begin": 1, "end": 0})
    'the catalogue has 16 ads in 32 versions; while the log ran, 1 began and 0 ended'
    >>> catalogue_line({"ads": 16, "versions": 16, "begin": 0, "end": 0})
    ''
    """
    ads, versions, begin, end = (catalogue[name] for name in ("ads", "versions", "begin", "end"))
    if versions == ads and not begin and not end:
        return ""
    return (
        f"the catalogue has {ads:,} ads in {versions:,} versions; while the log ran, {begin:,} began and {end:,} ended"
    )


def young_line(report: dict[str, Any]) -> str:
    """Say how many impressions of each period are too young for their conversions to be known; empty without a window.

    >>> splits = {"train": {"young": 20, "impressions": 1000}, "policy": {"young": 0, "impressions": 9}}
    >>> young_line({"labels_as_of": "2026-01-15T00:00:00+00:00", "splits": splits})
    'labels as of 2026-01-15T00:00:00+00:00: too young for conversions are 20 of 1,000 impressions in train'
    """
    if "labels_as_of" not in report:
        return ""
    parts = [
        f"{part['young']:,} of {part['impressions']:,} impressions in {name}"
        for name, part in report["splits"].items()
        if name in ("train", "valid", "test")
    ]
    return f"labels as of {report['labels_as_of']}: too young for conversions are {', '.join(parts)}"


def ripe_line(report: dict[str, Any]) -> str:
    """Say how many conversions of a period have not come yet; empty where nearly all have, or labels have a window.

    >>> ripe_line({"ripe": {"train": 1.0, "valid": 0.97, "test": 0.62}})
    'labels: about 38 % of the conversions of test came after the log ends; set labels.attribution_days'
    """
    missing = {name: 1 - share for name, share in report.get("ripe", {}).items() if share < RIPE_SHARE}
    parts = [f"{share:.0%} of the conversions of {name}".replace("%", " %") for name, share in missing.items()]
    return f"labels: about {', '.join(parts)} came after the log ends; set labels.attribution_days" if parts else ""


def loss_lines(losses: list[dict[str, Any]]) -> Iterator[str]:
    """One line a reason: table, rows, share, whether the rows are lost, why, an example, and what to do.

    >>> loss = {"table": "ads", "rows": 3, "share": 0.25, "lost": True, "reason": "price are null", "example": "a.csv"}
    >>> print(*loss_lines([loss | {"remedy": ""}]))
      ads                   3   25.00 %  lost  price are null; e.g. a.csv
    """
    for loss in losses:
        fate = "lost" if loss["lost"] else "    "
        example = f"; e.g. {loss['example']}" if loss["example"] else ""
        remedy = f" ({loss['remedy']})" if loss["remedy"] else ""
        share = f"{100 * loss['share']:.2f} %"
        yield f"  {loss['table']:<12}{loss['rows']:>11,}{share:>10}  {fate}  {loss['reason']}{example}{remedy}"
