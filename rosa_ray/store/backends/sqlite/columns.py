"""Declared columns of users, items and ads in SQLite: one value of bytes each, and a journal of live changes."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np

from rosa_ray.features.changes import Changes, merge_changes, replay_notes, retold, told_texts
from rosa_ray.features.own import ColumnConfigs, of_prefix
from rosa_ray.features.versions import ALWAYS_US, layout
from rosa_ray.schema.own_columns import ENTITIES, USER
from rosa_ray.store.backends.sqlite import generations
from rosa_ray.store.backends.sqlite.database import decoding
from rosa_ray.store.backends.sqlite.generations import Generation

_REPLAY_THINGS = 25


def read_packed(connection: sqlite3.Connection, slot: str, prefix: str, keys: Sequence[int]) -> dict[int, bytes]:
    """Versions of the columns of some things, without those of which nothing is known."""
    query = f"SELECT key, packed FROM {_table(prefix)}_{slot} WHERE key IN (SELECT value FROM json_each(?))"
    return dict(connection.execute(query, (json.dumps(list(keys)),)))


def read_one(connection: sqlite3.Connection, slot: str, prefix: str, key: int) -> bytes:
    """Versions of the columns of one thing."""
    row = connection.execute(f"SELECT packed FROM {_table(prefix)}_{slot} WHERE key = ?", (key,)).fetchone()
    return b"" if row is None else bytes(row[0])


def write_packed(connection: sqlite3.Connection, slot: str, prefix: str, packed: Iterable[tuple[int, bytes]]) -> None:
    """Replace the versions of some things."""
    connection.executemany(f"INSERT OR REPLACE INTO {_table(prefix)}_{slot} VALUES (?, ?)", packed)


def apply_changes(
    connection: sqlite3.Connection,
    generation: Generation,
    changes: Sequence[Changes],
    said: ColumnConfigs,
    horizon_us: int,
) -> None:
    """Merge live changes into the columns of a generation.

    Args:
        said: all columns that the changes were written by.
    """
    for change in changes:
        declared = of_prefix(change.prefix, generation.features.columns)
        if not declared:
            continue
        rows = _retold(change, of_prefix(change.prefix, said), declared).by_key()
        stored, merged = read_packed(connection, generation.name, change.prefix, list(rows)), []
        superseded_us = _superseded_us(generation, change.prefix, horizon_us)
        for key, more in rows.items():
            old = stored.get(key, b"")
            with decoding():
                new = merge_changes(old, more, declared, superseded_us)
            if new != old:
                merged.append((key, new))
        write_packed(connection, generation.name, change.prefix, merged)
        if change.prefix == USER:
            touch_told(connection, generation, change.key, change.rows["time_us"])


def note_changes(connection: sqlite3.Connection, changes: Sequence[Changes], said: ColumnConfigs) -> None:
    """Note live changes until a loaded log says them."""
    for change in changes:
        columns = ([change.prefix] * len(change), change.key.tolist(), change.rows["time_us"].tolist())
        told = zip(*columns, told_texts(change.rows, of_prefix(change.prefix, said)), strict=True)
        query = "INSERT OR IGNORE INTO changes (entity, key, time_us, told) VALUES (?, ?, ?, ?)"
        connection.executemany(query, told)


def touch_told(
    connection: sqlite3.Connection, generation: Generation, user_key: np.ndarray, time_us: np.ndarray
) -> None:
    """Note users that versions tell of. One who was unknown is heard of now, whenever the version begins."""
    connection.executemany(
        f"INSERT INTO users_{generation.name} VALUES (?1, max(?2, ?3)) "
        "ON CONFLICT (user_key) DO UPDATE SET last_us = max(last_us, ?2)",
        [(key, time, generation.newest_us) for key, time in zip(user_key.tolist(), time_us.tolist(), strict=True)],
    )


@dataclass
class ToldReplay:
    """The replay of noted changes into one generation, in turns; it drops those that the loaded log says already.

    Attributes:
        generation: number of the one that is loaded.
        keeps: all stay noted: the generation is no new log.
    """

    generation: int
    horizon_us: int
    keeps: bool = False
    _done: int = 0

    def steps(self, connection: sqlite3.Connection) -> Iterator[Callable[[sqlite3.Connection], None]]:
        """Steps for all changes of now, some things at a time; the connection reads what there is."""
        configs = generations.numbered(connection, self.generation).features.columns
        rows = connection.execute(
            f"SELECT entity, key, number FROM changes WHERE number > ? AND (? OR number NOT IN "
            f"(SELECT number FROM replayed_{self.generation} WHERE told = 1)) ORDER BY entity, key, time_us",
            (self._done, self._done > 0),
        ).fetchall()
        self._done = max((number for *_, number in rows), default=self._done)
        for prefix in filter(lambda prefix: of_prefix(prefix, configs), ENTITIES):
            things = [
                [number for *_, number in notes]
                for _, notes in groupby((row for row in rows if row[0] == prefix), key=itemgetter(1))
            ]
            for start in range(0, len(things), _REPLAY_THINGS):
                numbers = [number for thing in things[start : start + _REPLAY_THINGS] for number in thing]
                yield partial(self._replay, prefix=prefix, numbers=numbers)

    def rest(self, connection: sqlite3.Connection) -> int:
        """How many changes came since."""
        (count,) = connection.execute("SELECT count(*) FROM changes WHERE number > ?", (self._done,)).fetchone()
        return int(count)

    def _replay(self, connection: sqlite3.Connection, prefix: str, numbers: list[int]) -> None:
        generation = generations.numbered(connection, self.generation)
        declared = of_prefix(prefix, generation.features.columns)
        superseded_us = _superseded_us(generation, prefix, self.horizon_us)
        things = _noted(connection, numbers)
        stored, merged, dropped = read_packed(connection, generation.name, prefix, list(things)), [], []
        for key, notes in things.items():
            held, times, texts = zip(*notes, strict=True)
            with decoding():
                replayed = replay_notes(stored.get(key, b""), retold(times, texts, declared), declared, superseded_us)
            merged.append((key, replayed.packed))
            dropped += [(held[at],) for at in replayed.said_already]
        write_packed(connection, generation.name, prefix, merged)
        query = f"INSERT OR IGNORE INTO replayed_{self.generation} VALUES (1, ?)"
        connection.executemany(query, [(number,) for number in numbers])
        if not self.keeps:
            connection.executemany("DELETE FROM changes WHERE number = ?", dropped)
        if prefix == USER:
            keys = np.array(list(things), np.int64)
            touch_told(connection, generation, keys, np.full(len(keys), ALWAYS_US))


def delete_columns(connection: sqlite3.Connection, slot: str, user_key: int) -> int:
    """Remove a user's columns from one generation; returns the rows removed."""
    return connection.execute(f"DELETE FROM {_table(USER)}_{slot} WHERE key = ?", (user_key,)).rowcount


