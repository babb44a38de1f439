"""Declared columns of users, items and ads in SQLite: one value of bytes each, and a journal of live changes."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from rosa_ray.features.changes import Changes, merge_changes, replay_notes, retold, told_texts
from rosa_ray.features.own import ColumnConfigs, of_prefix
from rosa_ray.features.versions import ALWAYS_US
from rosa_ray.schema.own_columns import ENTITIES, USER
from rosa_ray.store.backends.sqlite.slots import Slot

_REPLAY_THINGS = 1000


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
    connection: sqlite3.Connection, slot: Slot, changes: Sequence[Changes], configs: ColumnConfigs, horizon_us: int
) -> None:
    """Merge live changes into the columns of a slot, and note them until a load holds them."""
    for change in changes:
        declared, rows = of_prefix(change.prefix, configs), change.by_key()
        stored, merged = read_packed(connection, slot.name, change.prefix, list(rows)), []
        for key, more in rows.items():
            old = stored.get(key, b"")
            new = merge_changes(old, more, declared, _superseded_us(slot, change.prefix, horizon_us))
            if new != old:
                merged.append((key, new))
        write_packed(connection, slot.name, change.prefix, merged)
        columns = ([change.prefix] * len(change), change.key.tolist(), change.rows["time_us"].tolist())
        told = zip(*columns, told_texts(change.rows, declared), strict=True)
        connection.executemany("INSERT OR IGNORE INTO changes VALUES (?, ?, ?, ?)", told)
        if change.prefix == USER:
            touch_told(connection, slot, change.key, change.rows["time_us"])


def touch_told(connection: sqlite3.Connection, slot: Slot, user_key: np.ndarray, time_us: np.ndarray) -> None:
    """Note users that versions tell of. One who was unknown is heard of now, whenever the version begins."""
    connection.executemany(
        f"INSERT INTO users_{slot.name} VALUES (?1, max(?2, ?3)) "
        "ON CONFLICT (user_key) DO UPDATE SET last_us = max(last_us, ?2)",
        [(key, time, slot.newest_us) for key, time in zip(user_key.tolist(), time_us.tolist(), strict=True)],
    )


def replay_changes(connection: sqlite3.Connection, slot: Slot, configs: ColumnConfigs, horizon_us: int) -> None:
    """Merge noted changes into a loaded slot, and drop those that it says already."""
    for prefix in ENTITIES:
        declared = of_prefix(prefix, configs)
        if not declared:
            continue
        superseded_us = _superseded_us(slot, prefix, horizon_us)
        for things in _noted(connection, prefix):
            stored, merged, dropped = read_packed(connection, slot.name, prefix, list(things)), [], []
            for key, notes in things.items():
                times, texts = zip(*notes, strict=True)
                replayed = replay_notes(stored.get(key, b""), retold(times, texts, declared), declared, superseded_us)
                merged.append((key, replayed.packed))
                dropped += [(prefix, key, *notes[at]) for at in replayed.said_already]
            write_packed(connection, slot.name, prefix, merged)
            query = "DELETE FROM changes WHERE entity = ? AND key = ? AND time_us = ? AND told = ?"
            connection.executemany(query, dropped)
            if prefix == USER:
                keys = np.array(list(things), np.int64)
                touch_told(connection, slot, keys, np.full(len(keys), ALWAYS_US))


def delete_columns(connection: sqlite3.Connection, slot: str, user_key: int) -> int:
    """Remove a user's columns from one slot; returns the rows removed."""
    return connection.execute(f"DELETE FROM {_table(USER)}_{slot} WHERE key = ?", (user_key,)).rowcount


def delete_changes(connection: sqlite3.Connection, user_key: int) -> int:
    """Remove a user's live changes; returns how many."""
    return connection.execute("DELETE FROM changes WHERE entity = ? AND key = ?", (USER, user_key)).rowcount


def _table(prefix: str) -> str:
    return f"{prefix.removesuffix('.')}_columns"


def _superseded_us(slot: Slot, prefix: str, horizon_us: int) -> int | None:
    """Items and ads are few and read as of any time; of a user only what a request can still ask for is kept."""
    return slot.newest_us - horizon_us if prefix == USER else None


def _noted(connection: sqlite3.Connection, prefix: str) -> Iterator[dict[int, list[tuple[int, str]]]]:
    """Noted changes of some things at a time: of each thing all."""
    after: int | None = None
    while True:
        keys = [
            key
            for (key,) in connection.execute(
                "SELECT DISTINCT key FROM changes WHERE entity = ? AND (? IS NULL OR key > ?) ORDER BY key LIMIT ?",
                (prefix, after, after, _REPLAY_THINGS),
            )
        ]
        if not keys:
            return
        rows = connection.execute(
            "SELECT key, time_us, told FROM changes WHERE entity = ? AND key BETWEEN ? AND ? ORDER BY key, time_us",
            (prefix, keys[0], keys[-1]),
        ).fetchall()
        yield {key: [note[1:] for note in notes] for key, notes in groupby(rows, key=lambda row: row[0])}
        after = keys[-1]
