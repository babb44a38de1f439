"""Removal of generations and of models' states, a few rows at a time, while the store is read and written."""

import sqlite3
from collections.abc import Iterator
from functools import partial

from rosa_ray.errors import StoreError
from rosa_ray.store.backends.sqlite import generations
from rosa_ray.store.backends.sqlite.database import Database, Step
from rosa_ray.store.backends.sqlite.schema import KEYS

_ROWS, _WIDE_ROWS = 100, 10
_WIDE = ("timelines", "states", "counters")
"""Tables whose rows take pages of their own, which are read to be freed."""


def mark_surplus(connection: sqlite3.Connection, kept_versions: int) -> None:
    """Mark what no kept model reads: of each model the newest activation counts, and of models the newest."""
    rows = connection.execute(
        "SELECT m.number, m.generation, m.model_version, g.counting_fingerprint FROM models m "
        "JOIN generations g ON g.number = m.generation "
        "WHERE m.activated > 0 AND g.state IN ('live', 'held') ORDER BY m.activated DESC"
    ).fetchall()
    newest: dict[str, tuple[int, int]] = {}
    counted: set[str] = set()
    for number, generation, version, fingerprint in rows:
        # What was never loaded has no model. It is read only where nothing else is counted alike.
        if version or fingerprint not in counted:
            newest.setdefault(version, (number, generation))
        counted.add(fingerprint)
    kept = list(newest.values())[: 1 + kept_versions]
    read = {generation for _, generation in kept}
    gone = [(number,) for number, *_ in rows if number not in {number for number, _ in kept}]
    connection.executemany("UPDATE models SET activated = -1 WHERE number = ?", gone)
    for one in generations.in_state(connection, "live", "held"):
        if one.number not in read:
            mark_generation(connection, one.number)


def mark_generation(connection: sqlite3.Connection, number: int) -> None:
    """Give up a generation with all its models; it is neither read nor written from then on."""
    connection.execute("UPDATE generations SET state = 'dropped' WHERE number = ?", (number,))
    connection.execute("UPDATE models SET activated = -1 WHERE generation = ?", (number,))


def mark_named(connection: sqlite3.Connection, name: str, path: str) -> None:
    """Give up a generation by its number, or a model by its version; see `OnlineStore.drop`."""
    held = [one for one in generations.held_generations(connection) if one.state != "dropped"]
    of_model = [one for one in held if name in one.models]
    numbered = [one for one in held if str(one.number) == name and not of_model]
    if not of_model and not numbered:
        known = ", ".join(f"{one.number} ({', '.join(one.models) or one.state})" for one in held)
        raise StoreError(f"store {path}: holds no '{name}'; it holds {known}")
    if any(one.is_active for one in numbered) or any(one.is_active and one.models[0] == name for one in of_model):
        raise StoreError(f"store {path}: '{name}' is active, and is not dropped; activate another one first")
    for one in of_model:
        query = "UPDATE models SET activated = -1 WHERE generation = ? AND model_version = ?"
        connection.execute(query, (one.number, name))
    for one in (*numbered, *(one for one in of_model if one.models == (name,))):
        mark_generation(connection, one.number)


def remove_marked(database: Database) -> None:
    """Remove what was marked, also by one that was broken off."""
    database.write_in_turns(_steps(database))


def _steps(database: Database) -> Iterator[Step]:
    with database.read() as connection:
        models = connection.execute("SELECT number FROM models WHERE activated = -1").fetchall()
        gone = generations.in_state(connection, "dropped")
    for (number,) in models:
        yield from _empty(database, f"states_{number}", "user_key")
        yield from _empty(database, "parts", "model, part", f"model = {number}")
        yield partial(_remove_model, number=number)
    for one in gone:
        for table, key in KEYS.items():
            yield from _empty(database, f"{table}_{one.name}", key)
        yield partial(_remove_generation, number=one.number)


def empty_table(database: Database, table: str, generation: str) -> Iterator[Step]:
    """Steps that remove the rows of a generation's table."""
    return _empty(database, f"{table}_{generation}", KEYS[table])


def _empty(database: Database, table: str, key: str, condition: str = "1") -> Iterator[Step]:
    left, rows = True, _WIDE_ROWS if table.startswith(_WIDE) else _ROWS

    def remove(connection: sqlite3.Connection) -> None:
        nonlocal left
        chosen = f"SELECT {key} FROM {table} WHERE {condition} LIMIT {rows}"
        left = connection.execute(f"DELETE FROM {table} WHERE ({key}) IN ({chosen})").rowcount == rows

    while left:
        yield remove


def _remove_model(connection: sqlite3.Connection, number: int) -> None:
    connection.execute(f"DROP TABLE IF EXISTS states_{number}")
    connection.execute("DELETE FROM models WHERE number = ?", (number,))


def _remove_generation(connection: sqlite3.Connection, number: int) -> None:
    for table in KEYS:
        connection.execute(f"DROP TABLE IF EXISTS {table}_{number}")
    connection.execute("DELETE FROM generations WHERE number = ?", (number,))
