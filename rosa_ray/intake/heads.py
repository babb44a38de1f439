"""Which parts of the model a log can teach, and what is missing for the others."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rosa_ray.intake.scan import TableScan


@dataclass(frozen=True)
class Head:
    """A part of the model, or of its evaluation.

    Attributes:
        on: whether the log has what it needs.
        why: what it has, or lacks.
        remedy: what would turn it on.
    """

    name: str
    on: bool
    why: str
    remedy: str = ""


def heads(scans: Mapping[str, TableScan], unread: Collection[str] = ()) -> Iterator[Head]:
    """Yield the parts of the model in the order of a funnel.

    Args:
        scans: tables with rows.
        unread: tables of which no row could be used.
    """
    if "impressions" in unread:
        yield Head("rankers", False, "the impressions cannot be read")
        return
    events, shown, ads = scans.get("events"), scans.get("impressions"), scans.get("ads")
    yield _timelines(events, "events" in unread)
    if shown is None:
        yield Head("rankers", False, "there are no impressions", "`rosa simulate` shows ads on these timelines")
        return
    clicks, conversions = (int(shown.kept.column(name).sum()) for name in ("click", "conversion"))
    yield Head("CTR", clicks > 0, f"{clicks:,} clicks" if clicks else "no impression has a click")
    yield Head(
        "CVR",
        conversions > 0,
        f"{conversions:,} conversions" if conversions else "no impression has a conversion",
        "" if conversions else "the head cannot learn; rank by clicks (score kind `ctr`)",
    )
    yield _money(shown, "value", "revenue", "revenue", "values of conversions cannot be learned")
    yield _money(shown, "cost", "cost", "cost", "ROI and profit are undefined, and counters of cost are 0")
    if "ads" not in unread:
        yield _catalogue(ads, events)
    known = shown.kept.known_share("propensity") if "propensity" in shown.kept.names else 0.0
    yield Head(
        "off-policy estimates",
        known > 0,
        f"{known:.0%} of the impressions have a propensity" if known else "no impression has a propensity",
        "" if known else "log the probability with which each ad was chosen",
    )
    candidates = "candidates" in scans
    yield Head(
        "value of other policies",
        candidates,
        f"{scans['candidates'].kept.rows:,} candidates" if candidates else "there are no candidates",
        "" if candidates else "log the ads that could have been shown",
    )


def _timelines(events: TableScan | None, unread: bool) -> Head:
    if unread:
        return Head("timelines", False, "the events cannot be read")
    if events is None:
        return Head("timelines", False, "there are no events", "models read the impression alone")
    return Head("timelines", True, f"{events.kept.rows:,} events of {events.kept.distinct('user_id'):,} users")


def _money(shown: TableScan, name: str, column: str, words: str, remedy: str) -> Head:
    values = shown.kept.column(column) if column in shown.kept.names else np.zeros(0)
    paid = int(np.count_nonzero(np.nan_to_num(values) > 0))
    if paid:
        return Head(name, True, f"{paid:,} impressions have {words}")
    return Head(name, False, f"no impression has {words}", remedy)


def _catalogue(ads: TableScan | None, events: TableScan | None) -> Head:
    if ads is None:
        return Head("catalogue", False, "there are no ads", "name the table of ads in source.ads")
    known = ads.kept.known_share("item_id")
    on = known > 0 and events is not None
    why = f"{known:.0%} of {ads.kept.distinct('ad_id'):,} ads name an item" if known else "no ad names its item"
    remedy = "" if on else "an ad's own item is not found in timelines" if not known else "there are no events"
    return Head("exact match", on, why, remedy)
