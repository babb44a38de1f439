"""The SQLite file: a connection per thread, transactions, turns of long work, and errors in one line."""

import os
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rosa_ray.errors import StoreDamagedError, StoreError, StoreLockedError, StoreMissingError
from rosa_ray.store.backends.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION, create_tables
from rosa_ray.store.backends.sqlite.upgrade import upgrade

CACHE_KIB = 32 * 1024
"""Pages that a connection keeps in memory."""

TURN_S, PAUSE_S = 0.01, 0.004
"""Long work holds the write lock for about so long at a time, and then leaves it to others."""

_POLL_S = 0.002
"""A writer looks so often whether it is its turn. SQLite's own waiting grows to 100 ms and misses the pauses."""

_UNCHANGING = "ro&immutable=1"
"""How a file is opened on a disk that only lets read, where no lock and no log can be made beside it."""

_UNREADABLE = (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error)
"""What decoding raises on bytes that are not what was written."""

Step = Callable[[sqlite3.Connection], object]


class Database:
    """One store file. Threads and forked processes get a connection each, and a new one where the file was replaced."""

    def __init__(self, path: str, busy_timeout_ms: int, create: bool) -> None:
        self.path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        if create:
            self._create()
        with self._guard():
            self._connection()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the store; a writer in another process changes nothing within."""
        with self._transaction("BEGIN") as connection, decoding():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction of the one writer, committed at the end and undone by any error."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def write_in_turns(self, steps: Iterable[Step]) -> None:
        """Run many short steps in several transactions, so that other writers wait for none of them for long.

        Args:
            steps: each takes a few milliseconds at most. What they write may be there in part when one fails.
        """
        waiting = iter(steps)
        step = next(waiting, None)
        while step is not None:
            with self.write() as connection:
                until = time.perf_counter() + TURN_S
                while step is not None:
                    step(connection)
                    step = next(waiting, None)
                    if time.perf_counter() > until:
                        break
            if step is not None:
                time.sleep(PAUSE_S)

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
            if begin == "BEGIN":
                connection.execute(begin)
            else:
                self._take_turn(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _take_turn(self, connection: sqlite3.Connection) -> None:
        """Begin to write as soon as no other does."""
        until = time.monotonic() + self._busy_timeout_ms / 1000
        connection.execute("PRAGMA busy_timeout=0")
        try:
            while True:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if not _is_busy(error) or time.monotonic() > until:
                        raise
                time.sleep(_POLL_S)
        finally:
            connection.execute(f"PRAGMA busy_timeout={self._busy_timeout_ms}")

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection to the file that lies at the path now."""
        now = self._identity()
        held: tuple[tuple[int, ...], sqlite3.Connection] | None = getattr(self._local, "held", None)
        if held is not None and held[0] == now:
            return held[1]
        if held is not None and held[0][0] == now[0]:
            self._forget(held[1])
        connection = self._connect(_UNCHANGING if now[-1] and self._has_no_log() else "rw")
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        self._local.held = (now, connection)
        with self._lock:
            self._open.append(connection)
        return connection

    def _identity(self) -> tuple[int, ...]:
        """Process, device, inode, and whether the disk only lets read.

        A file that is deleted or replaced can still be written to, and what is written is lost.
        """
        try:
            found, disk = os.stat(self.path), os.statvfs(self.path)
        except OSError as error:
            raise StoreMissingError(f"store {self.path}: does not exist; fill it with `rosa materialize`") from error
        return os.getpid(), found.st_dev, found.st_ino, disk.f_flag & os.ST_RDONLY

    def _has_no_log(self) -> bool:
        """Whether all content is in the file itself, as after all of its users closed it."""
        log = Path(f"{self.path}-wal")
        return not log.exists() or not log.stat().st_size

    def _forget(self, connection: sqlite3.Connection) -> None:
        del self._local.held
        with self._lock:
            if connection in self._open:
                self._open.remove(connection)
        connection.close()

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
        connection.execute("PRAGMA cell_size_check=ON")
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
                create_tables(connection)
            finally:
                connection.close()

    def _check(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            # A file that is damaged says so here, before it is called another program's.
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            raise StoreError(f"store {self.path}: is not a store of this program; give another store.path")
        upgrade(connection)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
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
        except UnicodeDecodeError as error:
            # SQLite's own message may quote a damaged page.
            damage = sqlite3.DatabaseError("malformed text")
            raise StoreDamagedError(f"store {self.path}: {self._explain(damage)}") from error

    def _explain(self, error: sqlite3.Error) -> str:
        text = " ".join(str(error).split())
        if _is_busy(error):
            return f"is locked by another writer for more than {self._busy_timeout_ms} ms; try again"
        if "unable to open" in text or "no such table" in text or not Path(self.path).is_file():
            return f"is missing or cannot be opened ({text}); fill it with `rosa materialize`"
        if "malformed" in text or "not a database" in text:
            return f"is damaged ({text}); remove the file and run `rosa materialize`"
        if "readonly" in text:
            return f"can be read but not written ({text}); make the file and its folder writable"
        if "full" in text:
            return f"has no room ({text}); free space on its disk"
        return f"failed: {text}"


@contextmanager
def decoding() -> Iterator[None]:
    """Around what decodes stored bytes: those that cannot be are damage, which no caller's input explains."""
    try:
        yield
    except _UNREADABLE as error:
        raise sqlite3.DatabaseError(f"malformed content: {error}") from error


def _kind_of(error: sqlite3.Error) -> type[StoreError]:
    if _is_busy(error):
        return StoreLockedError
    text = str(error)
    return StoreDamagedError if "malformed" in text or "not a database" in text else StoreError


def _is_busy(error: sqlite3.Error) -> bool:
    text = str(error)
    return "locked" in text or "busy" in text
