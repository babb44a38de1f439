"""Joins clicks and conversions to impressions, on ids, or on user, ad and time inside of a window.

Columns in, labels out. What comes out depends on the rows alone, never on their order. Keys are those of
`rosa_ray.schema.hash_ids`, 0 where an id is missing. Times are int64 microseconds.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from rosa_ray.arrays import Columns, Floats, Ints
from rosa_ray.labels.config import LabelsConfig
from rosa_ray.labels.pairing import NEVER, Flags, copies_of, earliest, group_rows, latest, same_pairs, span_of, sum_by
from rosa_ray.schema import MISSING_KEY
from rosa_ray.units import DAY_US, HOUR_US

NAMED_CLICK_US = 30 * DAY_US
"""A click that names its impression may come so long after it, or `labels.click_hours` where that is more."""


class Fate(IntEnum):
    """What became of a click or a conversion. The integer is its code.

    >>> Fate["OUTSIDE"].value
    4
    """

    JOINED = 0
    COPY = 1
    UNKNOWN = 2
    """Its impression, or none of its user and ad, is there."""
    BEFORE = 3
    """It came before its impression."""
    OUTSIDE = 4
    """It came outside of every window."""
    AMBIGUOUS = 5
    """Several impressions fit alike."""
    UNKNOWN_CLICK = 6
    """Its click is not there."""
    FURTHER = 7
    """Another conversion of its click came first."""
    UNPAID = 8
    """A refund of what was not bought."""


@dataclass(frozen=True)
class Joined:
    """Labels of n impressions.

    Attributes:
        click, conversion: bool (n,).
        click_us, conversion_us: int64 (n,), `NEVER` without one.
        revenue, cost: float64 (n,), currency units.
        click_cost: float64 (n,), what of the cost the clicks brought.
        click_fate, conversion_fate: int8, codes of `Fate`, one a row of the clicks and of the conversions.
        overdrawn: bool (n,), refunds were larger than the revenue.
    """

    click: Flags
    click_us: Ints
    conversion: Flags
    conversion_us: Ints
    revenue: Floats
    cost: Floats
    click_cost: Floats
    click_fate: np.ndarray
    conversion_fate: np.ndarray
    overdrawn: Flags


def attribute(impressions: Columns, clicks: Columns, conversions: Columns, config: LabelsConfig) -> Joined:
    """Join clicks and conversions to the impressions of some users.

    A label that an impression has already stays: clicks and conversions are added, revenue and cost are the larger of
    both, times the earlier.

    Args:
        impressions: impression_key, user_key, ad_key, item_key, time_us, click, click_us, conversion, conversion_us,
            revenue, cost, and price, the revenue of a conversion that does not say. Rows that agree in impression, user
            and ad are versions of one impression and get the same labels.
        clicks: click_key, impression_key, user_key, ad_key, time_us, and cost, NaN where it is not known.
        conversions: conversion_key, impression_key, click_key, user_key, ad_key, item_key, time_us, and revenue, below
            0 for a refund, NaN where it is not known.
    """
    if not len(impressions["time_us"]):
        return _without_impressions(clicks, conversions)
    shown = _Shown(impressions)
    click_fate, click_to = _join_clicks(shown, clicks, config)
    touches = _Touches(shown, clicks, click_to)
    fate, to, bought = _join_conversions(shown, touches, conversions, config)
    earned = _earned(shown, conversions, fate, to, bought, config)
    joined = click_to >= 0
    paid = sum_by(click_to[joined], np.nan_to_num(clicks["cost"][joined]), shown.count)
    of, first_us = shown.of_row, touches.first_us
    return Joined(
        click=(first_us < NEVER)[of],
        click_us=first_us[of],
        conversion=(earned.first_us < NEVER)[of],
        conversion_us=earned.first_us[of],
        revenue=np.maximum(shown.revenue, earned.revenue)[of],
        cost=np.maximum(shown.cost, paid)[of],
        click_cost=paid[of],
        click_fate=click_fate,
        conversion_fate=earned.fate,
        overdrawn=earned.overdrawn[of],
    )


def _without_impressions(clicks: Columns, conversions: Columns) -> Joined:
    """What becomes of clicks and conversions where nothing was shown."""
    named = (conversions["click_key"] != MISSING_KEY) & (conversions["impression_key"] == MISSING_KEY)
    click_fate = np.full(len(clicks["time_us"]), Fate.UNKNOWN, np.int8)
    conversion_fate = np.where(named, Fate.UNKNOWN_CLICK, Fate.UNKNOWN).astype(np.int8)
    click_fate[copies_of(clicks)], conversion_fate[copies_of(conversions)] = Fate.COPY, Fate.COPY
    no, never, nothing = np.zeros(0, bool), np.zeros(0, np.int64), np.zeros(0)
    return Joined(no, never, no, never, nothing, nothing, nothing, click_fate, conversion_fate, no)


class _Shown:
    """Impressions, the versions of each as one: the earliest time, the largest amounts, the labels they have."""

    def __init__(self, rows: Columns) -> None:
        self.of_row, first = group_rows([rows[name] for name in ("impression_key", "user_key", "ad_key")])
        self.count = len(first)
        self.impression_key, self.user_key, self.ad_key, self.item_key = (
            rows[name][first] for name in ("impression_key", "user_key", "ad_key", "item_key")
        )
        self.time_us = self._least(rows["time_us"])
        self.click_us = self._least(np.where(rows["click"], rows["click_us"], NEVER))
        self.conversion_us = self._least(np.where(rows["conversion"], rows["conversion_us"], NEVER))
        self.revenue, self.cost, self.price = (self._most(rows[name]) for name in ("revenue", "cost", "price"))

    def _least(self, values: Ints) -> Ints:
        found = np.full(self.count, NEVER)
        np.minimum.at(found, self.of_row, values)
        return found

    def _most(self, values: Floats) -> Floats:
        found = np.zeros(self.count)
        np.maximum.at(found, self.of_row, values)
        return found

    def named(self, rows: Columns) -> tuple[Ints, Flags]:
        """The impression that each row's impression_key names, -1 for none; and whether it names several alike."""
        order = np.argsort(self.impression_key, kind="stable")
        low, high = span_of(self.impression_key[order], rows["impression_key"])
        there = low < high
        found = np.where(there, order[np.minimum(low, self.count - 1)], -1)
        several = high - low > 1
        if several.any():
            exact = self._exactly(rows, several)
            found, several = np.where(several, exact, found), several & (exact < 0)
        return found, several

    def _exactly(self, rows: Columns, wanted: Flags) -> Ints:
        """The one of several impressions of an id whose user and ad are the row's."""
        names = ("impression_key", "user_key", "ad_key")
        code, _ = group_rows([np.concatenate([getattr(self, name), rows[name]]) for name in names])
        place = np.full(int(code.max()) + 1, -1)
        place[code[: self.count]] = np.arange(self.count)
        return np.where(wanted, place[code[self.count :]], -1)


