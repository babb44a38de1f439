"""Counters in SQLite: one row per view, entity and run of buckets, so that an update rewrites little of a long log."""

import json
import sqlite3
from collections.abc import Iterator
from itertools import repeat

import numpy as np

from rosa_ray.features import Counters, CounterStates
from rosa_ray.features.views import OF_USERS, measures_of
from rosa_ray.store.packing import pack_counters, unpack_counters

CHUNK_BUCKETS = 128
"""Buckets per row, at most 128 since a bucket's number within it takes one byte; five days of hourly buckets."""

_Row = tuple[str, int, int, bytes]
_Found = list[tuple[int, int, bytes]]


def read_counters(
    connection: sqlite3.Connection, slot: str, view: str, entity_keys: np.ndarray, behaviors: int
) -> Counters:
    """All buckets of some entities, in one query; events have one of so many behaviours."""
    rows = connection.execute(
        f"SELECT entity_key, chunk, packed FROM counters_{slot} WHERE view = ? AND entity_key IN "
        "(SELECT value FROM json_each(?)) ORDER BY entity_key, chunk",
        (view, json.dumps(np.asarray(entity_keys, np.int64).tolist())),
    )
    return _join(rows.fetchall(), measures_of(view, behaviors))


def add_counters(connection: sqlite3.Connection, slot: str, states: CounterStates) -> None:
    """Add sums to what is there, through `Counters.merge`."""
    query = f"SELECT packed FROM counters_{slot} WHERE view = ? AND entity_key = ? AND chunk = ?"
    for view, delta in states.items():
        if not len(delta.bucket):
            continue
        stored: _Found = []
        for key, chunk in dict.fromkeys(
            zip(delta.entity_key.tolist(), (delta.bucket // CHUNK_BUCKETS).tolist(), strict=True)
        ):
            present = connection.execute(query, (view, key, chunk)).fetchone()
            if present is not None:
                stored.append((key, chunk, present[0]))
        _write(connection, slot, _split(view, delta.merge(_join(stored, delta.sums.shape[1]))))
        _note_owners(connection, slot, view, delta)


def put_counters(connection: sqlite3.Connection, slot: str, states: CounterStates) -> None:
    """Write all counters of some entities, of which nothing is there."""
    for view, counters in states.items():
        _write(connection, slot, _split(view, counters))
        _note_owners(connection, slot, view, counters)


def delete_counters(connection: sqlite3.Connection, slot: str, user_key: int) -> int:
    """Remove a user's own counters; returns the rows removed."""
    owned = connection.execute(f"SELECT view, entity_key FROM owned_{slot} WHERE user_key = ?", (user_key,)).fetchall()
    query = f"DELETE FROM counters_{slot} WHERE view = ? AND entity_key = ?"
    rows = [*((view, user_key) for view in OF_USERS), *owned]
    connection.execute(f"DELETE FROM owned_{slot} WHERE user_key = ?", (user_key,))
    return sum(connection.execute(query, row).rowcount for row in rows)


def _note_owners(connection: sqlite3.Connection, slot: str, view: str, counters: Counters) -> None:
    if counters.owner_key is None:
        return
    rows = dict.fromkeys(zip(counters.owner_key.tolist(), repeat(view), counters.entity_key.tolist()))
    connection.executemany(f"INSERT OR IGNORE INTO owned_{slot} VALUES (?, ?, ?)", rows)


def _write(connection: sqlite3.Connection, slot: str, rows: Iterator[_Row]) -> None:
    connection.executemany(f"INSERT OR REPLACE INTO counters_{slot} VALUES (?, ?, ?, ?)", rows)


def _split(view: str, counters: Counters) -> Iterator[_Row]:
    keys, chunks, packed = pack_counters(counters, CHUNK_BUCKETS)
    return zip(repeat(view), keys.tolist(), chunks.tolist(), packed)


def _join(found: _Found, measures: int) -> Counters:
    keys, chunks, packed = ([row[column] for row in found] for column in range(3))
    return unpack_counters(keys, chunks, packed, measures, CHUNK_BUCKETS)  # type: ignore[arg-type]
