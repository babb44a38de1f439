"""What is particular to the Redis store: what can be wrong with the server, and what is never shown."""

import socket
import uuid
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import redis

from rosa_ray.errors import ConfigError, StoreError
from rosa_ray.features import FeatureConfig, RecordKind, counting_fingerprint, records_of
from rosa_ray.features.changes import Changes, change_rows
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.versions import layout
from rosa_ray.schema.own_columns import USER
from rosa_ray.store import OnlineStore, StoreConfig, StoreVersion, open_store
from rosa_ray.store.backends.redis import activation, removal
from rosa_ray.store.backends.redis.connection import SCHEMA_VERSION, Argument, Connection
from tests.contracts.stores import columns_of, load
from tests.redis_server import RedisServer, redis_server

FEATURES = FeatureConfig()
TOLD = FeatureConfig(columns={"user.age": ColumnConfig(type="number")})
T0 = 1_700_000_000_000_000
MODEL = "model"


def version_of(source: str, features: FeatureConfig = FEATURES) -> StoreVersion:
    return StoreVersion(counting_fingerprint(features), T0, source)


def age_of(user: int, age: float, time_us: int = T0) -> Changes:
    values, said = {"user.age": np.array([age])}, np.ones((1, 1), bool)
    return Changes(USER, np.array([user]), change_rows(np.array([time_us]), values, said, TOLD.columns))


def broken(*_: object) -> None:
    raise StoreError("broken off")


def config_at(url: str, **settings: object) -> StoreConfig:
    chosen = {"namespace": uuid.uuid4().hex, "max_timeline_events": 8, **settings}
    return StoreConfig(kind="redis", url=url, **chosen)


def open_at(config: StoreConfig, *, create: bool = False) -> OnlineStore:
    return open_store(config, FEATURES, MODEL, create=create)