class _Touches:
    """Clicks of impressions: those that a log of clicks brings, and those that the impressions have themselves."""

    def __init__(self, shown: _Shown, clicks: Columns, to: Ints) -> None:
        joined, own = np.flatnonzero(to >= 0), np.flatnonzero(shown.click_us < NEVER)
        self.of = np.concatenate([to[joined], own])
        self.time_us = np.concatenate([clicks["time_us"][joined], shown.click_us[own]])
        self.click_key = np.concatenate([clicks["click_key"][joined], np.full(len(own), MISSING_KEY)])
        self.first_us = np.full(shown.count, NEVER)
        np.minimum.at(self.first_us, self.of, self.time_us)

    def named(self, click_key: Ints) -> tuple[Ints, Ints, Flags]:
        """Of each key the impression of its click, -1 for none; the click's time; whether it names several."""
        order = np.lexsort((self.time_us, self.of, self.click_key))
        low, high = span_of(self.click_key[order], click_key)
        there = (low < high) & (click_key != MISSING_KEY)
        if not len(order):
            return np.full(len(click_key), -1), np.zeros(len(click_key), np.int64), there
        first, last = order[np.minimum(low, len(order) - 1)], order[np.maximum(high - 1, 0)]
        several = there & (self.of[first] != self.of[last])
        return np.where(there, self.of[first], -1), self.time_us[first], several


@dataclass(frozen=True)
class _Earned:
    """Conversions by impression."""

    first_us: Ints
    revenue: Floats
    fate: np.ndarray
    overdrawn: Flags


