"""Counters as a store keeps and gives them: the buckets of late, and one total per entity of all that ever came.

Buckets fall out of a store once they are older than every window and `StoreConfig.counter_days` more, whole chunks at a
time. The total goes on counting: also what comes late for a bucket that fell out. So a window is read from its buckets,
and the whole past is the total without the buckets that are not past yet.
"""

from dataclasses import dataclass

import numpy as np

from rosa_ray.errors import StoreError
from rosa_ray.features import Counters, CounterStates, FeatureConfig
from rosa_ray.features.counting import counted_views
from rosa_ray.features.records import Contribution
from rosa_ray.store.config import StoreConfig
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US

_COUNTABLE = 9.2e18


@dataclass(frozen=True)
class Kept:
    """Which buckets a store keeps.

    Attributes:
        bucket_us: width of a bucket.
        chunk_buckets: buckets that are kept, and fall out, together.
        kept_us: how far back from the newest record buckets are kept.

    >>> Kept(bucket_us=10, chunk_buckets=4, kept_us=100).first_bucket(250)
    12
    """

    bucket_us: int
    chunk_buckets: int
    kept_us: int

    @classmethod
    def of(cls, features: FeatureConfig, config: StoreConfig, chunk_buckets: int) -> "Kept":
        """What the windows of some features need, and `StoreConfig.counter_days` more."""
        longest = max((hours or 0 for view in counted_views(features) for hours in view.windows_hours), default=0)
        # A window ends with a bucket that closed a while ago.
        open_us = (features.bucket_minutes + features.settle_minutes) * MINUTE_US
        kept_us = longest * HOUR_US + open_us + config.counter_days * DAY_US
        return cls(features.bucket_minutes * MINUTE_US, chunk_buckets, kept_us)

    @property
    def chunk_us(self) -> int:
        """Length of a chunk."""
        return self.bucket_us * self.chunk_buckets

    def first_bucket(self, newest_us: int) -> int:
        """First bucket that is kept where this is the time of the newest record."""
        return (newest_us - self.kept_us) // self.chunk_us * self.chunk_buckets


def totals_of(counters: Counters) -> tuple[np.ndarray, np.ndarray]:
    """Entities (E,), ascending, and their sums over all buckets, int64 (E, M)."""
    entity, first = np.unique(counters.entity_key, return_index=True)
    if not len(entity):
        return entity, np.empty((0, counters.sums.shape[1]), np.int64)
    return entity, np.add.reduceat(counters.sums, first, axis=0)


def cut_before(counters: Counters, first_bucket: int) -> Counters:
    """The buckets from one on."""
    chosen = counters.bucket >= first_bucket
    if chosen.all():
        return counters
    return Counters(counters.entity_key[chosen], counters.bucket[chosen], counters.sums[chosen])


def join_window(entity_key: np.ndarray, totals: np.ndarray, recent: Counters, since_bucket: int) -> Counters:
    """Counters as `OnlineStore.read_counters` gives them.

    Args:
        entity_key: int64 (E,), ascending.
        totals: int64 (E, M), sums of all time.
        recent: buckets of these entities, at least those from `since_bucket` on, in order.

    >>> recent = Counters(np.array([7, 7]), np.array([4, 5]), np.array([[1], [2]]))
    >>> found = join_window(np.array([7]), np.array([[10]]), recent, 5)
    >>> found.bucket, found.sums[:, 0]
    (array([4, 5]), array([8, 2]))
    """
    recent, before = cut_before(recent, since_bucket), totals.copy()
    np.subtract.at(before, np.searchsorted(entity_key, recent.entity_key), recent.sums)
    earlier = np.flatnonzero(before.any(axis=1))
    if not len(earlier):
        return recent
    at = np.searchsorted(recent.entity_key, entity_key[earlier])
    return Counters(
        np.insert(recent.entity_key, at, entity_key[earlier]),
        np.insert(recent.bucket, at, since_bucket - 1),
        np.insert(recent.sums, at, before[earlier], axis=0),
    )


def require_countable(parts: dict[str, Contribution] | CounterStates, where: str) -> None:
    """Refuse amounts whose sum alone leaves 64 bits.

    Raises:
        StoreError: names the view.
    """
    for view, part in parts.items():
        amounts = part.sums if isinstance(part, Counters) else part.amounts
        if np.abs(amounts.astype(np.float64)).sum(axis=0).max(initial=0) >= _COUNTABLE:
            raise overflowing(where, view)


def overflowing(where: str, counter: str) -> StoreError:
    """The error of a batch that is not taken since a sum would leave 64 bits."""
    return StoreError(
        f"store {where}: nothing of the batch is taken, since a sum of {counter} would leave 64 bits; "
        "correct the bids and costs of its records"
    )