def delete_changes(connection: sqlite3.Connection, user_key: int) -> int:
    """Remove a user's live changes; returns how many."""
    return connection.execute("DELETE FROM changes WHERE entity = ? AND key = ?", (USER, user_key)).rowcount


def _table(prefix: str) -> str:
    return f"{prefix.removesuffix('.')}_columns"


def _superseded_us(generation: Generation, prefix: str, horizon_us: int) -> int | None:
    """Items and ads are few and read as of any time; of a user only what a request can still ask for is kept."""
    return generation.newest_us - horizon_us if prefix == USER else None


def _noted(connection: sqlite3.Connection, numbers: list[int]) -> dict[int, list[tuple[int, int, str]]]:
    """Changes of these numbers that are still there: by thing, number, time and what they tell, in order of time."""
    rows = connection.execute(
        "SELECT key, number, time_us, told FROM changes WHERE number IN (SELECT value FROM json_each(?)) "
        "ORDER BY key, time_us, told",
        (json.dumps(numbers),),
    )
    return {key: [note[1:] for note in notes] for key, notes in groupby(rows, key=itemgetter(0))}


def _retold(change: Changes, said: ColumnConfigs, declared: ColumnConfigs) -> Changes:
    """The same changes as a generation with other columns reads them."""
    if layout(said) == layout(declared) and [*said] == [*declared]:
        return change
    rows = retold(change.rows["time_us"].tolist(), told_texts(change.rows, said), declared)
    return Changes(change.prefix, change.key, rows)