def _join_clicks(shown: _Shown, clicks: Columns, config: LabelsConfig) -> tuple[np.ndarray, Ints]:
    """Fate of each click, and the impression it belongs to, -1 for none."""
    time_us = clicks["time_us"]
    fate = np.full(len(time_us), Fate.UNKNOWN, np.int8)
    to, several = shown.named(clicks)
    by_id = clicks["impression_key"] != MISSING_KEY
    fate[by_id & (to >= 0)] = Fate.JOINED
    fate[by_id & several] = Fate.AMBIGUOUS
    after_us = time_us - shown.time_us[to]
    fate[(fate == Fate.JOINED) & (after_us < 0)] = Fate.BEFORE
    fate[(fate == Fate.JOINED) & (after_us > max(_us(config.click_hours), NAMED_CLICK_US))] = Fate.OUTSIDE
    items, asked = same_pairs(shown.user_key, shown.ad_key, clicks["user_key"], clicks["ad_key"])
    found, tied = latest(items, shown.time_us, np.arange(shown.count), asked, time_us)
    near = (found >= 0) & (time_us - shown.time_us[found] <= _us(config.click_hours))
    known = np.isin(asked, items) & (asked >= 0)
    by_pair = np.where(near, np.where(tied, Fate.AMBIGUOUS, Fate.JOINED), np.where(known, Fate.OUTSIDE, Fate.UNKNOWN))
    fate = np.where(by_id, fate, by_pair).astype(np.int8)
    fate[copies_of(clicks)] = Fate.COPY
    return fate, np.where(fate == Fate.JOINED, np.where(by_id, to, found), -1)


def _join_conversions(
    shown: _Shown, touches: _Touches, rows: Columns, config: LabelsConfig
) -> tuple[np.ndarray, Ints, Flags]:
    """Fate of each conversion, the impression it belongs to, -1 for none, and whether it is no refund."""
    count, bought = len(rows["time_us"]), ~(rows["revenue"] < 0)
    fate, to = np.full(count, Fate.UNKNOWN, np.int8), np.full(count, -1)
    by_click, by_impression = rows["click_key"] != MISSING_KEY, rows["impression_key"] != MISSING_KEY
    by_pair = ~by_click & ~by_impression
    for chosen, join in (
        (by_pair, _by_pair),
        (by_impression, _by_impression),
        (by_click, _by_click),
    ):
        if chosen.any():
            few = {name: values[chosen] for name, values in rows.items()}
            found_fate, found = join(shown, touches, few, config)
            # A click that is not there gives way to the impression that the row names too.
            better = (found_fate != Fate.UNKNOWN_CLICK) | ~by_impression[chosen]
            place = np.flatnonzero(chosen)[better]
            fate[place], to[place] = found_fate[better], found[better]
    _follow_purchases(rows, bought, fate, to)
    fate[copies_of(rows)] = Fate.COPY
    return fate, np.where(fate == Fate.JOINED, to, -1), bought


def _by_click(shown: _Shown, touches: _Touches, rows: Columns, config: LabelsConfig) -> tuple[np.ndarray, Ints]:
    found, click_us, several = touches.named(rows["click_key"])
    after = rows["time_us"] - click_us
    fate = np.where(
        after < 0, Fate.BEFORE, np.where(after > _us(config.click_through_hours), Fate.OUTSIDE, Fate.JOINED)
    )
    fate = np.where(several, Fate.AMBIGUOUS, fate)
    return np.where(found < 0, Fate.UNKNOWN_CLICK, fate), found


def _by_impression(shown: _Shown, touches: _Touches, rows: Columns, config: LabelsConfig) -> tuple[np.ndarray, Ints]:
    found, several = shown.named(rows)
    time_us = rows["time_us"]
    last, _ = latest(touches.of, touches.time_us, touches.of, found, time_us)
    click_us = touches.time_us[last] if len(touches.time_us) else np.zeros(len(found), np.int64)
    through = (last >= 0) & (time_us - click_us <= _us(config.click_through_hours))
    fate = np.full(len(found), Fate.UNKNOWN)
    there = found >= 0
    since = time_us - shown.time_us[found]
    unclicked = touches.first_us[found] == NEVER
    viewed = unclicked & (since >= 0) & (since <= _us(config.view_through_hours)) & (config.view_through_hours > 0)
    late = np.where(since < 0, Fate.BEFORE, Fate.OUTSIDE)
    fate = np.where(there, np.where(through | viewed, Fate.JOINED, late), fate)
    return np.where(several, Fate.AMBIGUOUS, fate), found


