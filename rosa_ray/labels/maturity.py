"""When a label is final: conversions take days, and a row that is younger than that may convert yet.

Conversions are attributed for some days after the request. A row that was requested longer ago than that, at the moment
as of which the log is taken, is final. A younger one is unknown, whether it has converted or not: to leave out only
those that have not would leave too many conversions.

Instead of leaving them out, young rows can be weighted by how long conversions take. Of the conversions of final rows a
share `F(a)` came within an age `a`, and a share `p` of their clicks converted. At age `a`

- a click that has converted stands for `1 / F(a)` of its kind,
- one that has not counts as negative with the probability that it will not convert any more, `(1 − p) / (1 − p·F(a))`.

Both kinds then weigh what the final labels of the same rows would, in expectation. Rows of an age at which less than
`LEAST_SHARE` of the conversions have come are left out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from rosa_ray.arrays import Columns, Floats, Ints
from rosa_ray.units import DAY_US, HOUR_US

LEAST_SHARE = 0.2
"""Ages at which fewer conversions have come teach nothing: a weight above 5 is mostly noise."""

DelayCounts = dict[str, dict[str, int]]
"""Day of the request, days since 1970 -> clicks of that day (`clicks`), and conversions by whole hours of delay."""

_CLICKS = "clicks"


@dataclass(frozen=True)
class DelayCurve:
    """How long conversions take, of final rows.

    Attributes:
        hours: int64 (h,), rising.
        share: float64 (h,), of the conversions that came before the end of that hour.
        rate: conversions per click.
        conversions: that it was learned from.
    """

    hours: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    share: Floats = field(default_factory=lambda: np.empty(0))
    rate: float = 0.0
    conversions: int = 0

    @classmethod
    def fit(cls, parts: Iterable[DelayCounts], until_us: int) -> "DelayCurve":
        """From the counts of all parts, of days that end before a moment.

        >>> curve = DelayCurve.fit([{"0": {"clicks": 8, "0": 3, "5": 1}, "9": {"clicks": 9}}], until_us=2 * DAY_US)
        >>> curve.rate, curve.arrived(np.array([1, 2, 6]) * HOUR_US).tolist()
        (0.5, [0.75, 0.75, 1.0])
        """
        clicks, delays = 0, Counter[int]()
        for part in parts:
            for day, counts in part.items():
                if (int(day) + 1) * DAY_US <= until_us:
                    clicks += counts[_CLICKS]
                    delays.update({int(hour): rows for hour, rows in counts.items() if hour != _CLICKS})
        bought = sum(delays.values())
        if not bought:
            return cls()
        hours = np.array(sorted(delays))
        share = np.cumsum([delays[int(hour)] for hour in hours]) / bought
        return cls(hours, share, bought / clicks, bought)

    def arrived(self, age_us: Ints) -> Floats:
        """Share of the conversions that have come at each age; within an hour they come evenly."""
        if not len(self.hours):
            return np.zeros(len(age_us))
        begins, before = self.hours, np.r_[0.0, self.share[:-1]]
        at = np.stack([begins, begins + 1], 1).reshape(-1)
        share: Floats = np.interp(age_us / HOUR_US, at, np.stack([before, self.share], 1).reshape(-1), left=0.0)
        return share


@dataclass(frozen=True)
class Maturity:
    """Which rows of a log are final.

    Attributes:
        as_of_us: the moment as of which the log is taken.
        window_us: conversions are attributed so long after the request.
        curve: to weight young rows by; None leaves them out.
    """

    as_of_us: int
    window_us: int
    curve: DelayCurve | None = None

    def is_final(self, time_us: Ints) -> np.ndarray:
        """Whether rows requested at these moments are old enough, (n,)."""
        old: np.ndarray = self.as_of_us - time_us >= self.window_us
        return old

    def weights(self, rows: Columns) -> np.ndarray:
        """What a row counts in everything about conversions, float64 (n,): 1 where final, 0 where unknown.

        Args:
            rows: time_us, click and conversion.
        """
        age_us, final = self.as_of_us - rows["time_us"], self.is_final(rows["time_us"])
        if self.curve is None:
            return final.astype(np.float64)
        share = self.curve.arrived(age_us)
        enough = share >= LEAST_SHARE
        rate, share = self.curve.rate, np.where(enough, share, 1.0)
        converted = rows["conversion"] > 0
        of_clicked = np.where(converted, 1 / share, (1 - rate) / np.maximum(1 - rate * share, 1e-12))
        young = np.where(enough, np.where(rows["click"] > 0, of_clicked, 1.0), 0.0)
        return np.where(final, 1.0, young)


def count_delays(rows: Columns) -> DelayCounts:
    """Clicks of each day, and their conversions by hours since the request.

    Args:
        rows: time_us, click, conversion and conversion_time_us.
    """
    clicked = rows["click"] > 0
    day = rows["time_us"][clicked] // DAY_US
    bought = rows["conversion"][clicked] > 0
    hour = (rows["conversion_time_us"] - rows["time_us"])[clicked][bought] // HOUR_US
    found: dict[str, Counter[str]] = {
        str(one): Counter({_CLICKS: int(n)}) for one, n in zip(*np.unique(day, return_counts=True), strict=True)
    }
    pairs, rows_of = np.unique(np.stack([day[bought], hour]), axis=1, return_counts=True)
    for (one, delay), n in zip(pairs.T.tolist(), rows_of.tolist(), strict=True):
        found[str(one)][str(delay)] += n
    return {one: dict(counts) for one, counts in found.items()}


def forget_late(
    rows: Mapping[str, np.ndarray], as_of_us: int | None, window_us: int | None
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Labels as they were known at a moment, and how many were not.

    Args:
        rows: time_us, click, click_time_us, conversion, conversion_time_us and revenue.
        as_of_us: what came later is not known; None knows all.
        window_us: conversions later after the request are none; None takes all.

    Returns:
        The columns, and the counts `clicks_after_as_of`, `conversions_after_as_of` and `conversions_after_window`.
    """
    counts: dict[str, int] = {}
    converted, clicked = rows["conversion"] > 0, rows["click"] > 0
    late = np.zeros(len(converted), bool)
    if window_us is not None:
        late = converted & (rows["conversion_time_us"] - rows["time_us"] > window_us)
        counts["conversions_after_window"] = int(late.sum())
    unclicked = np.zeros(len(converted), bool)
    if as_of_us is not None:
        unknown = converted & ~late & (rows["conversion_time_us"] > as_of_us)
        unclicked = clicked & (rows["click_time_us"] > as_of_us)
        counts |= {"conversions_after_as_of": int(unknown.sum()), "clicks_after_as_of": int(unclicked.sum())}
        late |= unknown
    if not (late.any() or unclicked.any()):
        return dict(rows), counts
    return {
        **rows,
        "click": np.where(unclicked, 0, rows["click"]).astype(rows["click"].dtype),
        "click_time_us": np.where(unclicked, rows["time_us"], rows["click_time_us"]),
        "conversion": np.where(late, 0, rows["conversion"]).astype(rows["conversion"].dtype),
        "conversion_time_us": np.where(late, rows["time_us"], rows["conversion_time_us"]),
        "revenue": np.where(late | unclicked, 0.0, rows["revenue"]),
    }, counts