def events(ids: list[str], user: int = 7, time_us: int = T0) -> dict[str, np.ndarray]:
    count = len(ids)
    return records_of(
        RecordKind.EVENT,
        record_id=np.array(ids, dtype=object),
        user_key=np.full(count, user),
        time_us=np.full(count, time_us),
    )


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that a test may stop, lock or fill."""
    with redis_server() as started:
        yield started


def test_a_server_that_is_not_there_is_named_without_credentials() -> None:
    with pytest.raises(StoreError) as error:
        open_at(config_at("redis://ann:secret@127.0.0.1:1/3"))  # pragma: allowlist secret
    assert str(error.value) == ("store redis://127.0.0.1:1/3: cannot be reached; start the server or correct store.url")


def test_a_wrong_password_is_refused_without_showing_it(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as admin:
        admin.config_set("requirepass", "right")
    wrong = server.url.replace("unix://", "unix://:wrong@")
    for url in (server.url, wrong):
        with pytest.raises(StoreError, match="refuses the user or password") as error:
            open_at(config_at(url), create=True)
        assert "wrong" not in str(error.value)
    store = open_at(config_at(server.url.replace("unix://", "unix://:right@")), create=True)
    assert store.apply(events(["e1"])).accepted == 1
    assert "right" not in store.info().location
    store.close()


def test_the_password_may_come_from_the_environment(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis.Redis.from_url(server.url) as admin:
        admin.config_set("requirepass", "right")
    config = config_at(server.url, password_env="STORE_PASSWORD")
    with pytest.raises(ConfigError, match=r"store\.password_env is 'STORE_PASSWORD', which is not in the environment"):
        open_at(config)
    monkeypatch.setenv("STORE_PASSWORD", "right")
    open_at(config, create=True).close()


def test_a_server_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with pytest.raises(StoreError, match=r"did not answer within 50 ms; try again, or raise store\.timeout_ms"):
            open_at(config_at(url, timeout_ms=50))


def test_a_slow_server_is_given_up_and_used_again(server: RedisServer) -> None:
    store = open_at(config_at(server.url, timeout_ms=100), create=True)
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command("CLIENT", "PAUSE", "600", "ALL")
        for call in (lambda: store.read_user(7), lambda: store.apply(events(["e1"]))):
            with pytest.raises(StoreError, match="did not answer within 100 ms"):
                call()
        admin.ping()
    result = store.apply(events(["e1"]))
    assert result.accepted + result.duplicates == 1
    assert len(store.read_user(7).timeline["time_us"]) == 1
    store.close()


def test_a_restarted_server_is_found_again(server: RedisServer) -> None:
    config = config_at(server.url)
    store = open_at(config, create=True)
    store.apply(events(["e1"]))
    server.stop()
    for call in (lambda: store.read_user(7), lambda: store.apply(events(["e2"])), store.info):
        with pytest.raises(StoreError, match="cannot be reached"):
            call()
    server.start()
    for call in (lambda: store.read_user(7), lambda: store.apply(events(["e2"])), store.info, lambda: open_at(config)):
        with pytest.raises(StoreError, match=f"holds nothing under namespace '{config.namespace}'; fill it with"):
            call()
    again = open_at(config, create=True)
    assert again.apply(events(["e1"])).accepted == 1
    assert len(store.read_user(7).timeline["time_us"]) == 1
    again.close()
    store.close()


def test_lost_connections_and_scripts_are_no_error(redis_url: str, client: redis.Redis) -> None:
    store = open_at(config_at(redis_url), create=True)
    store.apply(events(["e1"]))
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    client.script_flush()
    assert store.apply(events(["e2"])).accepted == 1
    store.close()


def test_a_full_server_says_so(server: RedisServer) -> None:
    store = open_at(config_at(server.url), create=True)
    with redis.Redis.from_url(server.url) as admin:
        admin.config_set("maxmemory", "1")
        with pytest.raises(StoreError, match="is out of memory"):
            store.apply(events(["e1"]))
        admin.config_set("maxmemory", "0")
    assert store.apply(events(["e1"])).accepted == 1
    store.close()


def test_another_schema_is_refused(redis_url: str, client: redis.Redis) -> None:
    config = config_at(redis_url)
    store = open_at(config, create=True)
    client.hset(f"{config.namespace}:meta", "schema", 0)
    for call in (lambda: open_at(config), lambda: store.read_user(7), lambda: store.apply(events(["e1"]))):
        wrong = rf"has schema version 0, this code needs {SCHEMA_VERSION}; give another store\.namespace"
        with pytest.raises(StoreError, match=wrong):
            call()
    store.close()


def test_data_of_another_program_is_refused(redis_url: str, client: redis.Redis) -> None:
    config = config_at(redis_url)
    client.set(f"{config.namespace}:meta", "other")
    for create in (False, True):
        with pytest.raises(StoreError, match="holds data of another program under namespace"):
            open_at(config, create=create)


def test_stores_of_two_namespaces_know_nothing_of_each_other(redis_url: str) -> None:
    one, two = (open_at(config_at(redis_url), create=True) for _ in range(2))
    one.apply(events(["e1"]))
    assert len(two.read_user(7).timeline["time_us"]) == 0
    assert two.apply(events(["e1"])).accepted == 1
    one.close()
    two.close()


def test_what_is_given_up_leaves_no_keys(redis_url: str, client: redis.Redis) -> None:
    config = config_at(redis_url, kept_versions=0)
    store = open_at(config, create=True)
    store.apply(events(["e1", "e2"]))
    for number in range(3):
        version = version_of(f"log-{number}")
        store.begin_load(version, MODEL, 8)
        store.mark_loaded(version, MODEL, ["part"])
        if number != 1:
            store.activate(version, MODEL)
    shared = {b"meta", b"generations", b"models", b"behaviors", b"figures", b"journal", b"j", b"parts"}
    keys = [key.split(b":")[1:] for key in client.scan_iter(f"{config.namespace}:*")]
    assert {key[0] for key in keys} == {*shared, b"4"}
    assert [key[1] for key in keys if key[0] == b"parts"] == [b"4"]
    store.close()


def test_states_of_a_dropped_model_leave_the_timelines(redis_url: str, client: redis.Redis) -> None:
    config, version = config_at(redis_url), version_of("log")
    store = open_at(config, create=True)
    rows = [("e1", "ann", T0)]
    load(store, rows, version, "one", FEATURES)
    store.activate(version, "one")
    load(store, rows, version, "two", FEATURES)
    store.activate(version, "two")
    (timeline,) = client.scan_iter(f"{config.namespace}:*:t:*")
    assert {b"s2", b"s3"} < {*client.hkeys(timeline)}
    store.drop("one")
    assert {b"s2", b"s3"} & {*client.hkeys(timeline)} == {b"s3"}
    store.close()


def test_a_broken_off_activation_goes_on(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_at(config_at(redis_url), create=True)
    for user in range(1, 7):
        store.apply(events([f"e{user}"], user=user))
    version = version_of("log")
    store.begin_load(version, MODEL, 8)
    one, calls = activation._JournalReplay._replay_batch, []

    def break_off(self: activation._JournalReplay, user: str) -> bool:
        calls.append(user)
        if len(calls) == 4:
            raise StoreError("broken off")
        return one(self, user)

    monkeypatch.setattr(activation._JournalReplay, "_replay_batch", break_off)
    with pytest.raises(StoreError, match="broken off"):
        store.activate(version, MODEL)
    monkeypatch.undo()
    store.apply(events(["late-one"], user=3))
    assert store.activate(version, MODEL).accepted == 4
    for user in range(1, 7):
        assert store.read_user(user).counters["user_events"].sums.sum() == 1 + (user == 3)
    again = replace(version, source="again")
    store.begin_load(again, MODEL, 8)
    assert store.activate(again, MODEL).accepted == 7
    store.close()


def test_changes_are_noted_until_a_log_says_them_though_an_activation_breaks_off(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, versions = config_at(redis_url), [version_of(f"log-{number}", TOLD) for number in range(2)]
    store = open_store(config, TOLD, MODEL, create=True)
    store.apply(events([]), (), [age_of(7, 30.0)])
    for version in versions:
        store.begin_load(version, MODEL, 8)
        with monkeypatch.context() as patch:
            patch.setattr(activation._JournalReplay, "replay_users", broken)
            with pytest.raises(StoreError, match="broken off"):
                store.activate(version, MODEL)
        store.activate(version, MODEL)
        assert store.read_user(7).columns == age_of(7, 30.0).rows.tobytes()
    store.close()


def test_a_change_that_comes_while_a_version_is_activated_is_in_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, version, swaps = config_at(redis_url), version_of("log", TOLD), []
    store, other = (open_store(config, TOLD, MODEL, create=True) for _ in range(2))
    run = Connection.run

    def change_before_swap(self: Connection, script: str, *arguments: Argument) -> list[object]:
        if script == "swap" and len(swaps) < 3:
            swaps.append(len(swaps))
            other.apply(events([]), (), [age_of(7 + len(swaps), 30.0)])
        return run(self, script, *arguments)

    store.begin_load(version, MODEL, 8)
    monkeypatch.setattr(Connection, "run", change_before_swap)
    store.activate(version, MODEL)
    assert [len(store.read_user(user).columns) > 0 for user in range(7, 12)] == [False, True, True, True, False]
    store.close()
    other.close()


def test_writers_of_one_thing_lose_nothing(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, writes = config_at(redis_url), []
    store, other = (open_store(config, TOLD, MODEL, create=True) for _ in range(2))
    run = Connection.run

    def change_before_write(self: Connection, script: str, *arguments: Argument) -> list[object]:
        if script == "write_columns" and len(writes) < 3:
            writes.append(len(writes))
            other.apply(events([]), (), [age_of(7, float(len(writes)), T0 + len(writes))])
        return run(self, script, *arguments)

    monkeypatch.setattr(Connection, "run", change_before_write)
    store.apply(events([]), (), [age_of(7, 30.0), age_of(8, 31.0)])
    size = layout(TOLD.columns).itemsize
    assert (len(store.read_user(7).columns) // size, len(store.read_user(8).columns) // size) == (4, 1)
    store.close()
    other.close()


def test_times_that_a_script_cannot_count_are_refused(redis_url: str) -> None:
    store = open_at(config_at(redis_url), create=True)
    with pytest.raises(StoreError, match="time is not within 285 years of 1970"):
        store.apply(events(["e1"], time_us=2**53))
    assert store.apply(events(["e2"], time_us=2**53 - 1)).accepted == 1
    store.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "host:6379"}, r"store\.url is .*; give one like redis://host:6379/0"),
        ({"namespace": "a*"}, r"store\.namespace is 'a\*'; give up to 64 letters"),
        ({"timeout_ms": 0}, r"store\.timeout_ms is 0; it must be at least 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_at(StoreConfig(kind="redis", **settings))


def test_a_log_that_was_activated_in_part_keeps_the_journal_of_the_next(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that a log holds leaves the journal once the log is live, and not before."""
    store = open_at(config_at(redis_url), create=True)
    store.apply(events(["logged", "live"]))
    first, second = version_of("one"), version_of("two")
    load(store, [("logged", "7", T0)], first, MODEL, FEATURES)
    with monkeypatch.context() as patch:
        patch.setattr(activation.NotesReplay, "replay_dirty", broken)
        patch.setattr(activation.NotesReplay, "drop_said", broken)
        patch.setattr(activation.NotesReplay, "replay_all", broken)
        with pytest.raises(StoreError, match="broken off"):
            store.activate(first, MODEL)
    assert store.info().journal_records == 2
    store.begin_load(second, MODEL, 8)
    assert store.activate(second, MODEL).accepted == 2
    assert len(store.read_user(7).timeline["time_us"]) == 2
    store.close()


