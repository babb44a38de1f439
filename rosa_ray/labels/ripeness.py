"""How much of a period's conversions a log can know at its end, told by how long conversions took.

A log that takes every label as final counts a click of its last evening as one that never converts. Then fewer seem to
convert than will, and a model that is right seems to promise too much: PCOC of conversions rises with the age missing.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rosa_ray.labels.maturity import DelayCounts, DelayCurve
from rosa_ray.units import DAY_US

LEAST_CONVERSIONS = 20
"""Conversions of the log's first half from which delays are told."""


def ripe_shares(
    parts: Sequence[DelayCounts], start_us: int, as_of_us: int, periods: Mapping[str, tuple[int, int]]
) -> dict[str, float]:
    """Share of the conversions of each period that had come by a moment.

    Delays are those of requests in the first half of the log: longer ones than the other half cannot be seen there
    either. A day's clicks count at its noon, or at the middle of what is left of it.

    Args:
        parts: of `count_delays`.
        start_us, as_of_us: the log's begin, and the moment as of which it is taken.
        periods: name -> begin and end.

    Returns:
        Name -> share in [0, 1]; empty where fewer than `LEAST_CONVERSIONS` tell.

    >>> days = {"0": {"clicks": 40, "1": 10, "30": 10}, "3": {"clicks": 40, "1": 10}}
    >>> ripe_shares([days], 0, 4 * DAY_US, {"train": (0, DAY_US), "test": (3 * DAY_US, 4 * DAY_US)})
    {'train': 1.0, 'test': 0.5}
    """
    curve = DelayCurve.fit(parts, (start_us + as_of_us) // 2)
    if curve.conversions < LEAST_CONVERSIONS:
        return {}
    day, clicks = _clicks_by_day(parts)
    begin_us, end_us = day * DAY_US, np.minimum((day + 1) * DAY_US, as_of_us)
    middle_us = (begin_us + end_us) // 2
    arrived = curve.arrived(np.maximum(as_of_us - middle_us, 0))
    shares = {}
    for name, (from_us, until_us) in periods.items():
        inside = (middle_us >= from_us) & (middle_us < until_us)
        if clicks[inside].sum() > 0:
            shares[name] = round(float(np.average(arrived[inside], weights=clicks[inside])), 4)
    return shares


def _clicks_by_day(parts: Iterable[DelayCounts]) -> tuple[np.ndarray, np.ndarray]:
    found: dict[int, int] = {}
    for part in parts:
        for day, counts in part.items():
            found[int(day)] = found.get(int(day), 0) + counts["clicks"]
    days = sorted(found)
    return np.array(days, np.int64), np.array([found[day] for day in days], np.float64)
