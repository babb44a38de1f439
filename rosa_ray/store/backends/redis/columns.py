"""Declared columns of users, items and ads in Redis: one value of bytes each, and notes of live changes.

Versions are merged here and written by a script that refuses what another writer changed meanwhile; then they are
merged again. Notes are of no generation: they are dropped when one is active that says them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rosa_ray.errors import StoreError
from rosa_ray.features.changes import Changes, merge_changes, replay_notes, retold, told_texts
from rosa_ray.features.own import ColumnConfigs, of_prefix
from rosa_ray.features.versions import ALWAYS_US
from rosa_ray.schema.own_columns import ENTITIES, USER
from rosa_ray.store.backends.redis.connection import Argument, Connection
from rosa_ray.store.backends.redis.generations import Generation, fill_generation, replaced
from rosa_ray.store.protocol import StoreVersion

BATCH_THINGS = 200
"""Things that one script handles."""

_ROUNDS = 1000
"""Attempts to write while other writers change the same."""


def apply_changes(connection: Connection, changes: Sequence[Changes], configs: ColumnConfigs, horizon_us: int) -> None:
    """Merge live changes into the columns of the active generation, and note them until a load holds them.

    Raises:
        StoreError: others change the same things without end.
    """
    for change in changes:
        pending, declared = change.by_key(), of_prefix(change.prefix, configs)
        for _ in range(_ROUNDS):
            if not pending:
                break
            for start in range(0, len(pending), BATCH_THINGS):
                some = dict([*pending.items()][start : start + BATCH_THINGS])
                failed = _write(connection, change.prefix, some, declared, horizon_us)
                pending = {key: rows for key, rows in pending.items() if key not in some or key in failed}
        else:
            raise StoreError(f"store {connection.where}: others changed the same columns all the time; try again")


def load_columns(
    connection: Connection, version: StoreVersion, prefix: str, keys: np.ndarray, packed: Sequence[bytes]
) -> None:
    """See `OnlineStore.load_columns`."""
    with fill_generation(connection, version) as (generation, pipe):
        for key, versions in zip(keys.tolist(), packed, strict=True):
            pipe.set(_place(connection, generation.name, prefix, key), versions)
            pipe.hdel(connection.key(generation.name, "loaded"), f"{prefix}{key}")
        if prefix == USER and len(keys):
            last = dict.fromkeys(keys.tolist(), generation.newest_us)
            pipe.zadd(connection.key(generation.name, "last"), last, nx=True)


class NotesReplay:
    """Merges noted changes into a generation that is being loaded.

    Attributes:
        said: notes that the loaded version says already, by their keys in Redis; to be dropped once it is active.
    """

    def __init__(self, connection: Connection, target: Generation, configs: ColumnConfigs, horizon_us: int) -> None:
        self._connection, self._target, self._horizon_us = connection, target, horizon_us
        self._declared = {prefix: of_prefix(prefix, configs) for prefix in ENTITIES}
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


def _write(
    connection: Connection, prefix: str, pending: dict[int, np.ndarray], declared: ColumnConfigs, horizon_us: int
) -> set[int]:
    """Try to write changes; returns the keys of things that others changed meanwhile."""
    _, _, generation, newest, stored = connection.run("read_columns", prefix, len(pending), *pending)
    superseded_us = int(newest) - horizon_us if prefix == USER else None
    arguments: list[Argument] = []
    for (key, rows), old in zip(pending.items(), stored, strict=True):
        new = merge_changes(old, rows, declared, superseded_us)
        notes = _notes(rows, declared)
        arguments += [key, old, new, *_heard(rows, int(newest)), len(notes), *notes]
    answer = connection.run("write_columns", generation, prefix, len(pending), *arguments)
    return set(pending) if answer[0] == b"changed" else {int(key) for key in answer[1]}


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
