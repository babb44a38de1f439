"""What is said of clicks and conversions of logs of their own that did not become labels."""

from dataclasses import dataclass

from rosa_ray.labels.attribution import Fate
from rosa_ray.schema import CLICKS, CONVERSIONS


@dataclass(frozen=True)
class Outcome:
    """One fate of the rows of one table.

    Attributes:
        name: under which such rows are counted.
        text: completes "N rows …".
        lost: nothing of these rows goes on.
        remedy: what to do about them; empty where nothing is wrong.
    """

    name: str
    text: str
    lost: bool = True
    remedy: str = ""


_ZONE, _IDS = "is source.time_zone right?", "are the ids written alike?"

OUTCOMES: dict[str, dict[Fate, Outcome]] = {
    CLICKS.name: {
        Fate.UNKNOWN: Outcome("clicks_without_impression", "are of no impression that the log has", remedy=_IDS),
        Fate.BEFORE: Outcome("clicks_before_impression", "come before their impression", remedy=_ZONE),
        Fate.OUTSIDE: Outcome(
            "clicks_outside_window",
            "come too long after their impression",
            remedy="labels.click_hours is the window",
        ),
        Fate.AMBIGUOUS: Outcome(
            "ambiguous_clicks", "fit several impressions alike", remedy="a column clicks.impression_id would tell"
        ),
        Fate.COPY: Outcome("duplicate_clicks", "are copies of a row", lost=False),
    },
    CONVERSIONS.name: {
        Fate.UNKNOWN: Outcome("conversions_without_impression", "are of no impression that the log has", remedy=_IDS),
        Fate.UNKNOWN_CLICK: Outcome(
            "conversions_without_their_click", "name a click that the log lacks", remedy="are all clicks there?"
        ),
        Fate.BEFORE: Outcome("conversions_before_impression", "come before their click or impression", remedy=_ZONE),
        Fate.OUTSIDE: Outcome(
            "conversions_outside_windows",
            "come outside of every window",
            remedy="labels.click_through_hours and view_through_hours are the windows",
        ),
        Fate.AMBIGUOUS: Outcome(
            "ambiguous_conversions",
            "fit several impressions alike",
            remedy="a column conversions.impression_id or click_id would tell",
        ),
        Fate.UNPAID: Outcome("refunds_without_conversion", "are refunds of what was not bought"),
        Fate.FURTHER: Outcome(
            "further_conversions", "are further conversions of a click (labels.conversions_per_click)", lost=False
        ),
        Fate.COPY: Outcome("duplicate_conversions", "are copies of a row", lost=False),
    },
}
"""Table to what is said of each fate but `JOINED`, in the order of a report."""

OVERDRAWN = Outcome(
    "refunds_above_revenue", "are impressions with larger refunds than revenue (it reads 0)", lost=False
)
"""Of impressions, told among the conversions."""
