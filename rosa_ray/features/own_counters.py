"""Counters that a team declares: of what, by what and over which windows, as views beside those that there are."""

import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Le, MaxLen, MinLen

from rosa_ray.features.own import ColumnConfigs
from rosa_ray.features.views import CATALOGUE_KEYS, EVENT_KEYS, ID_KEYS, View, key_column, own_view
from rosa_ray.schema.own_columns import REQUEST
from rosa_ray.settings import Distinct, SettingError, section, wrong

MOST_PARTS = 4

_PLAIN = re.compile(r"[\w.-]+")


@section("features.counters.*")
class CounterConfig:
    """A counter of your own. What lacks any part of `by` counts nowhere."""

    of: Literal["impressions", "events"] = "impressions"
    """`impressions` counts impressions, clicks and conversions and reads their rates; `events` counts behaviours."""
    by: Annotated[tuple[str, ...], MinLen(1), MaxLen(MOST_PARTS), Distinct()] = ("ad_id",)
    """Whose counts they are, all together: `user_id`, `ad_id`, `item_id`, `campaign_id`, `category`, `device`,
    `region`, and declared columns of type category. Events have a user, an item and a category alone."""
    windows_h: Annotated[tuple[Annotated[int, Ge(1), Le(100_000)] | None, ...], MinLen(1), Distinct()] = (24, None)
    """Lengths read. Null is the whole past, and none is shorter than a bucket."""

    def __post_init__(self) -> None:
        keys = [key_column(name) for name in self.by]
        if len(set(keys)) < len(keys):
            raise wrong(self, "by", "it must name each thing once")
        if odd := next((name for name in self.by if not _PLAIN.fullmatch(name)), None):
            raise wrong(self, "by", f"'{odd}' must be of letters, digits, dots, dashes and underscores")
        if self.of == "events" and not {*keys} <= {*EVENT_KEYS}:
            raise wrong(self, "by", "events are counted by user_id, item_id and category alone")


@cache
def own_views(counters: tuple[CounterConfig, ...]) -> tuple[View, ...]:
    """The views of own counters, in order."""
    return tuple(own_view(one.of, one.by, one.windows_h) for one in counters)


def check_counters(counters: tuple[CounterConfig, ...], columns: ColumnConfigs, bucket_minutes: int) -> None:
    """Refuse counters that no log can fill, that no bucket fits, or that are there twice.

    Raises:
        SettingError: names the counter and what is right.
    """
    for place, counter in enumerate(counters):
        for name in counter.by:
            declared = columns.get(name)
            if key_column(name) == name and (declared is None or declared.type != "category"):
                right = f"'{name}' must be one of {', '.join(ID_KEYS)} or a declared column of type category"
                raise _refused(place, "by", counter.by, right)
        if short := next((hours for hours in counter.windows_h if hours and hours * 60 < bucket_minutes), None):
            right = f"{short} hours must not be shorter than features.bucket_minutes, {bucket_minutes}"
            raise _refused(place, "windows_h", counter.windows_h, right)
    counted = sorted((view.log, sorted(view.parts), place) for place, view in enumerate(own_views(counters)))
    for (*first, _), (*second, place) in pairwise(counted):
        if first == second:
            right = "another counter counts the same by the same; give one of them all windows"
            raise _refused(place, "by", counters[place].by, right)


def part_columns(views: Iterable[View]) -> tuple[str, ...]:
    """Key columns that own counters of impressions need beside user, ad and campaign.

    >>> part_columns([own_view("impressions", ("ad_id", "request.placement"), (24,))])
    ('request.placement',)
    """
    known = {"user_key", "ad_key", "campaign_key"}
    asked = (name for view in views if view.log == "impressions" for name in view.parts)
    return tuple(dict.fromkeys(name for name in asked if name not in known))


def said_columns(views: Iterable[View]) -> tuple[str, ...]:
    """Columns of impressions that own counters need of impression, click and conversion alike; others are known.

    >>> said_columns([own_view("impressions", ("ad_id", "device", "category", "request.placement"), (24,))])
    ('device', 'request.placement')
    """
    asked = [name for name in part_columns(views) if name not in CATALOGUE_KEYS]
    ids = {key: name for name, key in ID_KEYS.items()}
    return tuple(ids.get(name, name) for name in asked)


def is_of_ads(view: View) -> bool:
    """Whether the catalogue tells which entity of a view an ad belongs to."""
    return {*view.key_columns} <= {*CATALOGUE_KEYS}


def said_name(column: str) -> str:
    """What a live record calls a declared column in its `columns`.

    >>> said_name("request.placement"), said_name("user.age_band")
    ('placement', 'user.age_band')
    """
    return column.removeprefix(REQUEST)


def _refused(place: int, name: str, value: tuple[object, ...], right: str) -> SettingError:
    shown = ", ".join("null" if part is None else str(part) for part in value)
    return SettingError("features", ("counters", place, name), f"is [{shown}]; {right}")
