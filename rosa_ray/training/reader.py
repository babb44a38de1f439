"""A worker's users: encoded once and kept while they fit in memory, else encoded anew in every epoch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, concat_users, cut_long_users, encode_users
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
        return _nbytes(self.train, self.valid)


class TableBlocks(Protocol):
    """User rows in blocks: all in order, or one by its number. A list of tables is one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[pa.Table]: ...

    def __getitem__(self, number: int, /) -> pa.Table: ...


class ShardReader:
    """A worker's users, from memory when they fit, else encoded anew in every epoch.

    A shard beyond the limit is encoded once an epoch, a block at a time, in another order each time. Half of the memory
    takes random blocks whose users are trained on together. The other half keeps the users of the validation period;
    those that do not fit are encoded again to validate. A block is in memory whole, whatever the limit.

    Args:
        tables: gives the worker's user rows.
        context: raw events that a score can depend on; older ones are dropped.
        memory_bytes: limit of what is kept.
        user_share: share of the users that are trained on, above 0 to 1.
    """

    def __init__(
        self,
        tables: TableBlocks,
        state: FeatureState,
        context: int,
        memory_bytes: float = float("inf"),
        user_share: float = 1.0,
    ) -> None:
        self._tables, self._state, self._context, self._user_share = tables, state, context, user_share
        self._half_bytes = memory_bytes / 2
        self._valid: dict[int, EncodedUsers] = {}
        self._kept = self._collect(memory_bytes)

    @property
    def in_memory(self) -> bool:
        """Whether the shard fits."""
        return self._kept is not None

    def training(self, rng: np.random.Generator) -> Iterator[EncodedUsers]:
        """Yield the users of the training period in parts: one when the shard is in memory.

        Args:
            rng: orders the blocks of a shard that is not; the same state gives the same parts.
        """
        if self._kept is not None:
            yield self._kept.train
            return
        pool: list[EncodedUsers] = []
        for number in rng.permutation(len(self._tables)).tolist():
            block = self._encode(self._tables[number])
            self._keep_valid(number, block.valid)
            if pool and _nbytes(*pool, block.train) > self._half_bytes:
                yield _by_key(pool)
                pool = []
            pool.append(block.train)
        if pool:
            yield _by_key(pool)

    def validation(self) -> Iterator[EncodedUsers]:
        """Yield the users of the validation period in parts, always in the same order."""
        if self._kept is not None:
            yield self._kept.valid
            return
        for number in range(len(self._tables)):
            kept = self._valid.get(number)
            yield self._encode(self._tables[number]).valid if kept is None else kept

    def _collect(self, memory_bytes: float) -> Periods | None:
        parts: list[Periods] = []
        size = 0
        for number, table in enumerate(self._tables):
            parts.append(self._encode(table))
            size += parts[-1].nbytes
            if size > memory_bytes:
                for earlier, part in enumerate(parts[:number]):
                    self._keep_valid(earlier, part.valid)
                return None
        return Periods(_by_key([part.train for part in parts]), _by_key([part.valid for part in parts]))

    def _keep_valid(self, number: int, users: EncodedUsers) -> None:
        if number not in self._valid and _nbytes(users, *self._valid.values()) <= self._half_bytes:
            self._valid[number] = users

    def _encode(self, table: pa.Table) -> Periods:
        users = encode_users(UserRows.from_table(table), self._state, logged_slots=True)
        trained = users
        if self._user_share < 1:
            trained = users.take(np.flatnonzero(in_share(drawn_by(users), self._user_share)))
        train, valid = trained.select(Split.TRAIN), users.select(Split.VALID)
        return Periods(
            narrow(cut_long_users(train.trim(self._context), self._context)), narrow(valid.trim(self._context))
        )


def in_share(user_key: np.ndarray, share: float, kind: int = _SHARE_KIND) -> np.ndarray:
    """Whether each user is among a share of all, decided by its key alone; a smaller share is part of a larger one.

    Args:
        kind: shares of different kinds are drawn independently.

    >>> keys = np.arange(1000)
    >>> half, quarter = in_share(keys, 0.5), in_share(keys, 0.25)
    >>> int(half.sum()), int(quarter.sum()), bool((quarter <= half).all()), bool(in_share(keys, 1.0).all())
    (504, 247, True, True)
    """
    return derive_key(user_key, kind).astype(np.uint64) >> np.uint64(11) < share * 2.0**53


def drawn_by(users: EncodedUsers) -> np.ndarray:
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


def narrow(users: EncodedUsers) -> EncodedUsers:
    """The same users with the small numbers of their events in bytes; batches are wide again."""
    small = {name: users.events[name].astype(np.int8) for name in ("behavior", "gap", "hour", "weekday")}
    return replace(users, events={**users.events, **small})


def _nbytes(*blocks: EncodedUsers) -> int:
    return sum(
        values.nbytes
        for users in blocks
        for values in (*users.events.values(), *users.impressions.values(), users.dense)
    )
