"""The tables of a store file: those that all generations share, and those that each has under its number."""

import sqlite3
from collections.abc import Iterable

SCHEMA_VERSION = 6
"""Raise it when the tables or the byte layouts change, and write what brings a former store to it in `upgrade`."""

APPLICATION_ID = 0x524F5341

SHARED_TABLES = """
CREATE TABLE generations (
  number INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, counting_fingerprint TEXT NOT NULL,
  features TEXT NOT NULL, as_of_us INTEGER NOT NULL, source TEXT NOT NULL, max_events INTEGER NOT NULL,
  newest_us INTEGER NOT NULL, late INTEGER NOT NULL DEFAULT 0, covered_us INTEGER NOT NULL,
  user_ids INTEGER NOT NULL DEFAULT 1, activated INTEGER NOT NULL DEFAULT 0, untold INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE models (
  number INTEGER PRIMARY KEY AUTOINCREMENT, generation INTEGER NOT NULL, model_version TEXT NOT NULL,
  activated INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE parts (model INTEGER NOT NULL, part TEXT NOT NULL, PRIMARY KEY (model, part)) WITHOUT ROWID;
CREATE TABLE journal (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  kind INTEGER NOT NULL, record_id TEXT NOT NULL, user_key INTEGER NOT NULL, time_us INTEGER NOT NULL,
  item_key INTEGER NOT NULL, category_key INTEGER NOT NULL, behavior INTEGER NOT NULL, price REAL,
  ad_key INTEGER NOT NULL, campaign_key INTEGER NOT NULL, shown_us INTEGER NOT NULL, bid REAL NOT NULL,
  cost REAL NOT NULL, parts TEXT NOT NULL DEFAULT ''
);
CREATE INDEX journal_user ON journal (user_key);
CREATE INDEX journal_time ON journal (time_us);
CREATE TABLE changes (
  number INTEGER PRIMARY KEY AUTOINCREMENT, entity TEXT NOT NULL, key INTEGER NOT NULL, time_us INTEGER NOT NULL,
  told TEXT NOT NULL, UNIQUE (entity, key, time_us, told)
);
CREATE TABLE behaviors (code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE positions (stream TEXT PRIMARY KEY, next_offset INTEGER NOT NULL);
CREATE TABLE figures (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
"""`models` are the models of each generation, with their states in a table of their own; activation is numbered for
both, and 0 before. `journal.behavior` is a code of `behaviors`. `figures` counts what became of the journal."""

GENERATION_TABLES = """
CREATE TABLE timelines_{name} (user_key INTEGER PRIMARY KEY, event_ids TEXT NOT NULL, records BLOB NOT NULL);
CREATE TABLE encoded_{name} (
  user_key INTEGER PRIMARY KEY, last_time_us INTEGER NOT NULL, last_event_id TEXT NOT NULL,
  stale INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE counters_{name} (
  view TEXT NOT NULL, entity_key INTEGER NOT NULL, chunk INTEGER NOT NULL, packed BLOB NOT NULL,
  PRIMARY KEY (view, entity_key, chunk)
) WITHOUT ROWID;
CREATE TABLE owned_{name} (
  user_key INTEGER NOT NULL, view TEXT NOT NULL, entity_key INTEGER NOT NULL, PRIMARY KEY (user_key, view, entity_key)
) WITHOUT ROWID;
CREATE TABLE users_{name} (user_key INTEGER PRIMARY KEY, last_us INTEGER NOT NULL);
CREATE INDEX users_last_{name} ON users_{name} (last_us);
CREATE TABLE seen_{name} (record_key INTEGER PRIMARY KEY, day INTEGER NOT NULL);
CREATE INDEX seen_day_{name} ON seen_{name} (day);
CREATE TABLE spans_{name} (
  bucket INTEGER NOT NULL, day INTEGER NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
  PRIMARY KEY (bucket, day)
) WITHOUT ROWID;
CREATE TABLE user_columns_{name} (key INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE item_columns_{name} (key INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE ad_columns_{name} (key INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE replayed_{name} (told INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (told, number)) WITHOUT ROWID;
"""
"""`encoded` holds the last event of each user in the loaded log, which every model of the generation encodes, and
whether one came live before it since. `replayed` are numbers of the journal, and of changes with `told` 1, that an
activation which was broken off has behind it. `owned` are counters that belong to a user, whom their entity does not
tell."""

STATES_TABLE = "CREATE TABLE states_{number} (user_key INTEGER PRIMARY KEY, packed BLOB NOT NULL);"

KEYS = {
    "timelines": "user_key",
    "encoded": "user_key",
    "counters": "view, entity_key, chunk",
    "owned": "user_key, view, entity_key",
    "users": "user_key",
    "seen": "record_key",
    "spans": "bucket, day",
    "user_columns": "key",
    "item_columns": "key",
    "ad_columns": "key",
    "replayed": "told, number",
}
"""Tables of a generation -> what their rows are told apart by."""


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run statements within the caller's transaction."""
    for statement in filter(str.strip, script.split(";")):
        connection.execute(statement)


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables that all generations share, in an empty file."""
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        run_script(connection, SHARED_TABLES)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")


def count_figures(connection: sqlite3.Connection, amounts: Iterable[tuple[str, int]]) -> None:
    """Add to figures of the store."""
    connection.executemany(
        "INSERT INTO figures VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        [(name, amount) for name, amount in amounts if amount],
    )
