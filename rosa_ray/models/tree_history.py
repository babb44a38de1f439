"""What a user's past says of an ad without learning: matches, recency, and how settled the user is.

Matches are those of `rosa_ray.models.exact_match`, which gives them to rankers. They look at the last W events strictly
before an impression. Every number of an impression is computed from its own events alone, so that no company
in a batch changes its last digit.

Shape legend: B users, T events, N impressions of a user, I impressions of the batch, W window.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rosa_ray.arrays import Floats, Ints
from rosa_ray.models.batch import UserBatch
from rosa_ray.models.exact_match import HALF_LIVES_HOURS, MATCHED
from rosa_ray.schema import MISSING_KEY
from rosa_ray.units import HOUR_US

LATELY = 5
"""Events that say where the user has just been."""


@dataclass(frozen=True)
class Past:
    """The last W events before I impressions, newest first.

    Attributes:
        row: int64 (I, W), rows of (B, T) flattened; 0 where there is no such event.
        there: bool (I, W), whether there is one.
    """

    row: Ints
    there: np.ndarray

    @classmethod
    def of(cls, batch: UserBatch, window: int) -> "Past":
        """Find the last W events before every impression of a batch, padding left out."""
        user, _ = np.nonzero(array(batch.impression_mask))
        position = real(batch, batch.impressions["visible"])[:, None] - 1 - np.arange(window)
        there = position >= 0
        return cls(np.where(there, user[:, None] * batch.event_mask.shape[1] + position, 0), there)

    def read(self, events: Tensor) -> Ints:
        """A column of the events, (I, W); what stands where there is no event has no meaning."""
        return array(events).reshape(-1)[self.row]


def array(tensor: Tensor) -> np.ndarray:
    """A tensor of any device as an array."""
    return tensor.detach().cpu().numpy()


def real(batch: UserBatch, values: Tensor) -> np.ndarray:
    """Values (B, N, …) of the impressions that are no padding, (I, …), user by user."""
    return array(values)[array(batch.impression_mask)]


def history_columns(batch: UserBatch, behaviors: int, window: int) -> dict[str, Floats]:
    """Columns of every impression, float32 (I,); NaN where there is nothing to tell.

    Args:
        behaviors: how many there are.
        window: W, at least 1.

    Returns:
        `item_0_12h` and such, decayed counts of events on the ad's item or category, by behaviour and half-life;
        `hours_since_item` and `hours_since_category`; `hours_since_1` and `hours_since_2`, of the last events;
        `events`, how many there are, up to W; `stayed` and `stayed_lately`, the share that kept the category of
        the one before.
    """
    past = Past.of(batch, window)
    shown = {name: real(batch, batch.impressions[name]) for name in ("time_us", *MATCHED)}
    hours = (shown["time_us"][:, None] - past.read(batch.events["time_us"])) / HOUR_US
    behavior = past.read(batch.events["behavior"])
    keys = {name: past.read(batch.events[name]) for name in MATCHED}
    columns: dict[str, Floats] = {}
    for name in MATCHED:
        kind, key = name.removesuffix("_key"), shown[name][:, None]
        same = past.there & (keys[name] == key) & (key != MISSING_KEY)
        columns |= _matches(kind, same, hours, behavior, behaviors)
        columns[f"hours_since_{kind}"] = _newest(same, hours)
    for n in range(2):
        first = np.arange(window) == n
        columns[f"hours_since_{n + 1}"] = _newest(past.there & first, hours)
    columns["events"] = past.there.sum(axis=1)
    columns |= _stays(past.there, keys["category_key"])
    return {name: values.astype(np.float32) for name, values in columns.items()}


def _matches(kind: str, same: np.ndarray, hours: Floats, behavior: Ints, behaviors: int) -> dict[str, Floats]:
    """Decayed counts of the matching events; an event counts a half after each half-life."""
    at, event = np.nonzero(same)
    cell, age = at * behaviors + behavior[at, event], hours[at, event]
    columns: dict[str, Floats] = {}
    for half_life in HALF_LIVES_HOURS:
        fresh = np.exp2(-age / half_life)
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
