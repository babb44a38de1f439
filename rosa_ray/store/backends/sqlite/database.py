"""The SQLite file: its tables, a connection per thread, transactions, and errors in one line."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rosa_ray.errors import StoreDamagedError, StoreError, StoreLockedError, StoreMissingError

SCHEMA_VERSION = 5
"""Raise it when the tables or the byte layouts change."""

APPLICATION_ID = 0x524F5341
SLOTS = ("a", "b")
CACHE_KIB = 32 * 1024
"""Pages that a connection keeps in memory."""

_SHARED_TABLES = """
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
"""
_SLOT_TABLES = """
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
"""
_OWNED_TABLE = """
CREATE TABLE owned_{slot} (
  user_key INTEGER NOT NULL, view TEXT NOT NULL, entity_key INTEGER NOT NULL, PRIMARY KEY (user_key, view, entity_key)
) WITHOUT ROWID;
"""
"""Counters that belong to a user, whom their entity does not tell."""

_SPANS_TABLE = """
CREATE TABLE spans_{slot} (
  bucket INTEGER NOT NULL, day INTEGER NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
  PRIMARY KEY (bucket, day)
) WITHOUT ROWID;
"""
_CHANGES_TABLE = """
CREATE TABLE changes (
  entity TEXT NOT NULL, key INTEGER NOT NULL, time_us INTEGER NOT NULL, told TEXT NOT NULL,
  PRIMARY KEY (entity, key, time_us, told)
) WITHOUT ROWID;
"""
_COLUMNS_TABLES = "".join(
    f"CREATE TABLE {entity}_columns_{{slot}} (key INTEGER PRIMARY KEY, packed BLOB NOT NULL);"
    for entity in ("user", "item", "ad")
)
CONTENT_TABLES = (
    *("timelines", "states", "counters", "owned", "users", "seen", "parts", "spans"),
    *("user_columns", "item_columns", "ad_columns"),
)
_UPGRADES = {
    3: "ALTER TABLE slots ADD COLUMN covered_us INTEGER NOT NULL DEFAULT 0; "
    "UPDATE slots SET covered_us = max(as_of_us, newest_us);"
    + "".join(_SPANS_TABLE.format(slot=slot) for slot in SLOTS),
    4: _CHANGES_TABLE
    + "ALTER TABLE journal ADD COLUMN parts TEXT NOT NULL DEFAULT '';"
    + "".join((_COLUMNS_TABLES + _OWNED_TABLE).format(slot=slot) for slot in SLOTS),
}
"""Version of a store -> what brings it to the next. Of a store of version 3, ids are remembered by the day of the
record up to the newest."""


class Database:
    """One store file. Threads and forked processes get a connection each."""

    def __init__(self, path: str, busy_timeout_ms: int, create: bool) -> None:
        self.path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        if create:
            self._create()
        self._check()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the store; a writer in another process changes nothing within."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction of the one writer, committed at the end and undone by any error."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def truncate_log(self) -> None:
        """Move the write-ahead log into the file, as far as readers allow, so that deleted content is gone."""
        with self._guard():
            self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
            self._local = threading.local()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._guard():
            connection = self._connection()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connection(self) -> sqlite3.Connection:
        held: tuple[int, sqlite3.Connection] | None = getattr(self._local, "held", None)
        if held is not None and held[0] == os.getpid():
            return held[1]
        connection = self._connect("rw")
        self._local.held = (os.getpid(), connection)
        with self._lock:
            self._open.append(connection)
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{Path(self.path).absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._busy_timeout_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        return connection

    def _create(self) -> None:
        try:
            Path(self.path).absolute().parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"store {self.path}: cannot be created: {error.strerror or error}") from error
        with self._guard():
            connection = self._connect("rwc")
            try:
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    return
                connection.execute("PRAGMA journal_mode=WAL")
                _create_tables(connection)
            finally:
                connection.close()

    def _check(self) -> None:
        if not Path(self.path).is_file():
            raise StoreMissingError(f"store {self.path}: does not exist; fill it with `rosa materialize`")
        with self._guard():
            connection = self._connection()
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            if application == APPLICATION_ID:
                _upgrade(connection)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise StoreError(f"store {self.path}: is not a store of this program; give another store.path")
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"store {self.path}: has schema version {version}, this code needs {SCHEMA_VERSION}; "
                "remove the file and run `rosa materialize`"
            )

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _kind_of(error)(f"store {self.path}: {self._explain(error)}") from error

    def _explain(self, error: sqlite3.Error) -> str:
        text = " ".join(str(error).split())
        if "locked" in text or "busy" in text:
            return f"is locked by another writer for more than {self._busy_timeout_ms} ms; try again"
        if "unable to open" in text or "no such table" in text or not Path(self.path).is_file():
            return f"is missing or cannot be opened ({text}); fill it with `rosa materialize`"
        if "malformed" in text or "not a database" in text:
            return f"is damaged ({text}); remove the file and run `rosa materialize`"
        return f"failed: {text}"


def _kind_of(error: sqlite3.Error) -> type[StoreError]:
    text = str(error)
    if "locked" in text or "busy" in text:
        return StoreLockedError
    return StoreDamagedError if "malformed" in text or "not a database" in text else StoreError


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        of_slot = _SLOT_TABLES + _OWNED_TABLE + _SPANS_TABLE + _COLUMNS_TABLES
        script = _SHARED_TABLES + _CHANGES_TABLE + "".join(of_slot.format(slot=slot) for slot in SLOTS)
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
        rows = [(slot, int(slot == SLOTS[0])) for slot in SLOTS]
        connection.executemany("INSERT INTO slots VALUES (?, ?, '', '', 0, '', 0, 0, 0, 0)", rows)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a store of an earlier version to this one, once."""
    if connection.execute("PRAGMA user_version").fetchone()[0] not in _UPGRADES:
        return
    connection.execute("BEGIN IMMEDIATE")
    while (version := connection.execute("PRAGMA user_version").fetchone()[0]) in _UPGRADES:
        for statement in filter(str.strip, _UPGRADES[version].split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={version + 1}")
    connection.execute("COMMIT")
