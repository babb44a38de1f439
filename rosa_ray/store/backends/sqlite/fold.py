"""The update: which events of a batch are new, and what they change. One transaction, any order, any repetition."""

import json
import sqlite3
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rosa_ray.features import EVENT_COLUMNS, FeatureConfig, fold_events
from rosa_ray.schema import hash_ids
from rosa_ray.store.backends.sqlite.counters import add_counters
from rosa_ray.store.backends.sqlite.slots import Slot, advance_slot
from rosa_ray.store.backends.sqlite.timelines import append_events
from rosa_ray.store.protocol import ApplyResult, Columns
from rosa_ray.units import DAY_US

JOURNAL_COLUMNS = ("event_id", "user_key", "time_us", "item_key", "category_key", "behavior", "price")
_REPLAY_ROWS = 10_000
_PRUNE_ROWS = 100


@dataclass(frozen=True)
class Fold:
    """What `fold_into` did: positions of accepted events, sorted by user, time and id, and the result."""

    accepted_rows: np.ndarray
    result: ApplyResult


def fold_into(
    connection: sqlite3.Connection, slot: Slot, events: Columns, features: FeatureConfig, horizon_us: int
) -> Fold:
    """Apply a batch of events to one slot, within the caller's transaction."""
    late = _find_late(events["time_us"], slot.newest_us, horizon_us)
    rows = _find_new(connection, slot.name, events, np.flatnonzero(~late))
    accepted = {name: events[name][rows] for name in JOURNAL_COLUMNS}
    late_rows = np.flatnonzero(late)
    if len(rows):
        add_counters(connection, slot.name, fold_events(accepted, features))
        append_events(connection, slot.name, accepted, slot.max_events + 1)
    newest_us = int(accepted["time_us"].max(initial=slot.newest_us))
    advance_slot(connection, slot.name, newest_us, len(late_rows))
    _prune_seen(connection, slot.name, newest_us - horizon_us, limit=_PRUNE_ROWS + 2 * len(rows))
    duplicates = len(late) - len(late_rows) - len(rows)
    users = np.unique(accepted["user_key"])
    return Fold(rows, ApplyResult(len(rows), duplicates, len(late_rows), late_rows, users))


def write_journal(connection: sqlite3.Connection, events: Columns, rows: np.ndarray) -> None:
    """Remember live events until a loaded log holds them."""
    columns = [events[name][rows].tolist() for name in JOURNAL_COLUMNS]
    connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)", zip(*columns, strict=True))


def replay_journal(connection: sqlite3.Connection, slot: Slot, features: FeatureConfig, horizon_us: int) -> ApplyResult:
    """Apply the journal to a loaded slot and drop from it what the slot's log holds already."""
    order = connection.execute("SELECT rowid FROM journal ORDER BY time_us, event_id").fetchall()
    results = []
    for start in range(0, len(order), _REPLAY_ROWS):
        rowids = [rowid for (rowid,) in order[start : start + _REPLAY_ROWS]]
        events = _read_journal(connection, rowids)
        fold = fold_into(connection, slot, events, features, horizon_us)
        dropped = np.delete(np.array(rowids), fold.accepted_rows)
        connection.executemany("DELETE FROM journal WHERE rowid = ?", [(rowid,) for rowid in dropped.tolist()])
        results.append(fold.result)
    users = np.unique(np.concatenate([np.empty(0, np.int64), *(result.user_keys for result in results)]))
    return ApplyResult(
        accepted=sum(result.accepted for result in results),
        duplicates=sum(result.duplicates for result in results),
        late=sum(result.late for result in results),
        late_rows=np.empty(0, np.int64),
        user_keys=users,
    )


def add_seen(connection: sqlite3.Connection, slot: str, event_key: np.ndarray, time_us: np.ndarray) -> None:
    """Remember event ids by hash and day."""
    rows = zip(event_key.tolist(), (time_us // DAY_US).tolist(), strict=True)
    connection.executemany(f"INSERT OR IGNORE INTO seen_{slot} VALUES (?, ?)", rows)


def _find_late(time_us: np.ndarray, newest_us: int, horizon_us: int) -> np.ndarray:
    """Events more than the horizon behind the newest one before them; how batches are cut does not matter."""
    newest = np.maximum.accumulate(np.r_[newest_us, time_us])[:-1]
    return time_us < newest - horizon_us


def _find_new(connection: sqlite3.Connection, slot: str, events: Columns, rows: np.ndarray) -> np.ndarray:
    """Rows of ids never seen, each id once, sorted by user, time and id; they are seen from now on."""
    keys, first = np.unique(hash_ids(pa.array(events["event_id"][rows], pa.string())), return_index=True)
    query = f"SELECT event_key FROM seen_{slot} WHERE event_key IN (SELECT value FROM json_each(?))"
    known = [key for (key,) in connection.execute(query, (json.dumps(keys.tolist()),))]
    new = ~np.isin(keys, np.array(known, np.int64))
    rows = rows[first[new]]
    add_seen(connection, slot, keys[new], events["time_us"][rows])
    return rows[np.lexsort((events["event_id"][rows], events["time_us"][rows], events["user_key"][rows]))]


def _prune_seen(connection: sqlite3.Connection, slot: str, before_us: int, limit: int) -> None:
    """Forget some ids beyond the horizon: with every update a few, so that none takes long."""
    old = f"SELECT event_key FROM seen_{slot} WHERE day < ? LIMIT ?"
    connection.execute(f"DELETE FROM seen_{slot} WHERE event_key IN ({old})", (before_us // DAY_US, limit))


def _read_journal(connection: sqlite3.Connection, rowids: list[int]) -> dict[str, np.ndarray]:
    query = f"SELECT {', '.join(JOURNAL_COLUMNS)} FROM json_each(?) JOIN journal ON journal.rowid = value ORDER BY key"
    columns = list(zip(*connection.execute(query, (json.dumps(rowids),)), strict=True))
    dtypes = {name: type_.to_pandas_dtype() for name, type_ in EVENT_COLUMNS.items()}
    dtypes |= {"event_id": object, "user_key": np.int64}
    return {name: np.array(values, dtypes[name]) for name, values in zip(JOURNAL_COLUMNS, columns, strict=True)}
