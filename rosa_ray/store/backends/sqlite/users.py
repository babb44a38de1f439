"""When each user was last heard of, and the removal of users: those forgotten, and those silent for too long."""

import sqlite3

import numpy as np

from rosa_ray.store.backends.sqlite.columns import delete_changes, delete_columns
from rosa_ray.store.backends.sqlite.counters import delete_counters


def touch_users(connection: sqlite3.Connection, slot: str, user_key: np.ndarray, time_us: np.ndarray) -> None:
    """Note the times of records; the newest of each user stays."""
    connection.executemany(
        f"INSERT INTO users_{slot} VALUES (?, ?) "
        "ON CONFLICT (user_key) DO UPDATE SET last_us = max(last_us, excluded.last_us)",
        zip(user_key.tolist(), time_us.tolist(), strict=True),
    )


def expire_users(connection: sqlite3.Connection, slot: str, before_us: int, limit: int) -> int:
    """Remove up to `limit` users whose newest record lies before a time; returns how many."""
    query = f"SELECT user_key FROM users_{slot} WHERE last_us < ? ORDER BY last_us LIMIT ?"
    silent = connection.execute(query, (before_us, limit)).fetchall()
    for (user_key,) in silent:
        delete_user(connection, slot, user_key)
        delete_journal(connection, user_key)
    return len(silent)


def delete_user(connection: sqlite3.Connection, slot: str, user_key: int) -> int:
    """Remove a user from one slot; returns the rows removed."""
    removed = delete_counters(connection, slot, user_key) + delete_columns(connection, slot, user_key)
    for table in ("timelines", "states", "users"):
        removed += connection.execute(f"DELETE FROM {table}_{slot} WHERE user_key = ?", (user_key,)).rowcount
    return removed


def delete_journal(connection: sqlite3.Connection, user_key: int) -> int:
    """Remove a user's live records and changes; returns how many."""
    records = connection.execute("DELETE FROM journal WHERE user_key = ?", (user_key,)).rowcount
    return records + delete_changes(connection, user_key)
