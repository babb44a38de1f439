"""What a user's past says of an ad without learning: matches, recency, and how settled the user is.

Matches are those of `rosa_ray.models.exact_match`, which gives them to rankers. They look at the last `WINDOW` events
strictly before an impression.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.features import EncodedUsers
from rosa_ray.features.encoding import owners
from rosa_ray.models.exact_match import HALF_LIVES_HOURS, MATCHED
from rosa_ray.schema import MISSING_KEY
from rosa_ray.studies.trees.config import WINDOW
from rosa_ray.units import HOUR_US

LATELY = 5
"""Events that say where the user has just been."""

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Past:
    """The last W events before n impressions, newest first.

    Attributes:
        row: int64 (n, W), rows in `EncodedUsers.events`; 0 where there is no such event.
        there: bool (n, W), whether there is one.
    """

    row: Ints
    there: np.ndarray

    @classmethod
    def of(cls, users: EncodedUsers, rows: Ints, count: int = WINDOW) -> "Past":
        """Find the last `count` events before the impressions at some rows."""
        first = users.event_offsets[owners(users.impression_offsets)[rows]]
        position = users.impressions["visible"][rows][:, None] - 1 - np.arange(count)
        return cls(np.where(position >= 0, first[:, None] + position, 0), position >= 0)

    def read(self, events: Ints) -> Ints:
        """A column of the events, (n, W); what stands where there is no event has no meaning."""
        return events[self.row] if len(events) else np.zeros(self.row.shape, events.dtype)


def chunks(users: EncodedUsers) -> Iterator[Ints]:
    """Yield the rows of all impressions, some thousand at a time, so that memory does not grow with the log."""
    count = len(users.impressions["time_us"])
    for start in range(0, count, _ROWS_AT_ONCE):
        yield np.arange(start, min(start + _ROWS_AT_ONCE, count))


def history_columns(users: EncodedUsers, behaviors: int) -> dict[str, Floats]:
    """Columns of every impression, float32 (I,); NaN where there is nothing to tell.

    Args:
        behaviors: how many there are.

    Returns:
        `item_0_12h` and such, decayed counts of events on the ad's item or category, by behaviour and half-life;
        `hours_since_item` and `hours_since_category`; `hours_since_1` and `hours_since_2`, of the last events;
        `events`, how many there are; `stayed` and `stayed_lately`, the share that kept the category of the one before.
    """
    parts = [_columns(users, rows, behaviors) for rows in chunks(users)]
    names = parts[0] if parts else _columns(users, np.empty(0, np.int64), behaviors)
    return {name: np.concatenate([part[name] for part in parts] or [np.empty(0, np.float32)]) for name in names}


def _columns(users: EncodedUsers, rows: Ints, behaviors: int) -> dict[str, Floats]:
    past = Past.of(users, rows)
    shown = {name: values[rows] for name, values in users.impressions.items() if name in ("time_us", *MATCHED)}
    hours = (shown["time_us"][:, None] - past.read(users.events["time_us"])) / HOUR_US
    behavior = past.read(users.events["behavior"]).astype(np.int64)
    columns: dict[str, Floats] = {}
    for name in MATCHED:
        kind, key = name.removesuffix("_key"), shown[name][:, None]
        same = past.there & (past.read(users.events[name]) == key) & (key != MISSING_KEY)
        columns |= _matches(kind, same, hours, behavior, behaviors)
        columns[f"hours_since_{kind}"] = _newest(same, hours)
    columns |= {f"hours_since_{n + 1}": np.where(past.there[:, n], hours[:, n], np.nan) for n in range(2)}
    columns["events"] = past.there.sum(axis=1)
    columns |= _stays(past.there, past.read(users.events["category_key"]))
    return {name: values.astype(np.float32) for name, values in columns.items()}


def _matches(kind: str, same: np.ndarray, hours: Floats, behavior: Ints, behaviors: int) -> dict[str, Floats]:
    """Decayed counts of the matching events; an event counts a half after each half-life."""
    at, event = np.nonzero(same)
    cell = at * behaviors + behavior[at, event]
    columns: dict[str, Floats] = {}
    for half_life in HALF_LIVES_HOURS:
        fresh = np.exp2(-hours[at, event] / half_life)
        counts = np.bincount(cell, fresh, len(same) * behaviors).astype(np.float64).reshape(-1, behaviors)
        columns |= {f"{kind}_{code}_{half_life:g}h": counts[:, code] for code in range(behaviors)}
    return columns


def _newest(same: np.ndarray, hours: Floats) -> Floats:
    first = np.argmax(same, axis=1)[:, None]
    return np.where(same.any(axis=1), np.take_along_axis(hours, first, axis=1)[:, 0], np.nan)


def _stays(there: np.ndarray, category: Ints) -> dict[str, Floats]:
    """Share of events in the category of the one before, of all and of the last few."""
    pairs = there[:, 1:]
    stayed = pairs & (category[:, :-1] == category[:, 1:])
    found = {}
    for name, count in (("stayed", pairs.shape[1]), ("stayed_lately", LATELY)):
        known, kept = pairs[:, :count].sum(axis=1), stayed[:, :count].sum(axis=1)
        found[name] = np.where(known > 0, kept / np.maximum(known, 1), np.nan)
    return found
