"""Counters in SQLite: one row per view, entity and run of buckets, so that an update rewrites little of a long log."""

import json
import sqlite3
from collections.abc import Iterator
from itertools import repeat

import numpy as np

from rosa_ray.features import VIEWS, Counters, CounterStates
from rosa_ray.features.views import View
from rosa_ray.store.packing import pack_counters, unpack_counters

CHUNK_BUCKETS = 128
"""Buckets per row, at most 128 since a bucket's number within it takes one byte; five days of hourly buckets."""

_Row = tuple[str, int, int, bytes]
_Found = list[tuple[int, int, bytes]]


def read_counters(connection: sqlite3.Connection, slot: str, view: View, entity_keys: np.ndarray) -> Counters:
    """All buckets of some entities, in one query."""
    rows = connection.execute(
        f"SELECT entity_key, chunk, packed FROM counters_{slot} WHERE view = ? AND entity_key IN "
        "(SELECT value FROM json_each(?)) ORDER BY entity_key, chunk",
        (view.name, json.dumps(np.asarray(entity_keys, np.int64).tolist())),
    )
    return _join(rows.fetchall(), len(view.measures))


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


def replace_counters(connection: sqlite3.Connection, slot: str, states: CounterStates) -> None:
    """Hold these counters and no others."""
    connection.execute(f"DELETE FROM counters_{slot}")
    for view, counters in states.items():
        _write(connection, slot, _split(view, counters))


def delete_entity(connection: sqlite3.Connection, slot: str, entity: str, key: int) -> int:
    """Remove an entity from all views of its kind; returns the rows removed."""
    views = [name for name, view in VIEWS.items() if view.entity == entity]
    query = f"DELETE FROM counters_{slot} WHERE view = ? AND entity_key = ?"
    return sum(connection.execute(query, (view, key)).rowcount for view in views)


def _write(connection: sqlite3.Connection, slot: str, rows: Iterator[_Row]) -> None:
    connection.executemany(f"INSERT OR REPLACE INTO counters_{slot} VALUES (?, ?, ?, ?)", rows)


def _split(view: str, counters: Counters) -> Iterator[_Row]:
    keys, chunks, packed = pack_counters(counters, CHUNK_BUCKETS)
    return zip(repeat(view), keys.tolist(), chunks.tolist(), packed)


def _join(found: _Found, measures: int) -> Counters:
    keys, chunks, packed = ([row[column] for row in found] for column in range(3))
    return unpack_counters(keys, chunks, packed, measures, CHUNK_BUCKETS)  # type: ignore[arg-type]
