"""Brings a store file of an earlier schema to this one, and loses nothing.

Until schema 5 a store had two slots, a and b, of which one was active. The active one becomes a generation that is held
for its model: which features it was counted by is not written in it, and its model's first reader says so.
"""

import sqlite3

from rosa_ray.store.backends.sqlite.schema import KEYS, SCHEMA_VERSION, SHARED_TABLES, run_script

_SLOTS = ("a", "b")
_OWNED = """
CREATE TABLE owned_{slot} (
  user_key INTEGER NOT NULL, view TEXT NOT NULL, entity_key INTEGER NOT NULL, PRIMARY KEY (user_key, view, entity_key)
) WITHOUT ROWID;
"""
_SPANS = """
CREATE TABLE spans_{slot} (
  bucket INTEGER NOT NULL, day INTEGER NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
  PRIMARY KEY (bucket, day)
) WITHOUT ROWID;
"""
_CHANGES = """
CREATE TABLE changes (
  entity TEXT NOT NULL, key INTEGER NOT NULL, time_us INTEGER NOT NULL, told TEXT NOT NULL,
  PRIMARY KEY (entity, key, time_us, told)
) WITHOUT ROWID;
"""
_COLUMNS = "".join(
    f"CREATE TABLE {entity}_columns_{{slot}} (key INTEGER PRIMARY KEY, packed BLOB NOT NULL);"
    for entity in ("user", "item", "ad")
)
_SCRIPTS = {
    3: "ALTER TABLE slots ADD COLUMN covered_us INTEGER NOT NULL DEFAULT 0; "
    "UPDATE slots SET covered_us = max(as_of_us, newest_us);" + "".join(_SPANS.format(slot=slot) for slot in _SLOTS),
    4: _CHANGES
    + "ALTER TABLE journal ADD COLUMN parts TEXT NOT NULL DEFAULT '';"
    + "".join((_COLUMNS + _OWNED).format(slot=slot) for slot in _SLOTS),
}
"""Version of a store -> what brings it to the next. Of a store of version 3, ids are remembered by the day of the
record up to the newest."""

_JOURNAL = (
    "kind, record_id, user_key, time_us, item_key, category_key, behavior, price, ad_key, campaign_key, shown_us, "
    "bid, cost, parts"
)


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring a store of an earlier version to this one, once."""
    if not 3 <= _version(connection) < SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        while (version := _version(connection)) in _SCRIPTS:
            run_script(connection, _SCRIPTS[version])
            connection.execute(f"PRAGMA user_version={version + 1}")
        if version < SCHEMA_VERSION:
            _slots_to_generations(connection)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _slots_to_generations(connection: sqlite3.Connection) -> None:
    """Schema 5 to 6. Tables are renamed, not copied, but for the journals, whose rows get numbers."""
    for table in ("journal", "changes", "positions"):
        connection.execute(f"ALTER TABLE {table} RENAME TO former_{table}")
    connection.execute("DROP INDEX journal_user")
    run_script(connection, SHARED_TABLES)
    connection.execute(f"INSERT INTO journal ({_JOURNAL}) SELECT {_JOURNAL} FROM former_journal ORDER BY rowid")
    connection.execute(
        "INSERT INTO changes (entity, key, time_us, told) SELECT entity, key, time_us, told FROM former_changes"
    )
    connection.execute("INSERT INTO positions SELECT * FROM former_positions")
    connection.execute("INSERT INTO figures SELECT 'journal_records', count(*) FROM journal")
    for table in ("journal", "changes", "positions"):
        connection.execute(f"DROP TABLE former_{table}")
    for active, slot in connection.execute("SELECT active, name FROM slots ORDER BY active DESC").fetchall():
        _slot_to_generation(connection, slot, bool(active))
    connection.execute("DROP TABLE slots")


def _slot_to_generation(connection: sqlite3.Connection, slot: str, active: bool) -> None:
    """The active slot is held; what lies beside it was never finished, and goes."""
    number = connection.execute(
        "INSERT INTO generations (state, counting_fingerprint, features, as_of_us, source, max_events, newest_us, "
        "late, covered_us, user_ids, activated) SELECT ?, '', '', as_of_us, source, max_events, newest_us, late, "
        "covered_us, 0, ? FROM slots WHERE name = ?",
        ("held" if active else "dropped", int(active), slot),
    ).lastrowid
    model = connection.execute(
        "INSERT INTO models (generation, model_version, activated) "
        "SELECT ?, model_version, ? FROM slots WHERE name = ?",
        (number, int(active), slot),
    ).lastrowid
    connection.execute(
        f"CREATE TABLE encoded_{number} (user_key INTEGER PRIMARY KEY, last_time_us INTEGER NOT NULL, "
        "last_event_id TEXT NOT NULL, stale INTEGER NOT NULL DEFAULT 0)"
    )
    connection.execute(
        f"INSERT INTO encoded_{number} SELECT user_key, last_time_us, last_event_id, stale FROM states_{slot}"
    )
    connection.execute(
        f"CREATE TABLE replayed_{number} (told INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (told, number)) "
        "WITHOUT ROWID"
    )
    connection.execute(f"ALTER TABLE states_{slot} RENAME TO states_{model}")
    connection.execute(f"DROP TABLE parts_{slot}")
    for table in KEYS:
        if table not in ("encoded", "replayed"):
            connection.execute(f"ALTER TABLE {table}_{slot} RENAME TO {table}_{number}")
