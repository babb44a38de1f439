"""The counter views: what is counted, per which entity, over which windows, and how features read from it are called.

A view is one entry of `VIEWS`. `rosa_ray.features.counting` folds logs into them and reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from rosa_ray.schema import BEHAVIORS

IMPRESSION_MEASURES = ("impressions", "clicks", "conversions", "bid_micros", "cost_micros")


@dataclass(frozen=True)
class View:
    """One family of counters.

    Attributes:
        log: the log it is folded from, `events` or `impressions`.
        entity: key column that names the entity.
        windows_hours: lengths read, in hours; None is the whole past.
        behaviors: what a view of events counts.
    """

    name: str
    log: str
    entity: str
    windows_hours: tuple[int | None, ...]
    behaviors: tuple[str, ...] = BEHAVIORS

    @property
    def measures(self) -> tuple[str, ...]:
        return self.behaviors if self.log == "events" else IMPRESSION_MEASURES

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the dense columns, in order."""
        spans = ["all" if hours is None else f"{hours}h" for hours in self.windows_hours]
        if self.log == "events":
            return tuple(f"{self.name}.{span}.log1p_{name}" for span in spans for name in self.measures)
        kinds = ("log1p_impressions", "log_ctr", "log_cvr")
        return tuple(f"{self.name}.{span}.{kind}" for span in spans for kind in kinds)


VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        View("user_events", "events", "user_key", (24, 168, None)),
        View("item_events", "events", "item_key", (24, 168)),
        View("category_events", "events", "category_key", (24, 168)),
        View("user_impressions", "impressions", "user_key", (24, None)),
        View("ad_impressions", "impressions", "ad_key", (24, None)),
        View("campaign_impressions", "impressions", "campaign_key", (24, None)),
    )
}
"""With the default behaviours."""


@lru_cache
def views_counting(behaviors: tuple[str, ...]) -> Mapping[str, View]:
    """`VIEWS` where views of events count some behaviours.

    >>> views_counting(("look", "order"))["item_events"].measures
    ('look', 'order')
    """
    return {name: replace(view, behaviors=behaviors) for name, view in VIEWS.items()}
