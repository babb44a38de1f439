"""Declared columns of users, items and ads in Redis: one value of bytes each, and notes of live changes.

Versions are merged here and written by a script that refuses what another writer changed meanwhile; then they are
merged again. Notes are of no generation: they are dropped when one is active that says them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rosa_ray.errors import StoreError
from rosa_ray.features import FeatureConfig
from rosa_ray.features.changes import Changes, merge_changes, replay_notes, retold, told_texts
from rosa_ray.features.own import ColumnConfigs, of_prefix
from rosa_ray.features.versions import ALWAYS_US, layout
from rosa_ray.schema.own_columns import ENTITIES, USER
from rosa_ray.store.backends.redis.connection import Argument, Connection
from rosa_ray.store.backends.redis.generations import Generation, describe, fill, replaced
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.protocol import StoreVersion

BATCH_THINGS = 200
"""Things that one script handles."""

_ROUNDS = 1000
"""Attempts to write while other writers change the same."""


def apply_changes(
    connection: Connection, own: str, changes: Sequence[Changes], features: FeatureConfig, config: StoreConfig
) -> None:
    """Note live changes until a load holds them, and merge them into the columns of every live generation.

    Args:
        own: the generation of the caller.
        features: by whose columns the changes were written.

    Raises:
        StoreError: others change the same things without end.
    """
    for change in changes:
        pending, said = change.by_key(), of_prefix(change.prefix, features.columns)
        # Noted first: what is made live after this is told of them, and what is live before is asked for afterwards.
        for some in _batches(pending):
            arguments: list[Argument] = []
            for key, rows in some.items():
                notes = _notes(rows, said)
                arguments += [key, len(notes), *notes]
            connection.run("note", change.prefix, len(some), *arguments)
        for generation in describe(connection).live:
            declared = of_prefix(change.prefix, generation.features.columns)
            if generation.name != own and not generation.is_told_all(features):
                connection.run("count_untold", generation.name, len(change))
            if declared:
                told = {key: _retold(rows, said, declared) for key, rows in pending.items()}
                _merge(connection, generation.name, change.prefix, told, declared, config.horizon_us)


def load_columns(
    connection: Connection, version: StoreVersion, prefix: str, keys: np.ndarray, packed: Sequence[bytes]
) -> None:
    """See `OnlineStore.load_columns`."""
    for start in range(0, len(keys), BATCH_THINGS):
        some = list(zip(keys[start : start + BATCH_THINGS].tolist(), packed[start : start + BATCH_THINGS], strict=True))

        def write(generation: Generation, pipe: Any, some: list[tuple[int, bytes]] = some) -> None:
            for key, versions in some:
                pipe.set(_place(connection, generation.name, prefix, key), versions)
                pipe.hdel(connection.key(generation.name, "loaded"), f"{prefix}{key}")
            if prefix == USER:
                last = dict.fromkeys((key for key, _ in some), generation.newest_us)
                pipe.zadd(connection.key(generation.name, "last"), last, nx=True)

        fill(connection, version, write)


class NotesReplay:
    """Merges noted changes into a generation that is being loaded.

    Attributes:
        said: notes that the loaded version says already, by their keys in Redis; to be dropped once it is active.
    """

    def __init__(self, connection: Connection, target: Generation, horizon_us: int) -> None:
        self._connection, self._target, self._horizon_us = connection, target, horizon_us
        self._declared = {prefix: of_prefix(prefix, target.features.columns) for prefix in ENTITIES}
        self.said: dict[str, list[bytes]] = {}

    def replay_all(self) -> None:
        """Replay every thing that is noted."""
        self._replay(self._connection.client.sscan_iter(self._connection.key("noted"), count=1000))

    def replay_dirty(self) -> None:
        """Replay those that changed since."""
        self._replay(self._connection.client.smembers(self._dirty))

    def drop_said(self) -> None:
        """Drop the notes that the version, now active, says."""
        for place, notes in self.said.items():
            if notes:
                self._connection.client.srem(place, *notes)

    @property
    def _dirty(self) -> str:
        return self._connection.key(self._target.name, "dirty_things")

    def _replay(self, things: Iterable[bytes]) -> None:
        for thing in things:
            prefix, dot, key = thing.decode().partition(".")
            if not self._declared.get(prefix + dot):
                self._connection.client.srem(self._dirty, thing)
                continue
            while not self._replay_one(prefix + dot, key):
                pass

    def _replay_one(self, prefix: str, key: str) -> bool:
        """Replay the notes of one thing; False when it changed meanwhile."""
        connection, declared = self._connection, self._declared[prefix]
        place = connection.key("n", f"{prefix}{key}")
        notes = sorted(connection.client.smembers(place))
        told = [_read_note(note) for note in notes]
        held = connection.client.get(_place(connection, self._target.name, prefix, key)) or b""
        before = connection.client.hget(connection.key(self._target.name, "loaded"), f"{prefix}{key}")
        loaded = held if before is None else before
        rows = retold([time_us for time_us, _ in told], [text for _, text in told], declared)
        superseded_us = self._target.newest_us - self._horizon_us if prefix == USER else None
        replayed = replay_notes(loaded, rows, declared, superseded_us)
        versions: list[Argument] = [loaded, held, replayed.packed, *_heard(rows, self._target.newest_us)]
        answer = connection.run("replay_columns", self._target.name, prefix, key, *versions, len(notes), *notes)
        if answer[0] == b"replaced":
            raise replaced(connection, self._target.version)
        if answer[0] == b"changed":
            return False
        self.said[place] = [notes[at] for at in replayed.said_already]
        return True


def _merge(
    connection: Connection,
    generation: str,
    prefix: str,
    pending: dict[int, np.ndarray],
    declared: ColumnConfigs,
    horizon_us: int,
) -> None:
    for _ in range(_ROUNDS):
        if not pending:
            return
        failed: set[int] = set()
        for some in _batches(pending):
            failed |= _write(connection, generation, prefix, some, declared, horizon_us)
        pending = {key: rows for key, rows in pending.items() if key in failed}
    raise StoreError(f"store {connection.where}: others changed the same columns all the time; try again")


def _write(
    connection: Connection,
    generation: str,
    prefix: str,
    pending: dict[int, np.ndarray],
    declared: ColumnConfigs,
    horizon_us: int,
) -> set[int]:
    """Try to write changes; returns the keys of things that others changed meanwhile."""
    _, newest, stored = connection.run("held_columns", generation, prefix, len(pending), *pending)
    if newest is None:
        return set()
    superseded_us = int(newest) - horizon_us if prefix == USER else None
    arguments: list[Argument] = []
    for (key, rows), old in zip(pending.items(), stored, strict=True):
        new = merge_changes(old, rows, declared, superseded_us)
        arguments += [key, old, new, *_heard(rows, int(newest))]
    answer = connection.run("write_columns", generation, prefix, len(pending), *arguments)
    return {int(key) for key in answer[1]}


def _batches(pending: dict[int, np.ndarray]) -> Iterator[dict[int, np.ndarray]]:
    things = [*pending.items()]
    for start in range(0, len(things), BATCH_THINGS):
        yield dict(things[start : start + BATCH_THINGS])


def _retold(rows: np.ndarray, said: ColumnConfigs, declared: ColumnConfigs) -> np.ndarray:
    """The same changes as a generation with other columns reads them."""
    if layout(said) == layout(declared) and [*said] == [*declared]:
        return rows
    return retold(rows["time_us"].tolist(), told_texts(rows, said), declared)


def _heard(rows: np.ndarray, newest_us: int) -> Iterator[Argument]:
    """When an unknown user is heard of by these versions, and when a known one is."""
    dated = rows["time_us"][rows["time_us"] != ALWAYS_US]
    yield int(dated.max(initial=newest_us))
    yield int(dated.max()) if len(dated) else "-inf"


def _notes(rows: np.ndarray, declared: ColumnConfigs) -> list[str]:
    return [
        f"{time_us} {told}" for time_us, told in zip(rows["time_us"].tolist(), told_texts(rows, declared), strict=True)
    ]


def _read_note(note: bytes) -> tuple[int, str]:
    time_us, _, told = note.decode().partition(" ")
    return int(time_us), told


def _place(connection: Connection, generation: str, prefix: str, key: Any) -> str:
    return connection.key(generation, f"v:{prefix}{key}")
