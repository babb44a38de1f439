"""When each user was last heard of, and the removal of users: those forgotten, and those silent for too long."""

import sqlite3

import numpy as np

from rosa_ray.store.backends.sqlite.columns import delete_changes, delete_columns
from rosa_ray.store.backends.sqlite.counters import delete_counters
from rosa_ray.store.backends.sqlite.generations import Generation
from rosa_ray.store.backends.sqlite.schema import count_figures


def touch_users(connection: sqlite3.Connection, slot: str, user_key: np.ndarray, time_us: np.ndarray) -> None:
    """Note the times of records; the newest of each user stays."""
    connection.executemany(
        f"INSERT INTO users_{slot} VALUES (?, ?) "
        "ON CONFLICT (user_key) DO UPDATE SET last_us = max(last_us, excluded.last_us)",
        zip(user_key.tolist(), time_us.tolist(), strict=True),
    )


def expire_users(connection: sqlite3.Connection, generation: Generation, before_us: int, limit: int) -> list[int]:
    """Remove up to `limit` users whose newest record lies before a time; returns who they were."""
    query = f"SELECT user_key FROM users_{generation.name} WHERE last_us < ? ORDER BY last_us LIMIT ?"
    silent = [user_key for (user_key,) in connection.execute(query, (before_us, limit))]
    for user_key in silent:
        delete_user(connection, generation, user_key)
    return silent


def delete_user(connection: sqlite3.Connection, generation: Generation, user_key: int) -> int:
    """Remove a user from one generation; returns the rows removed."""
    name = generation.name
    removed = delete_counters(connection, name, user_key) + delete_columns(connection, name, user_key)
    models = connection.execute("SELECT number FROM models WHERE generation = ?", (generation.number,)).fetchall()
    states = (f"states_{number}" for (number,) in models)
    for table in (f"timelines_{name}", f"encoded_{name}", f"users_{name}", *states):
        removed += connection.execute(f"DELETE FROM {table} WHERE user_key = ?", (user_key,)).rowcount
    return removed


def delete_journal(connection: sqlite3.Connection, user_key: int) -> int:
    """Remove a user's live records and changes; returns how many."""
    records = connection.execute("DELETE FROM journal WHERE user_key = ?", (user_key,)).rowcount
    count_figures(connection, [("journal_records", -records)])
    return records + delete_changes(connection, user_key)
