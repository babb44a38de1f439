"""A service with a secret knows its users by their pseudonyms, as the log it was trained on does."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.schema import hash_id
from rosa_ray.schema.pseudonyms import PrivacyConfig, Pseudonyms
from rosa_ray.serving.api import RankRequest
from rosa_ray.serving.assembly import ServiceSettings, build_scorer
from rosa_ray.store import StoreConfig, open_store
from rosa_ray.units import HOUR_US
from tests.serving.conftest import NOW_US, World, client_of, write_world_bundle

SECRET = "0123456789abcdef"
NAME = Pseudonyms(SECRET.encode()).of("ann")


def iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()


@pytest.fixture
def settings(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    monkeypatch.setenv("USER_SECRET", SECRET)
    features = replace(world.features, user_key_id=Pseudonyms(SECRET.encode()).key_id)
    bundle, store = write_world_bundle(tmp_path, features), StoreConfig(path=str(tmp_path / "keyed.db"))
    open_store(store, features.config, user_key_id=features.user_key_id, create=True).close()
    args = {"bundle": str(bundle), "store": {"path": store.path}}
    return ServiceSettings.of({**args, "privacy": {"user_key_secret_env": "USER_SECRET"}})  # pragma: allowlist secret


def test_events_and_requests_of_an_id_meet_under_its_pseudonym(settings: ServiceSettings) -> None:
    scorer = build_scorer(settings)
    scorer.now_us = lambda: NOW_US
    client = client_of(scorer)
    event = {"event_id": "p1", "user_id": "ann", "item_id": "i1", "behavior": "view"}
    assert client.post("/rank", json={"user_id": "ann"}).json()["user_known"] is False
    answer = client.post("/events", json={**event, "event_time": iso(NOW_US - HOUR_US)})
    assert answer.json()["accepted"] == 1
    for user_id in ("ann", NAME):
        assert client.post("/rank", json={"user_id": user_id}).json()["user_known"] is True
    store = scorer.lookup._reader.of_users._open_store()
    assert store.read_user(hash_id(NAME)).known
    assert not store.read_user(hash_id("ann")).known


def test_a_service_without_its_secret_does_not_start(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("USER_SECRET")
    with pytest.raises(ConfigError, match="USER_SECRET"):
        build_scorer(settings)


def test_a_service_with_another_secret_does_not_start(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER_SECRET", "fedcba9876543210")  # pragma: allowlist secret
    with pytest.raises(ConfigError, match="of this process is another one"):
        build_scorer(settings)


def test_a_service_without_any_secret_does_not_start_on_a_keyed_bundle(settings: ServiceSettings) -> None:
    with pytest.raises(ConfigError, match="is not given here; set privacy"):
        build_scorer(replace(settings, privacy=PrivacyConfig()))


def test_a_secret_for_a_bundle_of_plain_ids_is_refused(settings: ServiceSettings, world: World) -> None:
    with pytest.raises(ConfigError, match="under plain user ids, and privacy gives a user key"):
        build_scorer(replace(settings, bundle=str(world.bundle)))


def test_a_store_filled_under_another_key_is_refused(settings: ServiceSettings, store_path: Path) -> None:
    scorer = build_scorer(replace(settings, store=StoreConfig(path=str(store_path))))
    scorer.now_us = lambda: NOW_US
    assert client_of(scorer).post("/rank", json={"user_id": "ann"}).json()["degraded"] == ["store"]


def test_an_unknown_privacy_setting_is_named(world: World) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'privacy\.secret'; known keys here are user_key_secret_env"):
        ServiceSettings.of({"bundle": str(world.bundle), "privacy": {"secret": "x"}})


def test_without_a_secret_ids_stay(world: World, store_path: Path) -> None:
    scorer = world.scorer(store_path)
    assert scorer.pseudonym is None
    assert RankRequest(user_id="u1").user_id == "u1"
