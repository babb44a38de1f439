"""Calibration by segment: the same sums, one set per value of an attribute such as device or campaign."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Columns, Ints
from rosa_ray.metrics.calibration_error import Ece, Pcoc
from rosa_ray.metrics.checks import as_keys, as_weights, conversion_weights
from rosa_ray.units import DAY_US

ACTIVITY_BOUNDS = (1, 10, 50)
ACTIVITY_NAMES = ("0", "1-9", "10-49", "50+")
OTHER = "other"

_ECE_BINS = 10
_ECE_CELLS = 2048


def activity_segment(visible_events: npt.ArrayLike) -> Ints:
    """Return the index in `ACTIVITY_NAMES` of each number of events that a user had before an impression.

    >>> [ACTIVITY_NAMES[code] for code in activity_segment([0, 1, 49, 50])]
    ['0', '1-9', '10-49', '50+']
    """
    return np.searchsorted(ACTIVITY_BOUNDS, np.asarray(visible_events), side="right").astype(np.int64)


def day_segment(time_us: npt.ArrayLike) -> Ints:
    """Return the UTC day of each time, days since 1970.

    >>> day_segment([0, 86_400_000_000]).tolist()
    [0, 1]
    """
    return np.asarray(time_us, np.int64) // DAY_US


@dataclass
class SegmentMetrics:
    """Counts and calibration of one segment.

    Attributes:
        n, clicks, conversions: rows, each counted once; all else is of the impressions that they stand for.
        ctr: of p_ctr against clicks.
        cvr: of p_cvr against conversions, clicked rows only.
        ctcvr: of p_ctcvr against clicks that convert.
        revenue: expected against real revenue, currency units.
        ece: of p_ctr in ten bins of equal mass. A bin of few clicks is mostly noise: read it beside `clicks`.
    """

    n: int = 0
    clicks: int = 0
    conversions: int = 0
    ctr: Pcoc = field(default_factory=Pcoc)
    cvr: Pcoc = field(default_factory=Pcoc)
    ctcvr: Pcoc = field(default_factory=Pcoc)
    revenue: Pcoc = field(default_factory=Pcoc)
    ece: Ece = field(default_factory=lambda: Ece(_ECE_BINS, cells=_ECE_CELLS))
    weight: float = 0.0
    final_clicks: float = 0.0

    def update(self, columns: Columns) -> "SegmentMetrics":
        """Add labelled impressions.

        Args:
            columns: p_ctr, p_cvr, p_ctcvr, value, click, conversion and revenue, each (n,); weight, 1 without it.
        """
        click, clicked = columns["click"], columns["click"] == 1
        conversion, weight = click * columns["conversion"], as_weights(columns.get("weight"), len(click))
        self.n += len(click)
        self.clicks += int(clicked.sum())
        self.conversions += int(conversion.sum())
        self.weight += float(weight.sum())
        self.ctr.update(columns["p_ctr"], click, weight)
        bought = conversion_weights(columns, len(click))
        known, clicked = bought > 0, clicked & (bought > 0)
        self.final_clicks += float(bought[clicked].sum())
        self.cvr.update(columns["p_cvr"][clicked], columns["conversion"][clicked], bought[clicked])
        self.ctcvr.update(columns["p_ctcvr"][known], conversion[known], bought[known])
        self.revenue.update((columns["p_ctcvr"] * columns["value"])[known], columns["revenue"][known], bought[known])
        self.ece.update(columns["p_ctr"], click, weight)
        return self

    def merge(self, other: "SegmentMetrics") -> "SegmentMetrics":
        """Add the sums of another worker or segment."""
        self.n += other.n
        self.clicks += other.clicks
        self.conversions += other.conversions
        self.weight += other.weight
        self.final_clicks += other.final_clicks
        self.ctr.merge(other.ctr)
        self.cvr.merge(other.cvr)
        self.ctcvr.merge(other.ctcvr)
        self.revenue.merge(other.revenue)
        self.ece.merge(other.ece)
        return self

    def compute(self) -> dict[str, float | int | None]:
        """Return the metrics, None where one is undefined."""
        return {
            "n": self.n,
            "weight": self.weight,
            "clicks": self.clicks,
            "conversions": self.conversions,
            "ctr": self.ctr.observed / self.weight if self.n else None,
            "cvr": self.ctcvr.observed / self.final_clicks if self.final_clicks else None,
            "pcoc": self.ctr.compute(),
            "ece": self.ece.compute(),
            "cvr_pcoc": self.cvr.compute(),
            "ctcvr_pcoc": self.ctcvr.compute(),
            "revenue_pcoc": self.revenue.compute(),
        }


@dataclass
class Segments:
    """Metrics by the value of one attribute, given as an integer key per impression.

    >>> half = np.full(3, 0.5)
    >>> columns = {"p_ctr": half, "p_cvr": half, "p_ctcvr": half / 2, "value": half, "click": np.array([1, 0, 0]),
    ...            "conversion": np.zeros(3), "revenue": np.zeros(3)}
    >>> phones = Segments().update(np.array([7, 7, 8]), columns).compute({7: "phone", 8: "desk"}.get)["phone"]
    >>> phones["n"], phones["pcoc"]
    (2, 1.0)
    """

    by_key: dict[int, SegmentMetrics] = field(default_factory=dict)

    def update(self, keys: npt.ArrayLike, columns: Columns) -> "Segments":
        """Add n impressions with their keys, (n,), and the columns that `SegmentMetrics.update` takes."""
        used = [name for name in _COLUMNS if name in columns]
        of_row = as_keys("segment", keys)
        order = np.argsort(of_row, kind="stable")
        values, starts = np.unique(of_row[order], return_index=True)
        for key, rows in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
            part = {name: columns[name][rows] for name in used}
            self.by_key.setdefault(key, SegmentMetrics()).update(part)
        return self

    def merge(self, other: "Segments") -> "Segments":
        """Add the sums of another worker."""
        for key, metrics in other.by_key.items():
            self.by_key.setdefault(key, SegmentMetrics()).merge(metrics)
        return self

    def compute(self, name: Callable[[int], str | None], most: int = 50) -> dict[str, dict[str, float | int | None]]:
        """Return the metrics by name, in the order of the keys.

        Args:
            name: of a key; None puts it into `OTHER`.
            most: segments named; the largest are, the others make up `OTHER`.
        """
        largest = sorted(self.by_key, key=lambda key: (-self.by_key[key].n, key))[:most]
        named = {key: name(key) for key in sorted(largest)}
        merged: dict[str, SegmentMetrics] = {}
        for key in [*named, *sorted(set(self.by_key) - set(named))]:
            merged.setdefault(named.get(key) or OTHER, SegmentMetrics()).merge(self.by_key[key])
        return {label: metrics.compute() for label, metrics in merged.items()}


_COLUMNS = ("p_ctr", "p_cvr", "p_ctcvr", "value", "click", "conversion", "revenue", "weight", "conversion_weight")
