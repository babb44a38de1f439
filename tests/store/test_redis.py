"""What is particular to the Redis store: what can be wrong with the server, and what is never shown."""

import socket
import uuid
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import redis

from rosa_ray.errors import ConfigError, StoreError
from rosa_ray.features import FeatureConfig, RecordKind, records_of
from rosa_ray.features.changes import Changes, change_rows
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.versions import layout
from rosa_ray.schema.own_columns import USER
from rosa_ray.store import OnlineStore, StoreConfig, StoreVersion, open_store
from rosa_ray.store.backends.redis import activation
from rosa_ray.store.backends.redis.connection import Argument, Connection
from tests.redis_server import RedisServer, redis_server

FEATURES = FeatureConfig()
TOLD = FeatureConfig(columns={"user.age": ColumnConfig(type="number")})
T0 = 1_700_000_000_000_000


def age_of(user: int, age: float, time_us: int = T0) -> Changes:
    values, said = {"user.age": np.array([age])}, np.ones((1, 1), bool)
    return Changes(USER, np.array([user]), change_rows(np.array([time_us]), values, said, TOLD.columns))


def broken(*_: object) -> None:
    raise StoreError("broken off")


def config_at(url: str, **settings: object) -> StoreConfig:
    chosen = {"namespace": uuid.uuid4().hex, "max_timeline_events": 8, **settings}
    return StoreConfig(kind="redis", url=url, **chosen)


def open_at(config: StoreConfig, *, create: bool = False) -> OnlineStore:
    return open_store(config, FEATURES, "f1", create=create)


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
        with pytest.raises(StoreError, match=r"has schema version 0, this code needs 2; give another store\.namespace"):
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


def test_a_replaced_version_leaves_no_keys(redis_url: str, client: redis.Redis) -> None:
    config = config_at(redis_url)
    store = open_at(config, create=True)
    store.apply(events(["e1", "e2"]))
    for number in range(3):
        version = StoreVersion(f"model-{number}", "f1", T0)
        store.begin_load(version, 8)
        if number != 1:
            store.activate(version)
    generations = {key.split(b":")[1] for key in client.scan_iter(f"{config.namespace}:*")}
    assert generations == {b"meta", b"4"}
    store.close()


def test_a_broken_off_activation_goes_on(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_at(config_at(redis_url), create=True)
    for user in range(1, 7):
        store.apply(events([f"e{user}"], user=user))
    version = StoreVersion("model", "f1", T0)
    store.begin_load(version, 8)
    one, calls = activation._JournalReplay._replay_batch, []

    def break_off(self: activation._JournalReplay, user: str) -> bool:
        calls.append(user)
        if len(calls) == 4:
            raise StoreError("broken off")
        return one(self, user)

    monkeypatch.setattr(activation._JournalReplay, "_replay_batch", break_off)
    with pytest.raises(StoreError, match="broken off"):
        store.activate(version)
    monkeypatch.undo()
    store.apply(events(["late-one"], user=3))
    assert store.activate(version).accepted == 4
    for user in range(1, 7):
        assert store.read_user(user).counters["user_events"].sums.sum() == 1 + (user == 3)
    again = replace(version, model_version="again")
    store.begin_load(again, 8)
    assert store.activate(again).accepted == 7
    store.close()


def test_changes_are_noted_until_a_log_says_them_though_an_activation_breaks_off(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, versions = config_at(redis_url), [StoreVersion(f"m{number}", "f1", T0) for number in range(2)]
    store = open_store(config, TOLD, "f1", create=True)
    store.apply(events([]), (), [age_of(7, 30.0)])
    for version in versions:
        store.begin_load(version, 8)
        with monkeypatch.context() as patch:
            patch.setattr(activation._JournalReplay, "replay_users", broken)
            with pytest.raises(StoreError, match="broken off"):
                store.activate(version)
        store.activate(version)
        assert store.read_user(7).columns == age_of(7, 30.0).rows.tobytes()
    store.close()


def test_a_change_that_comes_while_a_version_is_activated_is_in_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, version, swaps = config_at(redis_url), StoreVersion("m", "f1", T0), []
    store, other = (open_store(config, TOLD, "f1", create=True) for _ in range(2))
    run = Connection.run

    def change_before_swap(self: Connection, script: str, *arguments: Argument) -> list[object]:
        if script == "swap" and len(swaps) < 3:
            swaps.append(len(swaps))
            other.apply(events([]), (), [age_of(7 + len(swaps), 30.0)])
        return run(self, script, *arguments)

    store.begin_load(version, 8)
    monkeypatch.setattr(Connection, "run", change_before_swap)
    store.activate(version)
    assert [len(store.read_user(user).columns) > 0 for user in range(7, 12)] == [False, True, True, True, False]
    store.close()
    other.close()


def test_writers_of_one_thing_lose_nothing(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, writes = config_at(redis_url), []
    store, other = (open_store(config, TOLD, "f1", create=True) for _ in range(2))
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


def test_a_store_that_kept_no_spans_still_refuses_what_it_may_hold(redis_url: str, client: redis.Redis) -> None:
    config, day = config_at(redis_url), 86_400_000_000
    store = open_at(config, create=True)
    store.apply(events(["e1"]))
    client.hdel(f"{config.namespace}:1:info", "covered")
    client.delete(f"{config.namespace}:1:spans")
    assert store.apply(events(["e1"])).duplicates == 1
    sent = [events([name], time_us=T0 + days * day) for name, days in (("n", 30), ("o", -8), ("g", 9))]
    assert [store.apply(records).late for records in sent] == [0, 1, 0]
    store.close()
