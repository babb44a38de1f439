"""The update: which records of a batch are new, and what they change. One transaction, any order, any repetition."""

import json
import sqlite3
from dataclasses import dataclass

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import RECORD_COLUMNS, FeatureConfig, RecordKind, fold_records, record_keys
from rosa_ray.features.records import take_records
from rosa_ray.store.backends.sqlite import spans
from rosa_ray.store.backends.sqlite.counters import CHUNK_BUCKETS, add_counters
from rosa_ray.store.backends.sqlite.slots import Slot, advance_slot
from rosa_ray.store.backends.sqlite.timelines import append_events
from rosa_ray.store.backends.sqlite.users import expire_users, touch_users
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.packing import part_texts, parts_of_texts
from rosa_ray.store.protocol import ApplyResult, merge_results
from rosa_ray.store.windows import Kept
from rosa_ray.units import DAY_US

_REPLAY_ROWS = 10_000
_PRUNE_ROWS = 100
_EXPIRE_ROWS = 20


@dataclass(frozen=True)
class Fold:
    """What `fold_into` did: positions of accepted records, sorted by user, time and id, the result, the newest time."""

    accepted_rows: np.ndarray
    result: ApplyResult
    newest_us: int


def fold_into(
    connection: sqlite3.Connection, slot: Slot, records: Columns, features: FeatureConfig, config: StoreConfig
) -> Fold:
    """Apply a batch of records to one slot, within the caller's transaction."""
    late, day = spans.judge(connection, slot, records["time_us"], config.horizon_us)
    rows = _find_new(connection, slot.name, records, np.flatnonzero(~late), day)
    accepted = take_records(records, rows)
    late_rows = np.flatnonzero(late)
    newest_us = int(accepted["time_us"].max(initial=slot.newest_us))
    if len(rows):
        kept_bucket = Kept.of(features, config, CHUNK_BUCKETS).first_bucket(newest_us)
        add_counters(connection, slot.name, fold_records(accepted, features), kept_bucket, config.path)
        _append(connection, slot, accepted)
    advance_slot(connection, slot.name, newest_us, len(late_rows))
    _prune_seen(connection, slot.name, newest_us - config.horizon_us, limit=_PRUNE_ROWS + 2 * len(rows))
    duplicates = len(late) - len(late_rows) - len(rows)
    users = np.unique(accepted["user_key"])
    return Fold(rows, ApplyResult(len(rows), duplicates, len(late_rows), late_rows, users), newest_us)


def expire_silent(connection: sqlite3.Connection, slot: Slot, fold: Fold, config: StoreConfig) -> None:
    """Remove some users without a record for too long, more than an update can add."""
    if config.ttl_us is not None:
        limit = _EXPIRE_ROWS + 2 * len(fold.result.user_keys)
        expire_users(connection, slot.name, fold.newest_us - config.ttl_us, limit)


def write_journal(connection: sqlite3.Connection, records: Columns, rows: np.ndarray) -> None:
    """Remember live records until a loaded log holds them."""
    accepted = take_records(records, rows)
    columns = [*(accepted[name].tolist() for name in RECORD_COLUMNS), part_texts(accepted)]
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO journal VALUES ({marks})", zip(*columns, strict=True))


def replay_journal(
    connection: sqlite3.Connection, slot: Slot, features: FeatureConfig, config: StoreConfig
) -> ApplyResult:
    """Apply the journal to a loaded slot and drop from it what the slot's log holds already."""
    order = connection.execute("SELECT rowid FROM journal ORDER BY time_us, record_id").fetchall()
    results = []
    for start in range(0, len(order), _REPLAY_ROWS):
        rowids = [rowid for (rowid,) in order[start : start + _REPLAY_ROWS]]
        fold = fold_into(connection, slot, _read_journal(connection, rowids), features, config)
        dropped = np.delete(np.array(rowids), fold.accepted_rows)
        connection.executemany("DELETE FROM journal WHERE rowid = ?", [(rowid,) for rowid in dropped.tolist()])
        results.append(fold.result)
    return merge_results(results)


def add_seen(connection: sqlite3.Connection, slot: str, record_key: np.ndarray, day: np.ndarray) -> None:
    """Remember records by key, and the day after which they may be forgotten."""
    rows = zip(record_key.tolist(), day.tolist(), strict=True)
    connection.executemany(f"INSERT OR IGNORE INTO seen_{slot} VALUES (?, ?)", rows)


def _append(connection: sqlite3.Connection, slot: Slot, records: Columns) -> None:
    """Note the users of new records, sorted by user, time and id, and append the events among them."""
    touch_users(connection, slot.name, records["user_key"], records["time_us"])
    events = records["kind"] == RecordKind.EVENT
    if events.any():
        chosen = {name: values[events] for name, values in records.items()}
        append_events(connection, slot.name, {**chosen, "event_id": chosen["record_id"]}, slot.max_events + 1)


def _find_new(
    connection: sqlite3.Connection, slot: str, records: Columns, rows: np.ndarray, day: np.ndarray
) -> np.ndarray:
    """Rows of records never seen, each once, sorted by user, time and id; they are seen from now on."""
    chosen = {name: records[name][rows] for name in ("kind", "record_id")}
    keys, first = np.unique(record_keys(chosen), return_index=True)
    query = f"SELECT record_key FROM seen_{slot} WHERE record_key IN (SELECT value FROM json_each(?))"
    known = [key for (key,) in connection.execute(query, (json.dumps(keys.tolist()),))]
    new = ~np.isin(keys, np.array(known, np.int64))
    rows = rows[first[new]]
    add_seen(connection, slot, keys[new], day[rows])
    return rows[np.lexsort((records["record_id"][rows], records["time_us"][rows], records["user_key"][rows]))]


def _prune_seen(connection: sqlite3.Connection, slot: str, before_us: int, limit: int) -> None:
    """Forget some ids beyond the horizon: with every update a few, so that none takes long."""
    old = f"SELECT record_key FROM seen_{slot} WHERE day < ? LIMIT ?"
    connection.execute(f"DELETE FROM seen_{slot} WHERE record_key IN ({old})", (before_us // DAY_US, limit))


def _read_journal(connection: sqlite3.Connection, rowids: list[int]) -> dict[str, np.ndarray]:
    names = ", ".join([*RECORD_COLUMNS, "parts"])
    query = f"SELECT {names} FROM json_each(?) JOIN journal ON journal.rowid = value ORDER BY key"
    *columns, parts = zip(*connection.execute(query, (json.dumps(rowids),)), strict=True)
    held = {name: np.array(values, RECORD_COLUMNS[name]) for name, values in zip(RECORD_COLUMNS, columns, strict=True)}
    return held | parts_of_texts(parts)
