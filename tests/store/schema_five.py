"""Store files as an earlier version of the program wrote them, made from one of today."""

import sqlite3
from pathlib import Path

import numpy as np

from rosa_ray.features import RECORD_COLUMNS, record_keys
from rosa_ray.store.backends.sqlite.counters import TOTAL_CHUNK

_SHARED = """
CREATE TABLE slots (
  name TEXT PRIMARY KEY, active INTEGER NOT NULL, model_version TEXT NOT NULL, feature_fingerprint TEXT NOT NULL,
  as_of_us INTEGER NOT NULL, source TEXT NOT NULL, max_events INTEGER NOT NULL, newest_us INTEGER NOT NULL,
  late INTEGER NOT NULL, covered_us INTEGER NOT NULL
);
CREATE TABLE journal (
  kind INTEGER NOT NULL, record_id TEXT NOT NULL, user_key INTEGER NOT NULL, time_us INTEGER NOT NULL,
  item_key INTEGER NOT NULL, category_key INTEGER NOT NULL, behavior INTEGER NOT NULL, price REAL,
  ad_key INTEGER NOT NULL, campaign_key INTEGER NOT NULL, shown_us INTEGER NOT NULL, bid REAL NOT NULL,
  cost REAL NOT NULL, parts TEXT NOT NULL DEFAULT ''
);
CREATE INDEX journal_user ON journal (user_key);
CREATE TABLE positions (stream TEXT PRIMARY KEY, next_offset INTEGER NOT NULL);
CREATE TABLE changes (
  entity TEXT NOT NULL, key INTEGER NOT NULL, time_us INTEGER NOT NULL, told TEXT NOT NULL,
  PRIMARY KEY (entity, key, time_us, told)
) WITHOUT ROWID;
"""
_SLOT = """
CREATE TABLE timelines_{slot} (user_key INTEGER PRIMARY KEY, event_ids TEXT NOT NULL, records BLOB NOT NULL);
CREATE TABLE states_{slot} (
  user_key INTEGER PRIMARY KEY, stale INTEGER NOT NULL, last_time_us INTEGER NOT NULL, last_event_id TEXT NOT NULL,
  packed BLOB NOT NULL
);
CREATE TABLE counters_{slot} (
  view TEXT NOT NULL, entity_key INTEGER NOT NULL, chunk INTEGER NOT NULL, packed BLOB NOT NULL,
  PRIMARY KEY (view, entity_key, chunk)
) WITHOUT ROWID;
CREATE TABLE users_{slot} (user_key INTEGER PRIMARY KEY, last_us INTEGER NOT NULL);
CREATE INDEX users_{slot}_last ON users_{slot} (last_us);
CREATE TABLE seen_{slot} (record_key INTEGER PRIMARY KEY, day INTEGER NOT NULL);
CREATE INDEX seen_{slot}_day ON seen_{slot} (day);
CREATE TABLE parts_{slot} (part TEXT PRIMARY KEY);
CREATE TABLE owned_{slot} (
  user_key INTEGER NOT NULL, view TEXT NOT NULL, entity_key INTEGER NOT NULL, PRIMARY KEY (user_key, view, entity_key)
) WITHOUT ROWID;
CREATE TABLE spans_{slot} (
  bucket INTEGER NOT NULL, day INTEGER NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
  PRIMARY KEY (bucket, day)
) WITHOUT ROWID;
CREATE TABLE user_columns_{slot} (key INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE item_columns_{slot} (key INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE ad_columns_{slot} (key INTEGER PRIMARY KEY, packed BLOB NOT NULL);
"""
_SAME = ("timelines", "counters", "users", "owned", "spans", "user_columns", "item_columns", "ad_columns")


def write_former(today: Path, former: Path, version: int, records: dict[str, np.ndarray]) -> None:
    """Write what the active generation of a store holds as a file of schema 3, 4 or 5.

    Args:
        records: all that the store took, whose ids were not told apart by their users then.
    """
    with sqlite3.connect(former) as connection:
        connection.executescript(_SHARED + "".join(_SLOT.format(slot=slot) for slot in "ab"))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("ATTACH ? AS today", (str(today),))
        number, model, version_of_model = connection.execute(
            "SELECT g.number, m.number, m.model_version FROM today.generations g JOIN today.models m "
            "ON m.generation = g.number AND m.activated = g.activated ORDER BY g.activated DESC"
        ).fetchone()
        connection.execute(
            "INSERT INTO slots SELECT 'a', 1, ?, 'former', as_of_us, source, max_events, newest_us, late, covered_us "
            "FROM today.generations WHERE number = ?",
            (version_of_model, number),
        )
        connection.execute("INSERT INTO slots VALUES ('b', 0, '', '', 0, '', 0, 0, 0, 0)")
        for table in _SAME:
            connection.execute(f"INSERT INTO {table}_a SELECT * FROM today.{table}_{number}")
        connection.execute("DELETE FROM counters_a WHERE chunk = ?", (TOTAL_CHUNK,))
        connection.execute(
            f"INSERT INTO states_a SELECT user_key, stale, last_time_us, last_event_id, packed FROM "
            f"today.states_{model} JOIN today.encoded_{number} USING (user_key)"
        )
        names = ", ".join([*RECORD_COLUMNS, "parts"])
        connection.execute(f"INSERT INTO journal SELECT {names} FROM today.journal")
        connection.execute("INSERT INTO positions SELECT * FROM today.positions")
        connection.execute("INSERT INTO changes SELECT entity, key, time_us, told FROM today.changes")
        keys = record_keys(records, with_users=False).tolist()
        days = (records["time_us"] // 86_400_000_000).tolist()
        connection.executemany("INSERT INTO seen_a VALUES (?, ?)", zip(keys, days, strict=True))
        for statement in _back_to(version):
            connection.execute(statement)
        connection.execute("PRAGMA application_id=1380930369")
        connection.execute(f"PRAGMA user_version={version}")
    connection.close()


def _back_to(version: int) -> list[str]:
    if version == 5:
        return []
    entities = [f"DROP TABLE {entity}_columns_{slot}" for entity in ("user", "item", "ad") for slot in "ab"]
    back = ["ALTER TABLE journal DROP COLUMN parts", "DROP TABLE changes", *entities]
    back += [f"DROP TABLE owned_{slot}" for slot in "ab"]
    if version == 3:
        back += [*(f"DROP TABLE spans_{slot}" for slot in "ab"), "ALTER TABLE slots DROP COLUMN covered_us"]
    return back
