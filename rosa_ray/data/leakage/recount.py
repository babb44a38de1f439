"""A spot check of the counters: what some requests read, counted again from the user rows in the plainest way.

The counters themselves are not looked at. A reading that differs has seen an open bucket, the future, or rows that
are not there.
"""

import math
from collections.abc import Iterator

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.data.leakage.findings import ANYWAY, LeakFinding
from rosa_ray.features import FeatureConfig, Split, UserRows, is_logged
from rosa_ray.features.counting import dense_views
from rosa_ray.features.encoding import count_visible, owners
from rosa_ray.features.views import View, view_named
from rosa_ray.schema import MISSING_KEY
from rosa_ray.units import MINUTE_US

READING_TOLERANCE = 1e-4
SHOWN, CLICKED, BOUGHT = range(3)


class Recount:
    """Counts for a few requests of one block, over every block.

    Args:
        rows: the block that the requests are drawn from; its own rows are counted by `update` like all others.
        requests: how many are drawn.
    """

    def __init__(self, rows: UserRows, config: FeatureConfig, requests: int, rng: np.random.Generator) -> None:
        labelled = np.flatnonzero(rows.impressions["split"] < Split.POLICY)
        chosen = np.sort(rng.choice(labelled, min(requests, len(labelled)), replace=False))
        owner = owners(rows.impression_offsets)[chosen]
        self.config = config
        self.requests = {name: values[chosen] for name, values in rows.impressions.items()}
        self.requests["user_key"] = rows.user_key[owner]
        self.dense = rows.dense[chosen]
        self.visible = count_visible(rows)[chosen], _count_before(rows, owner, self.requests["time_us"])
        width = config.bucket_minutes * MINUTE_US
        settled = self.requests["time_us"] - config.settle_minutes * MINUTE_US
        self._end_us = settled // width * width
        self._views = dense_views(config)
        self._sums = {view.name: self._zeros(view) for view in self._views}

    def update(self, rows: UserRows) -> None:
        """Count a block."""
        events = {**rows.events, "user_key": rows.user_key[owners(rows.event_offsets)]}
        real = is_logged(rows.impressions["split"])
        shown = {**rows.impressions, "user_key": rows.user_key[owners(rows.impression_offsets)]}
        shown = {name: values[real] for name, values in shown.items()}
        for view in self._views:
            self._add(view, events if view.log == "events" else shown)

    def findings(self, whole: bool) -> Iterator[LeakFinding]:
        """Where readings differ.

        Args:
            whole: every block was counted; else only what belongs to the requests' own users is compared.
        """
        yield from self._differ("visible events", "not those strictly before the impression", self.visible)
        place = 0
        for view in self._views:
            width = len(view.feature_names)
            stored = self.dense[:, place : place + width]
            place += width
            if whole or view.of_users:
                pair = self._events(view, stored) if view.log == "events" else self._impressions(view, stored)
                what = "not what the closed buckets before the request hold"
                yield from self._differ(view.name, what, pair, view.feature_names)

    def _zeros(self, view: View) -> np.ndarray:
        return np.zeros((len(self._end_us), len(view.windows_hours), max(len(view.measures), 3)), np.int64)

    def _window_us(self, hours: int | None) -> float:
        if hours is None:
            return math.inf
        return hours * 60 // self.config.bucket_minutes * self.config.bucket_minutes * MINUTE_US

    def _add(self, view: View, columns: Columns) -> None:
        name, wanted, keys = view.name, view.keys(self.requests), view.keys(columns)
        # What has no user counts for no user, and what lacks a part of an own counter does not count there.
        counted = True if view.counts_missing else keys != MISSING_KEY
        near = np.flatnonzero(np.isin(keys, wanted) & counted)
        entity, time_us = keys[near], columns["time_us"][near]
        units = self._units(columns) if view.log == "impressions" else np.empty(0)
        for row, key in enumerate(wanted):
            mine = near[(entity == key) & (time_us < self._end_us[row])]
            age_us = self._end_us[row] - columns["time_us"][mine]
            for place, hours in enumerate(view.windows_hours):
                inside = mine[age_us <= self._window_us(hours)]
                if view.log == "events":
                    kinds = len(view.measures)
                    self._sums[name][row, place, :kinds] += np.bincount(columns["behavior"][inside], minlength=kinds)
                else:
                    since_us = self._end_us[row] - columns["click_time_us"][mine]
                    clicked = mine[(since_us > 0) & (since_us <= self._window_us(hours))]
                    found = (
                        units[inside].sum(),
                        (units * columns["click"])[clicked].sum(),
                        (units * columns["conversion"])[mine].sum(),
                    )
                    self._sums[name][row, place, :3] += np.array(found, np.int64)

    def _units(self, columns: Columns) -> np.ndarray:
        """What each impression counts, int64."""
        units: np.ndarray = np.rint(columns["weight"] * self.config.units_per_impression).astype(np.int64)
        return units

    def _events(self, view: View, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return stored, np.log1p(self._sums[view.name][..., : len(view.measures)]).reshape(stored.shape)

    def _impressions(self, view: View, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Impressions and CTR exactly; CVR at most that of all conversions of earlier requests, whenever they were."""
        sums, config = self._sums[view.name] / self.config.units_per_impression, self.config
        strength, clicks = config.prior_impressions, config.prior_impressions * config.prior_ctr
        ctr = np.log((sums[..., CLICKED] + clicks) / (sums[..., SHOWN] + strength))
        most = np.log((sums[..., BOUGHT] + clicks * config.prior_cvr) / (sums[..., CLICKED] + clicks))
        found = stored.reshape(*sums.shape[:2], 3)
        due = np.stack(
            [
                np.log1p(sums[..., SHOWN]),
                np.where(sums[..., SHOWN] > 0, ctr, np.nan),
                np.where(sums[..., CLICKED] > 0, np.fmin(found[..., 2], most), np.nan),
            ],
            axis=-1,
        )
        return stored, due.reshape(stored.shape)

    def _differ(
        self, where: str, what: str, pair: tuple[np.ndarray, np.ndarray], names: tuple[str, ...] = ()
    ) -> Iterator[LeakFinding]:
        stored, due = (np.asarray(side, np.float64).reshape(len(self._end_us), -1) for side in pair)
        rows, columns = np.nonzero(
            ~np.isclose(stored, due, rtol=READING_TOLERANCE, atol=READING_TOLERANCE, equal_nan=True)
        )
        if not len(rows):
            return
        row, column = int(rows[0]), int(columns[0])
        name = names[column] if names else where
        yield LeakFinding(
            "point in time",
            "leak",
            name,
            f"{len(np.unique(rows))} of {len(stored)} requests counted again read {what}: {stored[row, column]:.4f} "
            f"where {due[row, column]:.4f} is due",
            f"run `rosa preprocess` again, since its files seem to be of several runs; if that does not help, "
            f"{_without(where)}",
        )


def _without(where: str) -> str:
    view = view_named(where)
    if view is None:
        return ANYWAY.removeprefix("or ")
    return f"leave '{where}' out of features.{'counters' if view.parts else 'views'}, {ANYWAY}"


def _count_before(rows: UserRows, owner: np.ndarray, time_us: np.ndarray) -> np.ndarray:
    bounds = zip(rows.event_offsets[owner], rows.event_offsets[owner + 1], time_us, strict=True)
    return np.array([(rows.events["time_us"][start:stop] < when).sum() for start, stop, when in bounds], np.int64)
