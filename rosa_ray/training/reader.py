"""A worker's users: encoded once and kept while they fit in memory, else read and encoded again every epoch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, concat_users, encode_users


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
    """

    def __init__(
        self, tables: Iterable[pa.Table], state: FeatureState, context: int, memory_bytes: float = float("inf")
    ) -> None:
        self._tables, self._state, self._context = tables, state, context
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
        train, valid = (users.select(split).trim(self._context) for split in (Split.TRAIN, Split.VALID))
        return Periods(train, valid)


def nobody(users: EncodedUsers) -> EncodedUsers:
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
