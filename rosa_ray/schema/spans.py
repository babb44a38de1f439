"""Where the bulk of a log lies in time, so that one odd date moves nothing."""

from dataclasses import dataclass

import numpy as np

from rosa_ray.units import DAY_US

FEW = 0.01
"""A group of days with a smaller share of the rows may be a mistake."""
LEAST_GAP_DAYS = 7


@dataclass(frozen=True)
class Bulk:
    """The time span that nearly all rows of a table lie in.

    Attributes:
        start_us: the first time of the bulk, microseconds UTC.
        end_us: the last.
        before: rows that lie far before it.
        after: rows that lie far after it.
    """

    start_us: int
    end_us: int
    before: int = 0
    after: int = 0

    @property
    def outside(self) -> int:
        """Rows far away from the bulk."""
        return self.before + self.after


def bulk_of(times_us: np.ndarray) -> Bulk | None:
    """Find the bulk of a log.

    Rows are far away where they are few, and further from the bulk than a week and than half of its length.

    Args:
        times_us: int64 (n,), microseconds UTC, in any order.

    Returns:
        None without rows.

    >>> days = np.r_[np.arange(10).repeat(30), 26_000] * DAY_US
    >>> found = bulk_of(days)
    >>> found.end_us // DAY_US, found.after
    (9, 1)
    """
    if not len(times_us):
        return None
    days, counts = np.unique(np.asarray(times_us) // DAY_US, return_counts=True)
    low, high = _grown(days, counts)
    inside = (times_us // DAY_US >= days[low]) & (times_us // DAY_US <= days[high])
    kept = np.asarray(times_us)[inside]
    return Bulk(
        int(kept.min()),
        int(kept.max()),
        before=int(counts[:low].sum()),
        after=int(counts[high + 1 :].sum()),
    )


def _grown(days: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """Begin at the group of days with most rows, and take in what is near or not few."""
    breaks = np.flatnonzero(np.diff(days) > LEAST_GAP_DAYS) + 1
    groups = np.split(np.arange(len(days)), breaks)
    at = int(np.argmax([counts[group].sum() for group in groups]))
    low, high = int(groups[at][0]), int(groups[at][-1])
    total = int(counts.sum())
    for group in groups[at + 1 :]:
        if _belongs(days[group[0]] - days[high], days[high] - days[low], counts[group[0] :].sum(), total):
            high = int(group[-1])
    for group in reversed(groups[:at]):
        if _belongs(days[low] - days[group[-1]], days[high] - days[low], counts[: group[-1] + 1].sum(), total):
            low = int(group[0])
    return low, high


def _belongs(gap: int, length: int, rows: int, total: int) -> bool:
    return bool(rows >= FEW * total or gap <= max(LEAST_GAP_DAYS, length / 2))
