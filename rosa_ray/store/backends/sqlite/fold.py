"""The update of one generation: which records of a batch are new, and what they change. Any order, any repetition."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import RecordKind, fold_records, record_keys
from rosa_ray.features.records import take_records
from rosa_ray.store.backends.sqlite import spans
from rosa_ray.store.backends.sqlite.counters import CHUNK_BUCKETS, add_counters
from rosa_ray.store.backends.sqlite.database import decoding
from rosa_ray.store.backends.sqlite.generations import Generation, advance
from rosa_ray.store.backends.sqlite.timelines import append_events
from rosa_ray.store.backends.sqlite.users import expire_users, touch_users
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.packing import recoded
from rosa_ray.store.protocol import ApplyResult
from rosa_ray.store.windows import Kept
from rosa_ray.units import DAY_US

_PRUNE_ROWS = 100
_EXPIRE_ROWS = 20


@dataclass(frozen=True)
class Fold:
    """What `fold_into` did: positions of accepted records, sorted by user, time and id, the result, the newest time."""

    accepted_rows: np.ndarray
    result: ApplyResult
    newest_us: int


def fold_into(
    connection: sqlite3.Connection,
    generation: Generation,
    records: Columns,
    behaviors: Sequence[str],
    config: StoreConfig,
) -> Fold:
    """Apply a batch of records to one generation, within the caller's transaction.

    Args:
        behaviors: names by the codes of the records. Events of a behaviour that the generation does not know are no
            part of it.
    """
    known, of_batch = _as_counted(records, behaviors, generation.features.behavior_names)
    late, day = spans.judge(connection, generation, known["time_us"], config.horizon_us)
    rows = _find_new(connection, generation, known, np.flatnonzero(~late), day)
    accepted = take_records(known, rows)
    late_rows = np.flatnonzero(late)
    newest_us = int(accepted["time_us"].max(initial=generation.newest_us))
    if len(rows):
        _add(connection, generation, accepted, newest_us, config)
    advance(connection, generation.number, newest_us, len(late_rows))
    _prune_seen(connection, generation.name, newest_us - config.horizon_us, limit=_PRUNE_ROWS + 2 * len(rows))
    duplicates = len(late) - len(late_rows) - len(rows)
    users = np.unique(accepted["user_key"])
    result = ApplyResult(len(rows), duplicates, len(late_rows), of_batch[late_rows], users)
    return Fold(of_batch[rows], result, newest_us)


def expire_silent(connection: sqlite3.Connection, generation: Generation, fold: Fold, config: StoreConfig) -> list[int]:
    """Remove some users without a record for too long, more than an update can add; returns who they were."""
    if config.ttl_us is None:
        return []
    limit = _EXPIRE_ROWS + 2 * len(fold.result.user_keys)
    return expire_users(connection, generation, fold.newest_us - config.ttl_us, limit)


def add_seen(connection: sqlite3.Connection, slot: str, record_key: np.ndarray, day: np.ndarray) -> None:
    """Remember records by key, and the day after which they may be forgotten."""
    rows = zip(record_key.tolist(), day.tolist(), strict=True)
    connection.executemany(f"INSERT OR IGNORE INTO seen_{slot} VALUES (?, ?)", rows)


def _as_counted(
    records: Columns, said: Sequence[str], meant: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The records of behaviours that a generation knows, by its codes, and their positions in the batch."""
    rows = np.arange(len(records["kind"]))
    if tuple(said) == tuple(meant):
        return dict(records), rows
    events = records["kind"] == RecordKind.EVENT
    codes = recoded(np.where(events, records["behavior"], 0), said, meant)
    rows = np.flatnonzero(~events | (codes >= 0))
    kept = take_records(records, rows)
    return {**kept, "behavior": np.where(events, codes, 0)[rows].astype(np.int8)}, rows


def _add(
    connection: sqlite3.Connection, generation: Generation, records: Columns, newest_us: int, config: StoreConfig
) -> None:
    """Count new records, sorted by user, time and id, and append the events among them."""
    states = fold_records(records, generation.features)
    kept_bucket = Kept.of(generation.features, config, CHUNK_BUCKETS).first_bucket(newest_us)
    with decoding():
        add_counters(connection, generation.name, states, kept_bucket, config.path)
    touch_users(connection, generation.name, records["user_key"], records["time_us"])
    events = records["kind"] == RecordKind.EVENT
    if events.any():
        chosen = {name: values[events] for name, values in records.items()}
        append_events(
            connection, generation.name, {**chosen, "event_id": chosen["record_id"]}, generation.max_events + 1
        )


def _find_new(
    connection: sqlite3.Connection, generation: Generation, records: Columns, rows: np.ndarray, day: np.ndarray
) -> np.ndarray:
    """Rows of records never seen, each once, sorted by user, time and id; they are seen from now on."""
    chosen = {name: records[name][rows] for name in ("kind", "record_id", "user_key")}
    keys, first = np.unique(record_keys(chosen, with_users=generation.user_ids), return_index=True)
    query = f"SELECT record_key FROM seen_{generation.name} WHERE record_key IN (SELECT value FROM json_each(?))"
    known = [key for (key,) in connection.execute(query, (json.dumps(keys.tolist()),))]
    new = ~np.isin(keys, np.array(known, np.int64))
    rows = rows[first[new]]
    add_seen(connection, generation.name, keys[new], day[rows])
    return rows[np.lexsort((records["record_id"][rows], records["time_us"][rows], records["user_key"][rows]))]


def _prune_seen(connection: sqlite3.Connection, slot: str, before_us: int, limit: int) -> None:
    """Forget some ids beyond the horizon: with every update a few, so that none takes long."""
    old = f"SELECT record_key FROM seen_{slot} WHERE day < ? LIMIT ?"
    connection.execute(f"DELETE FROM seen_{slot} WHERE record_key IN ({old})", (before_us // DAY_US, limit))
