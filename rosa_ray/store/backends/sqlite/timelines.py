"""Timelines and states in SQLite: one compact row per user."""

import json
import sqlite3

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.store.backends.sqlite.database import decoding
from rosa_ray.store.backends.sqlite.generations import Model
from rosa_ray.store.packing import (
    EVENT_RECORD,
    ids_of_json,
    ids_to_json,
    pack_events,
    pack_states,
    unpack_states,
    unpack_timeline,
)
from rosa_ray.store.protocol import StateBlock, StoredStates, TimelineBlock

_EMPTY = ("[]", b"")


def read_timeline(connection: sqlite3.Connection, slot: str, user_key: int) -> dict[str, np.ndarray]:
    """Columns of a user's timeline, empty when there is none."""
    query = f"SELECT event_ids, records FROM timelines_{slot} WHERE user_key = ?"
    event_ids, records = connection.execute(query, (user_key,)).fetchone() or _EMPTY
    return unpack_timeline(records, event_ids)


def append_events(connection: sqlite3.Connection, slot: str, events: Columns, keep: int) -> None:
    """Put events, sorted by user, time and id, in their places and keep the last `keep` per user.

    An event older than the oldest of a full timeline is not put in. A user's states, of all models, become stale when
    an event that is put in lies before the last encoded one, which is the last of the loaded log.
    """
    records, event_ids = pack_events(events), events["event_id"].tolist()
    users, starts = np.unique(events["user_key"], return_index=True)
    bounds = [*starts.tolist(), len(records)]
    stored = _read_many(connection, slot, users.tolist())
    rows, stale = [], []
    for index, user in enumerate(users.tolist()):
        low, high = bounds[index], bounds[index + 1]
        with decoding():
            merged = _merge(*stored.get(user, _EMPTY), records[low:high], event_ids[low:high], keep)
        if merged is None:
            continue
        rows.append((user, ids_to_json(merged[0]), merged[1]))
        if merged[2] is not None:
            stale.append((user, *merged[2]))
    connection.executemany(f"INSERT OR REPLACE INTO timelines_{slot} VALUES (?, ?, ?)", rows)
    connection.executemany(
        f"UPDATE encoded_{slot} SET stale = 1 "
        "WHERE user_key = ? AND stale = 0 AND (last_time_us, last_event_id) > (?, ?)",
        stale,
    )


def load_timelines(connection: sqlite3.Connection, slot: str, block: TimelineBlock, keep: int) -> None:
    """Replace the timelines of a block's users; those without events get none."""
    records, event_ids = pack_events(block.events), block.events["event_id"].tolist()
    bounds, times = block.event_offsets.tolist(), block.events["time_us"]
    rows, encoded = [], []
    for index, user in enumerate(block.user_key.tolist()):
        low, high = max(bounds[index], bounds[index + 1] - keep), bounds[index + 1]
        if low == high:
            continue
        rows.append((user, ids_to_json(event_ids[low:high]), records[low:high].tobytes()))
        encoded.append((user, int(times[high - 1]), event_ids[high - 1]))
    connection.executemany(f"INSERT OR REPLACE INTO timelines_{slot} VALUES (?, ?, ?)", rows)
    connection.executemany(f"INSERT OR REPLACE INTO encoded_{slot} VALUES (?, ?, ?, 0)", encoded)


def read_states(connection: sqlite3.Connection, slot: str, user_key: int, model: Model) -> StoredStates | None:
    """A user's states of one model, None when there are none."""
    query = (
        f"SELECT e.stale, e.last_event_id, s.packed FROM states_{model.number} s JOIN encoded_{slot} e "
        "USING (user_key) WHERE user_key = ?"
    )
    row = connection.execute(query, (user_key,)).fetchone()
    if row is None:
        return None
    stale, event_id, packed = row
    return StoredStates(model.version, event_id, *unpack_states(packed), stale=bool(stale))


def load_states(connection: sqlite3.Connection, slot: str, model: Model, block: StateBlock, dtype: str) -> None:
    """Replace the states of a block's users that one model encoded."""
    bounds = block.state_offsets.tolist()
    rows, encoded = [], []
    for index, user in enumerate(block.user_key.tolist()):
        span = slice(bounds[index], bounds[index + 1])
        events = {name: values[span] for name, values in block.events.items()}
        rows.append((user, pack_states(events, block.states[span], dtype)))
        encoded.append((user, int(events["time_us"][-1]), block.event_id[index]))
    connection.executemany(f"INSERT OR REPLACE INTO states_{model.number} VALUES (?, ?)", rows)
    connection.executemany(
        f"INSERT OR IGNORE INTO encoded_{slot} (user_key, last_time_us, last_event_id) VALUES (?, ?, ?)", encoded
    )


def _read_many(connection: sqlite3.Connection, slot: str, users: list[int]) -> dict[int, tuple[str, bytes]]:
    rows = connection.execute(
        f"SELECT user_key, event_ids, records FROM timelines_{slot} WHERE user_key IN (SELECT value FROM json_each(?))",
        (json.dumps(users),),
    )
    return {user: (event_ids, records) for user, event_ids, records in rows}


def _merge(
    stored_ids: str, stored: bytes, records: np.ndarray, event_ids: list[str], keep: int
) -> tuple[list[str], bytes, tuple[int, str] | None] | None:
    """One user's timeline with new events.

    Returns:
        Ids, records, and time and id of the first new event if it lies before a stored one; None when no new event
        is among the last `keep`.
    """
    ids = ids_of_json(stored_ids)
    size = EVENT_RECORD.itemsize
    first = (int(records["time_us"][0]), event_ids[0])
    if not ids or (int(np.frombuffer(stored[-size:], EVENT_RECORD)["time_us"][0]), ids[-1]) < first:
        return (ids + event_ids)[-keep:], (stored + records.tobytes())[-keep * size :], None
    old, ids = len(ids), ids + event_ids
    table = np.concatenate([np.frombuffer(stored, EVENT_RECORD), records])
    times = table["time_us"].tolist()
    order = sorted(range(len(ids)), key=lambda row: (times[row], ids[row]))[-keep:]
    added = next((row for row in order if row >= old), None)
    if added is None:
        return None
    return [ids[row] for row in order], table[order].tobytes(), (times[added], ids[added])