def _by_pair(shown: _Shown, touches: _Touches, rows: Columns, config: LabelsConfig) -> tuple[np.ndarray, Ints]:
    """By user and ad, or user and item where the ad is not known."""
    has_ad = rows["ad_key"] != MISSING_KEY
    fate, to = np.full(len(has_ad), Fate.UNKNOWN), np.full(len(has_ad), -1)
    for chosen, name in ((has_ad, "ad_key"), (~has_ad, "item_key")):
        thing = getattr(shown, name)
        items, asked = same_pairs(shown.user_key, thing, rows["user_key"][chosen], rows[name][chosen])
        time_us = rows["time_us"][chosen]
        find = latest if config.touch == "last" else earliest
        window = _us(config.click_through_hours)
        click, tied = find(items[touches.of], touches.time_us, touches.of, asked, time_us, window)
        clicked = click >= 0
        found = np.where(clicked, touches.of[click] if len(touches.of) else -1, -1)
        unclicked = np.flatnonzero(touches.first_us == NEVER)
        if config.view_through_hours and len(unclicked):
            window = _us(config.view_through_hours)
            view, view_tied = find(items[unclicked], shown.time_us[unclicked], unclicked, asked, time_us, window)
            tied = np.where(clicked, tied, view_tied & (view >= 0))
            found = np.where(clicked | (view < 0), found, unclicked[view])
        known = np.isin(asked, items) & (asked >= 0)
        missed = np.where(known, Fate.OUTSIDE, Fate.UNKNOWN)
        fate[chosen] = np.where(found >= 0, np.where(tied, Fate.AMBIGUOUS, Fate.JOINED), missed)
        to[chosen] = found
    return fate, to


def _follow_purchases(rows: Columns, bought: Flags, fate: np.ndarray, to: Ints) -> None:
    """A refund goes where the conversion went whose id it names, however late it comes."""
    key = rows["conversion_key"]
    sold = np.flatnonzero(bought & (fate == Fate.JOINED) & (key != MISSING_KEY))
    sold = sold[np.lexsort((to[sold], key[sold]))]
    low, high = span_of(key[sold], key)
    follows = ~bought & (low < high)
    to[follows] = to[sold[low[follows]]]
    fate[follows] = Fate.JOINED


def _earned(shown: _Shown, rows: Columns, fate: np.ndarray, to: Ints, bought: Flags, config: LabelsConfig) -> _Earned:
    """First conversion and net revenue of each impression; refunds of impressions without one are told apart."""
    fate, revenue = fate.copy(), rows["revenue"]
    first_us = shown.conversion_us.copy()
    sold = np.flatnonzero((to >= 0) & bought)
    np.minimum.at(first_us, to[sold], rows["time_us"][sold])
    if config.conversions_per_click == "first" and len(sold):
        amount = np.nan_to_num(revenue[sold], nan=-1.0)
        order = sold[np.lexsort((amount, rows["conversion_key"][sold], rows["time_us"][sold], to[sold]))]
        later = order[np.r_[False, to[order][1:] == to[order][:-1]]]
        fate[later] = Fate.FURTHER
        fate[_of_others(rows["conversion_key"], bought, order, later)] = Fate.FURTHER
    back = np.flatnonzero((to >= 0) & ~bought & (fate == Fate.JOINED))
    fate[back[first_us[to[back]] == NEVER]] = Fate.UNPAID
    used = np.flatnonzero((to >= 0) & (fate == Fate.JOINED) & _is_in_time(shown, rows, to, bought, config))
    amount = np.where(np.isnan(revenue[used]), shown.price[to[used]], revenue[used])
    total = sum_by(to[used], amount, shown.count)
    return _Earned(first_us, np.maximum(total, 0.0), fate, total < 0)


def _is_in_time(shown: _Shown, rows: Columns, to: Ints, bought: Flags, config: LabelsConfig) -> Flags:
    """Whether the amount of each row was known and inside of the window; a refund follows its conversion."""
    counted = np.ones(len(to), bool)
    if config.as_of_us is not None:
        counted &= rows["time_us"] <= config.as_of_us
    if config.window_us is not None:
        late = (to >= 0) & bought & (rows["time_us"] - shown.time_us[to] > config.window_us)
        sold = np.flatnonzero((to >= 0) & bought)
        counted &= ~late & ~_of_others(rows["conversion_key"], bought, sold, np.flatnonzero(late))
    return counted


def _of_others(key: Ints, bought: Flags, order: Ints, later: Ints) -> Flags:
    """Refunds of conversions that do not count."""
    first = np.setdiff1d(order, later)
    others: Flags = ~bought & (key != MISSING_KEY) & np.isin(key, key[later]) & ~np.isin(key, key[first])
    return others


def _us(hours: float) -> int:
    return int(hours * HOUR_US)
