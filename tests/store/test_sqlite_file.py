"""What can happen to the file of a SQLite store under a running process, and what its users then get."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rosa_ray.errors import StoreError, StoreMissingError
from rosa_ray.schema import hash_id
from rosa_ray.store import OnlineStore, StoreConfig, open_store
from rosa_ray.store.backends.sqlite.database import Database
from tests.contracts.stores import FEATURES, KEEP, MODEL, T0, VERSION, columns_of, load, require_one_pass

LOG = [(f"e{row:03d}", f"user-{row % 40}", T0 - row * 60_000_000) for row in range(400)]
ROW = [("n1", "user-1", T0 + 1)]
USER = hash_id("user-1")


def open_at(path: Path, *, create: bool = False, busy_timeout_ms: int = 5000) -> OnlineStore:
    config = StoreConfig(path=str(path), max_timeline_events=KEEP, busy_timeout_ms=busy_timeout_ms)
    return open_store(config, FEATURES, MODEL, create=create)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A loaded store, all of it in one file."""
    store = open_at(tmp_path / "s.db", create=True)
    load(store, LOG)
    store.activate(VERSION, MODEL)
    store.close()
    return tmp_path / "s.db"


def calls(store: OnlineStore) -> list[Callable[[], object]]:
    return [
        lambda: store.apply(columns_of(ROW)),
        lambda: store.read_user(USER),
        lambda: store.read_counters("item_events", np.array([hash_id("item-1")])),
        store.info,
    ]


@pytest.mark.parametrize("which", range(4))
def test_a_deleted_file_is_noticed_and_one_that_comes_back_is_used(path: Path, which: int) -> None:
    store = open_at(path)
    store.apply(columns_of(ROW))
    store.close()
    store.read_user(USER)
    kept = path.with_name("kept.db")
    path.rename(kept)
    with pytest.raises(StoreMissingError, match="does not exist; fill it with `rosa materialize`"):
        calls(store)[which]()
    kept.rename(path)
    assert store.apply(columns_of(ROW)).duplicates == 1
    store.close()


def test_what_is_written_after_the_file_was_replaced_is_in_the_new_one(path: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(path, tmp_path / "other.db"))
    store = open_at(path)
    store.apply(columns_of(ROW))
    store.info()
    os.replace(other, path)
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    assert len(store.read_user(USER).timeline["time_us"]) == KEEP + 1
    assert store.apply(columns_of(ROW)).accepted == 1
    fresh = open_at(path)
    require_one_pass(fresh, LOG + ROW)
    for one in (store, fresh):
        one.close()


def test_a_file_replaced_by_something_else_is_refused(path: Path) -> None:
    store = open_at(path)
    store.read_user(USER)
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    for call in calls(store):
        with pytest.raises(StoreError, match="is not a store of this program"):
            call()
    store.close()


@pytest.mark.parametrize("seed", range(12))
def test_random_bytes_are_damage_of_the_store_and_no_other_error(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    places = rng.integers(4096, len(content), 20 * 4 ** rng.integers(0, 4))
    content[places] = rng.integers(0, 256, len(places))
    path.write_bytes(content.tobytes())
    outcomes = [outcome(lambda which=which: calls(open_at(path))[which]()) for which in (1, 2, 3, 0)]
    users = {hash_id(user) for _, user, _ in LOG}
    outcomes += [outcome(lambda key=key: open_at(path).read_user(key)) for key in users]
    assert len(outcomes) == 44


def outcome(call: Callable[[], object]) -> str:
    """What a call said was wrong, empty where it answered; whatever else it raises is an error of the test."""
    try:
        call()
    except StoreError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("table", ["timelines", "counters"])
def test_bytes_that_do_not_decode_are_damage_to_readers_and_writers(path: Path, table: str) -> None:
    with sqlite3.connect(path) as connection:
        (number,) = connection.execute("SELECT number FROM generations WHERE source = 'log-1'").fetchone()
        column = {"timelines": "records", "counters": "packed"}[table]
        connection.execute(f"UPDATE {table}_{number} SET {column} = x'0102030405'")
    connection.close()
    store = open_at(path)
    for call in (lambda: store.read_user(USER), lambda: store.apply(columns_of(ROW))):
        with pytest.raises(StoreError, match=r"is damaged .*remove the file and run `rosa materialize`"):
            call()
    assert store.info().newest_us == T0
    store.close()


def test_a_full_disk_fails_writes_and_not_reads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, connect = open_at(path), Database._connect

    def connect_full(self: Database, mode: str) -> sqlite3.Connection:
        connection = connect(self, mode)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    monkeypatch.setattr(Database, "_connect", connect_full)
    store.close()
    rows = [(f"x{row:05d}", f"new-{row % 500}", T0 + row) for row in range(5000)]
    with pytest.raises(StoreError, match=r"has no room .*free space on its disk"):
        store.apply(columns_of(rows))
    require_one_pass(store, LOG)
    monkeypatch.undo()
    store.close()
    assert store.apply(columns_of(rows)).accepted == len(rows)
    require_one_pass(store, LOG + rows)
    store.close()


def test_a_store_on_a_disk_that_only_lets_read_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_at(path)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    path.chmod(0o444)
    for one in (store, open_at(path)):
        with pytest.raises(StoreError, match="can be read but not written"):
            one.apply(columns_of(ROW))
        require_one_pass(one, LOG)
    assert not path.with_name("s.db-shm").exists()
    monkeypatch.undo()
    path.chmod(0o644)
    assert store.apply(columns_of(ROW)).accepted == 1
    store.close()


def test_writers_come_in_between_while_a_log_is_loaded(path: Path) -> None:
    store, writer = open_at(path), open_at(path, busy_timeout_ms=1000)
    second = replace(VERSION, source="log-2")
    rows = [(f"m{row:05d}", f"many-{row % 700}", T0 - row * 1_000_000) for row in range(7000)]
    live = [(f"l{row:03d}", "ann", T0 + row) for row in range(200)]
    done = threading.Event()
    thread = threading.Thread(target=lambda: (load(store, rows, second), store.activate(second, MODEL), done.set()))
    thread.start()
    written = 0
    for row in live:
        assert writer.apply(columns_of([row])).accepted == 1
        written += not done.is_set()
    thread.join()
    assert written > 20
    require_one_pass(writer, rows + live)
    for one in (store, writer):
        one.close()