def test_trimming_that_broke_off_is_finished_by_the_next_load(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, version = config_at(redis_url), version_of("one")
    store = open_at(config, create=True)
    records = columns_of([("logged", "ann", T0), ("live", "ann", T0 + 1)])
    store.apply(records)
    load(store, [("logged", "ann", T0)], version, MODEL, FEATURES)
    run = Connection.run

    def break_off(self: Connection, script: str, *arguments: Argument) -> list[object]:
        return broken() if script == "trim" else run(self, script, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "run", break_off)
        with pytest.raises(StoreError, match="broken off"):
            store.activate(version, MODEL)
    assert store.info().journal_records == 2
    store.apply(columns_of([("later", "ann", T0 + 2)]))
    store.begin_load(version_of("two"), MODEL, 8)
    assert store.info().journal_records == 2
    assert store.activate(version_of("two"), MODEL).accepted == 2
    store.close()


def test_a_server_that_was_filled_anew_is_written_by_its_own_behaviors(server: RedisServer) -> None:
    """What a writer remembers of the store is asked for again once it is another."""
    config = config_at(server.url)
    other = FeatureConfig(behaviors={"look": 0.5, "order": 1.0})
    store = open_at(config, create=True)
    store.apply(events(["e1"]))
    with redis.Redis.from_url(server.url) as admin:
        admin.flushall()
    open_store(config, other, MODEL, create=True).close()
    with pytest.raises(StoreError, match="holds no version of the features"):
        store.apply(events(["e2"]))
    with redis.Redis.from_url(server.url) as admin:
        admin.flushall()
    again = open_at(config, create=True)
    assert store.apply(events(["e3"])).accepted == 1
    assert again.read_user(7).timeline["event_id"].tolist() == ["e3"]
    for one in (store, again):
        one.close()


def test_records_of_a_writer_that_does_not_say_all_are_counted(redis_url: str) -> None:
    config, version = config_at(redis_url), version_of("log", TOLD)
    first, second = open_at(config, create=True), open_store(config, TOLD, MODEL, create=True)
    second.begin_load(version, MODEL, 8)
    second.activate(version, MODEL)
    first.apply(events(["e1", "e2"]))
    second.apply(events(["e3"]))
    assert [one.untold for one in first.info().held] == [2, 0]
    for store in (first, second):
        store.close()


def test_a_generation_that_was_removed_in_part_disturbs_nobody(
    redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_at(redis_url, kept_versions=0)
    store = open_at(config, create=True)
    monkeypatch.setattr(removal, "remove_keys", broken)
    version = version_of("log")
    store.begin_load(version, MODEL, 8)
    with pytest.raises(StoreError, match="broken off"):
        store.activate(version, MODEL)
    monkeypatch.undo()
    client.delete(f"{config.namespace}:1:info")
    assert store.apply(events(["e1"])).accepted == 1
    assert [one.state for one in open_at(config).info().held] == ["live", "dropped"]
    store.begin_load(version_of("next"), MODEL, 8)
    assert [one.state for one in store.info().held] == ["live", "loading"]
    store.close()
