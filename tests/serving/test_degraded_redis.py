"""A feature lookup on Redis: what requests get while the server is away, slow, or filled for other features."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import redis

from rosa_ray.errors import StoreError
from rosa_ray.features import RecordKind, counting_fingerprint, records_of
from rosa_ray.schema import hash_id
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.lookup import FeatureLookup
from rosa_ray.serving.messages import FeatureQuery
from rosa_ray.store import StoreConfig, StoreVersion, open_store
from rosa_ray.units import HOUR_US
from tests.redis_server import RedisServer, redis_server
from tests.serving.conftest import CONFIG, NOW_US, World

ANN = hash_id("ann")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


@pytest.fixture
def config(server: RedisServer) -> StoreConfig:
    return StoreConfig(kind="redis", url=server.url, timeout_ms=100)


@pytest.fixture
def lookup(world: World, config: StoreConfig) -> Iterator[FeatureLookup]:
    open_store(config, CONFIG, create=True).close()
    settings = replace(ServingConfig(), store_retry_s=0.0)
    opened = FeatureLookup(lambda: open_store(config, CONFIG), world.features, 100, settings)
    yield opened
    opened.close()


def query(world: World, user_key: int = ANN) -> FeatureQuery:
    return FeatureQuery(user_key, NOW_US, world.model.catalogue.ad_key[:3], np.ones(3), world.features.fingerprint)


def events(ids: list[str]) -> dict[str, np.ndarray]:
    return records_of(
        RecordKind.EVENT,
        record_id=np.array(ids, object),
        user_key=np.full(len(ids), ANN),
        time_us=np.full(len(ids), NOW_US - 2 * HOUR_US),
    )


def test_an_event_is_in_the_next_answer(world: World, lookup: FeatureLookup) -> None:
    assert not lookup.read_now(query(world)).user_known
    lookup.write_now(events(["e1"]))
    features = lookup.read_now(query(world))
    assert (features.user_known, features.degraded) == (True, ())


def test_a_server_that_goes_away_is_answered_from_memory(
    world: World, lookup: FeatureLookup, server: RedisServer
) -> None:
    lookup.write_now(events(["e1"]))
    before = lookup.read_now(query(world))
    server.stop()
    away, stranger = lookup.read_now(query(world)), lookup.read_now(query(world, user_key=5))
    assert (away.user_known, away.degraded) == (True, ("store",))
    assert (stranger.user_known, stranger.degraded) == (False, ("store",))
    np.testing.assert_array_equal(away.dense, before.dense)
    with pytest.raises(StoreError, match="cannot be reached"):
        lookup.write_now(events(["e2"]))
    server.start()
    assert lookup.read_now(query(world)).degraded == ("store",)


def test_a_slow_server_costs_its_timeout_and_no_answer(
    world: World, lookup: FeatureLookup, server: RedisServer
) -> None:
    lookup.write_now(events(["e1"]))
    lookup.read_now(query(world))
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command("CLIENT", "PAUSE", "600", "ALL")
        slow = lookup.read_now(query(world))
        assert (slow.user_known, slow.degraded) == (True, ("store",))
        admin.ping()
    assert lookup.read_now(query(world)).degraded == ()


def test_a_load_for_other_features_changes_nothing_for_this_lookup(
    world: World, lookup: FeatureLookup, config: StoreConfig
) -> None:
    finer = replace(CONFIG, bucket_minutes=30)
    with open_store(config, finer, create=True) as other:  # type: ignore[attr-defined]
        version = StoreVersion(counting_fingerprint(finer), NOW_US)
        other.begin_load(version, "model-2", 8)
        other.activate(version, "model-2")
    assert lookup.write_now(events(["e1"])).accepted == 1
    answer = lookup.read_now(query(world))
    assert (answer.user_known, answer.degraded) == (True, ())
