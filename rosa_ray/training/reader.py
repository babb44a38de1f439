"""A worker's users: encoded once and kept while they fit in memory, else read and encoded again every epoch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, concat_users, encode_users
from rosa_ray.schema import MISSING_KEY, derive_key

_SHARE_KIND = 0x5A
"""Draws users for a share by other bits of their keys than partitions do."""


@dataclass(frozen=True)
class Periods:
    """The same users with the impressions of the training period and of the validation period."""

    train: EncodedUsers
    valid: EncodedUsers

    @property
    def nbytes(self) -> int:
        """Memory held, bytes."""
        return sum(_nbytes(users) for users in (self.train, self.valid))


class ShardReader:
    """A worker's users, from memory when they fit, else read and encoded again each time.

    Args:
        tables: gives the worker's user rows, block by block, on every iteration.
        context: raw events that a score can depend on; older ones are dropped.
        memory_bytes: limit of what is kept.
        user_share: share of the users that are trained on, above 0 to 1.
    """

    def __init__(
        self,
        tables: Iterable[pa.Table],
        state: FeatureState,
        context: int,
        memory_bytes: float = float("inf"),
        user_share: float = 1.0,
    ) -> None:
        self._tables, self._state, self._context, self._user_share = tables, state, context, user_share
        self._kept = self._collect(memory_bytes)

    @property
    def in_memory(self) -> bool:
        """Whether the shard fits."""
        return self._kept is not None

    def __iter__(self) -> Iterator[Periods]:
        """Yield the shard in parts: one when it is in memory."""
        if self._kept is not None:
            yield self._kept
            return
        for table in self._tables:
            yield self._encode(table)

    def _collect(self, memory_bytes: float) -> Periods | None:
        parts: list[Periods] = []
        size = 0
        for table in self._tables:
            parts.append(self._encode(table))
            size += parts[-1].nbytes
            if size > memory_bytes:
                return None
        return Periods(_by_key([part.train for part in parts]), _by_key([part.valid for part in parts]))

    def _encode(self, table: pa.Table) -> Periods:
        users = encode_users(UserRows.from_table(table), self._state)
        trained = users
        if self._user_share < 1:
            trained = users.take(np.flatnonzero(in_share(_drawn_by(users), self._user_share)))
        train, valid = trained.select(Split.TRAIN), users.select(Split.VALID)
        return Periods(train.trim(self._context), valid.trim(self._context))


def in_share(user_key: np.ndarray, share: float) -> np.ndarray:
    """Whether each user is among a share of all, decided by its key alone; a smaller share is part of a larger one.

    >>> keys = np.arange(1000)
    >>> half, quarter = in_share(keys, 0.5), in_share(keys, 0.25)
    >>> int(half.sum()), int(quarter.sum()), bool((quarter <= half).all()), bool(in_share(keys, 1.0).all())
    (504, 247, True, True)
    """
    return derive_key(user_key, _SHARE_KIND).astype(np.uint64) >> np.uint64(11) < share * 2.0**53


def _drawn_by(users: EncodedUsers) -> np.ndarray:
    """Keys that rows are drawn by: the user's, or of impressions without a user that of the first one."""
    if (users.user_key != MISSING_KEY).all():
        return users.user_key
    first = users.impressions["impression_key"][
        users.impression_offsets[:-1].clip(max=users.impression_offsets[-1] - 1)
    ]
    return np.where(users.user_key == MISSING_KEY, first, users.user_key)


def idle_user(users: EncodedUsers) -> EncodedUsers:
    """One user without events and impressions: what a worker trains on while only others have users left."""
    return replace(
        users,
        user_key=np.zeros(1, np.int64),
        event_offsets=np.zeros(2, np.int64),
        events={name: values[:0] for name, values in users.events.items()},
        impression_offsets=np.zeros(2, np.int64),
        impressions={name: values[:0] for name, values in users.impressions.items()},
        dense=users.dense[:0],
    )


def _by_key(blocks: list[EncodedUsers]) -> EncodedUsers:
    users = concat_users(blocks)
    return users.take(np.argsort(users.user_key, kind="stable"))


def _nbytes(users: EncodedUsers) -> int:
    columns = [*users.events.values(), *users.impressions.values(), users.dense]
    return sum(values.nbytes for values in columns)
