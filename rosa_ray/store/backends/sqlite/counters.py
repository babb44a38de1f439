"""Counters in SQLite: a row per view, entity and run of buckets, and one per view and entity for the sums of all time.

An update rewrites little of a long log, and a read takes the runs that it needs.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import repeat

import numpy as np

from rosa_ray.features import Counters, CounterStates
from rosa_ray.features.views import OF_USERS, measures_of
from rosa_ray.store.packing import pack_counters, pack_totals, unpack_counters, unpack_totals
from rosa_ray.store.windows import cut_before, join_window, overflowing, require_countable, totals_of

CHUNK_BUCKETS = 128
"""Buckets per row, at most 128 since a bucket's number within it takes one byte; five days of hourly buckets."""

TOTAL_CHUNK = -(2**62)
"""Stands in place of a chunk's number beside the sums of all time."""

_Row = tuple[str, int, int, bytes]
_Found = list[tuple[int, int, bytes]]


def read_counters(
    connection: sqlite3.Connection,
    slot: str,
    view: str,
    entity_keys: np.ndarray,
    behaviors: int,
    kept_bucket: int,
    since_bucket: int | None = None,
) -> Counters:
    """Counters of some entities, see `OnlineStore.read_counters`.

    Args:
        behaviors: events have one of so many.
        kept_bucket: the first that the generation keeps.
    """
    since = kept_bucket if since_bucket is None else max(kept_bucket, since_bucket)
    asked, measures = json.dumps(np.asarray(entity_keys, np.int64).tolist()), measures_of(view, behaviors)
    query = (
        f"SELECT entity_key, chunk, packed FROM counters_{slot} WHERE view = ? AND entity_key IN "
        "(SELECT value FROM json_each(?)) AND chunk"
    )
    recent = connection.execute(f"{query} >= ? ORDER BY entity_key, chunk", (view, asked, since // CHUNK_BUCKETS))
    totals = connection.execute(f"{query} = ? ORDER BY entity_key", (view, asked, TOTAL_CHUNK)).fetchall()
    keys = np.array([key for key, _, _ in totals], np.int64)
    sums = unpack_totals([packed for _, _, packed in totals], measures)
    return join_window(keys, sums, _join(recent.fetchall(), measures), since)


def add_counters(connection: sqlite3.Connection, slot: str, states: CounterStates, kept_bucket: int, path: str) -> None:
    """Add sums to what is there, to its buckets as far as these are kept.

    Raises:
        StoreError: a sum leaves 64 bits; the caller undoes the transaction.
    """
    require_countable(states, path)
    query = f"SELECT packed FROM counters_{slot} WHERE view = ? AND entity_key = ? AND chunk = ?"
    for view, delta in states.items():
        if not len(delta.bucket):
            continue
        _add_totals(connection, slot, view, delta, path)
        kept, stored, begun = cut_before(delta, kept_bucket), [], []
        for key, chunk in dict.fromkeys(
            zip(kept.entity_key.tolist(), (kept.bucket // CHUNK_BUCKETS).tolist(), strict=True)
        ):
            present = connection.execute(query, (view, key, chunk)).fetchone()
            if present is None:
                begun.append(key)
            else:
                stored.append((key, chunk, present[0]))
        _write(connection, slot, _split(view, kept.merge(_join(stored, kept.sums.shape[1]))))
        _drop_old(connection, slot, view, begun, kept_bucket)
        _note_owners(connection, slot, view, delta)


def put_counters(connection: sqlite3.Connection, slot: str, states: CounterStates, kept_bucket: int, path: str) -> None:
    """Write all counters of some entities, of which nothing is there."""
    require_countable(states, path)
    for view, counters in states.items():
        _write_totals(connection, slot, view, *totals_of(counters))
        _write(connection, slot, _split(view, cut_before(counters, kept_bucket)))
        _note_owners(connection, slot, view, counters)


def complete_totals(connection: sqlite3.Connection, slot: str, behaviors: int) -> None:
    """Add the sums of all time to counters of a generation that holds every bucket; nothing where they are there."""
    if connection.execute(f"SELECT 1 FROM counters_{slot} WHERE chunk = ? LIMIT 1", (TOTAL_CHUNK,)).fetchone():
        return
    views = connection.execute(f"SELECT DISTINCT view FROM counters_{slot}").fetchall()
    query = f"SELECT entity_key, chunk, packed FROM counters_{slot} WHERE view = ? ORDER BY entity_key, chunk"
    for (view,) in views:
        held = _join(connection.execute(query, (view,)).fetchall(), measures_of(view, behaviors))
        _write_totals(connection, slot, view, *totals_of(held))


def delete_counters(connection: sqlite3.Connection, slot: str, user_key: int) -> int:
    """Remove a user's own counters; returns the rows removed."""
    owned = connection.execute(f"SELECT view, entity_key FROM owned_{slot} WHERE user_key = ?", (user_key,)).fetchall()
    query = f"DELETE FROM counters_{slot} WHERE view = ? AND entity_key = ?"
    rows = [*((view, user_key) for view in OF_USERS), *owned]
    connection.execute(f"DELETE FROM owned_{slot} WHERE user_key = ?", (user_key,))
    return sum(connection.execute(query, row).rowcount for row in rows)


def _add_totals(connection: sqlite3.Connection, slot: str, view: str, delta: Counters, path: str) -> None:
    query = (
        f"SELECT entity_key, packed FROM counters_{slot} WHERE view = ? AND chunk = ? AND entity_key IN "
        "(SELECT value FROM json_each(?)) ORDER BY entity_key"
    )
    entity_key, added = totals_of(delta)
    found = connection.execute(query, (view, TOTAL_CHUNK, json.dumps(entity_key.tolist()))).fetchall()
    held = np.zeros_like(added)
    at = np.searchsorted(entity_key, np.array([key for key, _ in found], np.int64))
    held[at] = unpack_totals([packed for _, packed in found], added.shape[1])
    sums = held + added
    # A sum of two of one sign that has the other sign left 64 bits.
    wrapped = ((held ^ sums) & (added ^ sums) < 0).any(axis=1)
    if wrapped.any():
        raise overflowing(path, f"{view}:{entity_key[wrapped][0]}")
    _write_totals(connection, slot, view, entity_key, sums)


def _write_totals(
    connection: sqlite3.Connection, slot: str, view: str, entity_key: np.ndarray, sums: np.ndarray
) -> None:
    _write(connection, slot, zip(repeat(view), entity_key.tolist(), repeat(TOTAL_CHUNK), pack_totals(sums)))


def _drop_old(
    connection: sqlite3.Connection, slot: str, view: str, entity_keys: Iterable[int], kept_bucket: int
) -> None:
    """Drop chunks before the first that is kept, of entities that begin a new one."""
    query = f"DELETE FROM counters_{slot} WHERE view = ? AND entity_key = ? AND chunk > ? AND chunk < ?"
    first = kept_bucket // CHUNK_BUCKETS
    connection.executemany(query, [(view, key, TOTAL_CHUNK, first) for key in dict.fromkeys(entity_keys)])


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
