"""What is particular to the SQLite store: one file, several processes, and what can be wrong with the file."""

import multiprocessing
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import ConfigError, StoreError
from rosa_ray.features import FeatureConfig, RecordKind, counting_fingerprint, records_of
from rosa_ray.features.own import ColumnConfig
from rosa_ray.store import OnlineStore, StoreConfig, StoreVersion, TimelineBlock, open_store

FEATURES = FeatureConfig()
T0 = 1_700_000_000_000_000


def open_at(path: Path, *, create: bool = False, busy_timeout_ms: int = 5000) -> OnlineStore:
    config = StoreConfig(path=str(path), max_timeline_events=8, busy_timeout_ms=busy_timeout_ms)
    return open_store(config, FEATURES, create=create)


def events(ids: list[str], user: int = 7) -> dict[str, np.ndarray]:
    count = len(ids)
    return records_of(
        RecordKind.EVENT,
        record_id=np.array(ids, dtype=object),
        user_key=np.full(count, user),
        time_us=np.full(count, T0),
        item_key=np.arange(count),
        category_key=np.ones(count, np.int64),
    )


def read_until_two(path: str, begun: "multiprocessing.synchronize.Event", found: "multiprocessing.Queue[int]") -> None:
    with open_at(Path(path)) as store:  # type: ignore[attr-defined]
        begun.set()
        count = 0
        while count < 2:
            count = len(store.read_user(7).timeline["time_us"])
        found.put(count)


@pytest.mark.integration
def test_another_process_reads_while_this_one_writes(tmp_path: Path) -> None:
    store = open_at(tmp_path / "s.db", create=True)
    store.apply(events(["e1"]))
    context = multiprocessing.get_context("spawn")
    begun, found = context.Event(), context.Queue()
    reader = context.Process(target=read_until_two, args=(str(tmp_path / "s.db"), begun, found))
    reader.start()
    assert begun.wait(60)
    store.apply(events(["e2"]))
    assert found.get(timeout=60) == 2
    reader.join(60)
    store.close()


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = open_at(path, create=True, busy_timeout_ms=20)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert len(store.read_user(7).timeline["time_us"]) == 0
    with pytest.raises(StoreError, match=r"s\.db: is locked by another writer for more than 20 ms"):
        store.apply(events(["e1"]))
    writer.execute("ROLLBACK")
    assert store.apply(events(["e1"])).accepted == 1
    writer.close()
    store.close()


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = open_at(tmp_path / "s.db", create=True)
    threads = [
        threading.Thread(target=store.apply, args=(events([f"{worker}-{n}" for n in range(20)]),))
        for worker in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read_user(7).counters["user_events"].sums.sum() == 80
    store.close()


def test_a_missing_store_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.db: does not exist; fill it with `rosa materialize`"):
        open_at(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_store_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        open_at(tmp_path / "file" / "s.db", create=True)


@pytest.mark.parametrize(
    "content", [b"not a database at all, only text" * 200, b"SQLite format 3\x00" + b"\x07" * 5000]
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.db").write_bytes(content)
    for create in (False, True):
        with pytest.raises(StoreError, match=r"s\.db: is damaged .*remove the file and run `rosa materialize`"):
            open_at(tmp_path / "s.db", create=create)


def test_a_damaged_page_is_an_error_and_not_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = open_at(path, create=True)
    store.apply(events([f"event-{number}" for number in range(200)]))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        open_at(path).read_user(7)


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    for create in (False, True):
        with pytest.raises(StoreError, match="is not a store of this program"):
            open_at(tmp_path / "s.db", create=create)


def test_an_older_schema_is_refused(tmp_path: Path) -> None:
    open_at(tmp_path / "s.db", create=True).close()
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("PRAGMA user_version=0")
    connection.close()
    with pytest.raises(StoreError, match="has schema version 0, this code needs 6; remove the file"):
        open_at(tmp_path / "s.db")


def test_forgotten_content_leaves_the_file(tmp_path: Path) -> None:
    store = open_at(tmp_path / "s.db", create=True)
    store.apply(events(["very-private-event"]))
    store.apply(events(["other-event"], user=8))
    store.forget_user(7)
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"other-event" in content
    assert b"very-private-event" not in content


def test_a_user_forgotten_during_a_load_is_out_of_it_too(tmp_path: Path) -> None:
    store, version = open_at(tmp_path / "s.db", create=True), StoreVersion(counting_fingerprint(FEATURES), T0)
    columns = {**events(["e1"]), "event_id": np.array(["e1"], object)}
    store.begin_load(version, "m", 8)
    none = np.empty(0, np.int64)
    block = TimelineBlock(np.array([7]), np.array([0, 1]), columns, np.array([T0]), none, none)
    store.load_users(version, block)
    assert store.forget_user(7)
    store.activate(version, "m")
    assert len(store.read_user(7).timeline["time_us"]) == 0
    store.close()


def test_a_closed_store_reconnects(tmp_path: Path) -> None:
    store = open_at(tmp_path / "s.db", create=True)
    store.close()
    assert store.apply(events(["e1"])).accepted == 1
    store.close()


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"store\.states_dtype is 'int8'; it must be one of float16, float32"):
        StoreConfig(states_dtype="int8")
    with pytest.raises(ConfigError, match=r"store\.dedup_horizon_days is 0"):
        StoreConfig(dedup_horizon_days=0)
    with pytest.raises(ConfigError, match=r"store\.kind is 'paper'; it must be one of (redis, )?sqlite"):
        open_store(StoreConfig(kind="paper"), FEATURES)


def test_records_of_a_writer_that_does_not_say_all_are_counted(tmp_path: Path) -> None:
    more = FeatureConfig(columns={"user.age": ColumnConfig(type="number")})
    first = open_at(tmp_path / "s.db", create=True)
    config = StoreConfig(path=str(tmp_path / "s.db"), max_timeline_events=8)
    second, version = open_store(config, more, "m", create=True), StoreVersion(counting_fingerprint(more), 0)
    second.begin_load(version, "m", 8)
    second.activate(version, "m")
    first.apply(events(["e1", "e2"]))
    assert [one.untold for one in first.info().held] == [2, 0]
    second.apply(events(["e3"]))
    assert [one.untold for one in first.info().held] == [2, 0]
    for store in (first, second):
        store.close()
