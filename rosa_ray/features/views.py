"""The counter views: what is counted, per which entity, over which windows, and how features read from it are called.

A view is one entry of `VIEWS`, or a counter that a team declares in `features.counters`. `rosa_ray.features.counting`
folds logs into them and reads them.
"""

import re
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.schema import BEHAVIORS, MISSING_KEY, derive_key

IMPRESSION_MEASURES = ("impressions", "clicks", "conversions", "bid_micros", "cost_micros")


@dataclass(frozen=True)
class View:
    """One family of counters.

    Attributes:
        log: the log it is folded from, `events` or `impressions`.
        entity: key column that names the entity; empty where several do.
        windows_hours: lengths read, in hours; None is the whole past.
        parts: key columns that name the entity together, of a counter of a team's own.
        behaviors: what a view of events counts.
    """

    name: str
    log: str
    entity: str
    windows_hours: tuple[int | None, ...]
    parts: tuple[str, ...] = ()
    behaviors: tuple[str, ...] = BEHAVIORS

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Columns that the entity's key is made of."""
        return self.parts or (self.entity,)

    @property
    def of_users(self) -> bool:
        """Whether each entity belongs to one user."""
        return "user_key" in self.key_columns

    @property
    def has_owners(self) -> bool:
        """Whether an entity belongs to a user whom its key does not tell."""
        return self.of_users and not self.entity

    @property
    def counts_missing(self) -> bool:
        """Whether rows without the entity are counted, under `MISSING_KEY`."""
        return not self.parts and not self.of_users

    def keys(self, columns: Columns) -> np.ndarray:
        """Keys of the entities of n rows, int64 (n,); `MISSING_KEY` where a part of an own counter is missing."""
        if self.entity:
            return columns[self.entity]
        parts = [columns[name] for name in self.parts]
        mixed, known = parts[0], parts[0] != MISSING_KEY
        for key in parts[1:]:
            mixed, known = derive_key(derive_key(mixed, 1) ^ key, 1), known & (key != MISSING_KEY)
        # No entity goes by the key that stands for none.
        return np.where(known, np.where(mixed == MISSING_KEY, 1, mixed), MISSING_KEY)

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
"""With the default behaviours; `counting_behaviors` makes those of others."""

OF_USERS = (*(view.name for view in VIEWS.values() if view.of_users), "events(user_id)", "impressions(user_id)")
"""Views whose entities are users, by name."""

ID_KEYS: dict[str, str] = {
    "user_id": "user_key",
    "ad_id": "ad_key",
    "item_id": "item_key",
    "campaign_id": "campaign_key",
    "category": "category_key",
    "device": "device_key",
    "region": "region_key",
}
"""Ids that own counters may count by -> their key columns."""

CATALOGUE_KEYS = ("ad_key", "item_key", "campaign_key", "category_key")
"""Key columns that the catalogue tells of an ad."""

EVENT_KEYS = ("user_key", "item_key", "category_key")
"""Key columns of events."""

_ID = re.compile(rf"(?:(?:user|item|ad|request)\.)?({'|'.join(ID_KEYS)})")
_OWN = re.compile(r"(events|impressions)\((.+)\)")


def key_column(name: str) -> str:
    """The key column of what a counter counts by: that of an id, or a declared column itself.

    >>> key_column("ad.campaign_id"), key_column("request.placement")
    ('campaign_key', 'request.placement')
    """
    found = _ID.fullmatch(name)
    return ID_KEYS[found[1]] if found else name


def own_view(log: str, by: tuple[str, ...], windows_hours: tuple[int | None, ...]) -> View:
    """The view of an own counter.

    >>> own_view("impressions", ("ad.ad_id", "request.placement"), (24,)).name
    'impressions(ad_id,request.placement)'
    """
    said = [found[1] if (found := _ID.fullmatch(name)) else name for name in by]
    parts = tuple(key_column(name) for name in by)
    return View(f"{log}({','.join(said)})", log, parts[0] if len(parts) == 1 else "", windows_hours, parts)


@cache
def view_named(name: str) -> View | None:
    """The view of a name, of an own counter without its windows; None where no view can have that name.

    >>> view_named("events(user_id,category)").parts
    ('user_key', 'category_key')
    """
    found = _OWN.fullmatch(name)
    return own_view(found[1], tuple(found[2].split(",")), ()) if found else VIEWS.get(name)


@cache
def counting_behaviors(view: View, behaviors: tuple[str, ...]) -> View:
    """The view where events have some behaviours.

    >>> counting_behaviors(VIEWS["item_events"], ("look", "order")).measures
    ('look', 'order')
    """
    return replace(view, behaviors=behaviors) if view.log == "events" else view


def is_of_users(name: str) -> bool:
    """Whether each entity of the view of a name belongs to one user."""
    view = view_named(name)
    return view is not None and view.of_users


def measures_of(name: str, behaviors: int) -> int:
    """Number of sums that the view of a name holds where there are so many behaviours."""
    view = view_named(name)
    return 0 if view is None else behaviors if view.log == "events" else len(view.measures)
