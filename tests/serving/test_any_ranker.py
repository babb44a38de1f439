"""Every ranker of the project, and one from outside, is served with the scores that evaluation gives."""

import asyncio
import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.data.user_encoding import UserEncoder
from rosa_ray.errors import BundleError
from rosa_ray.features import counting_fingerprint, encode_users
from rosa_ray.inference import predict
from rosa_ray.models import config_class, ranker_names
from rosa_ray.serving.api import RankRequest
from rosa_ray.serving.assembly import build_scorer
from rosa_ray.serving.encoder import Encoder
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.model import load_model
from rosa_ray.store import StoreVersion, open_store
from tests.serving.conftest import CALIBRATION, MODEL, NOW_US, World, client_of, timelines, write_world_bundle
from tests.serving.test_parity import logged, request_of

SMALL = {**MODEL, "cross_rows": 64, "units": 8}
NAMES = [*ranker_names(), "examples.my_model", "rosa x 3", "din x 2"]
WHOLE = [name for name in NAMES if not name.startswith("rosa")]


@pytest.fixture(scope="module", params=NAMES)
def bundle(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(request.param, world, tmp_path_factory.mktemp("any"))


@pytest.fixture(scope="module")
def din(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of("din", world, tmp_path_factory.mktemp("din"))


def bundle_of(name: str, world: World, home: Path) -> Path:
    name, _, members = name.partition(" x ")
    known = {field.name for field in dataclasses.fields(config_class(name))}
    config = {key: value for key, value in SMALL.items() if key in known}
    return write_world_bundle(home, world.features, name, config, members=int(members or 1), users=world.users)


def scorer_of(world: World, bundle: Path, store: Path, **serving: object) -> HybridScorer:
    scorer = build_scorer(replace(world.settings(store, **serving), bundle=str(bundle)))
    scorer.now_us = lambda: NOW_US
    return scorer


@pytest.fixture
def scorer(world: World, bundle: Path, store_path: Path) -> HybridScorer:
    return scorer_of(world, bundle, store_path, rule="online")


def test_scores_of_logged_impressions_are_the_offline_scores(world: World, scorer: HybridScorer) -> None:
    raw = predict(scorer.model.ranker, encode_users(world.rows, world.features))
    expected = CALIBRATION.apply({**raw, "price": world.rows.impressions["price"]})
    compared = 0
    for shown in logged(world)[::3]:
        answer = asyncio.run(scorer.rank(request_of(shown)))
        assert answer["degraded"] == []
        for name in ("p_ctr", "p_cvr", "value"):
            np.testing.assert_allclose(answer["ads"][0][name], expected[name][shown["row"]], rtol=1e-5)
        compared += 1
    assert compared > 20


def test_the_store_of_a_materialisation_holds_what_a_score_depends_on(
    world: World, bundle: Path, tmp_path: Path
) -> None:
    """Timelines are cut to what the ranker needs: the gap before the first event of them is still the right one."""
    model = load_model(bundle)
    settings = world.settings(tmp_path / "short.db", rule="online")
    store = open_store(settings.store, model.features.config, model.version, create=True)
    version = StoreVersion(counting_fingerprint(model.features.config), NOW_US, "log")
    store.begin_load(version, model.version, model.context_events)
    store.load_users(version, timelines(world.events, model.features.config.behavior_names))
    store.load_counters(version, world.counters)
    store.activate(version, model.version)
    store.close()
    long, short = (scorer_of(world, bundle, path, rule="online") for path in (world.store, Path(settings.store.path)))
    for user in ("u1", "u4", "u7"):
        one, other = (asyncio.run(scorer.rank(RankRequest(user_id=user, top_k=30))) for scorer in (long, short))
        assert one["ads"] == other["ads"]


@pytest.mark.parametrize(("name", "told"), [("rosa x 3", True), ("din x 2", True), ("rosa", False)])
def test_an_ensemble_says_how_far_its_members_lie_apart(
    world: World, tmp_path: Path, store_path: Path, name: str, told: bool
) -> None:
    client = client_of(scorer_of(world, bundle_of(name, world, tmp_path), store_path, rule="online"))
    ads = client.post("/rank", json={"user_id": "u1", "top_k": 30}).json()["ads"]
    assert all(("p_ctr_spread" in ad) == told for ad in ads)
    assert all(0 < ad["p_ctr_spread"] < 0.5 for ad in ads if told)


def test_users_without_history_are_ranked(scorer: HybridScorer) -> None:
    answer = asyncio.run(scorer.rank(RankRequest(user_id="nobody", top_k=30)))
    assert answer["user_known"] is False
    assert len(answer["ads"]) == 30
    assert all(np.isfinite(list(ad.values())[1:]).all() for ad in answer["ads"])


@pytest.mark.parametrize("user", ["u1", "nobody"])
def test_a_ranker_without_states_says_so(world: World, din: Path, store_path: Path, user: str) -> None:
    client = client_of(scorer_of(world, din, store_path))
    answer = client.post("/rank", json={"user_id": user, "explain": True}).json()
    assert (answer["lambda"], answer["degraded"]) == (0.0, [])
    assert answer["explanation"]["reason"] == "model 'din' keeps no states and reads the timeline at each request"
    assert answer["explanation"]["encoder_ms"] is None
    described = client.get("/model").json()
    assert (described["name"], described["keeps_states"], described["window"]) == ("din", False, 0)
    assert client.get("/readyz").json()["encoder"]["keeps_states"] is False


@pytest.mark.parametrize("rule", ["offline", "learned"])
def test_a_rule_that_needs_states_is_refused_at_the_start(world: World, din: Path, store_path: Path, rule: str) -> None:
    with pytest.raises(BundleError, match=rf"keeps no states, which serving.rule={rule} needs"):
        scorer_of(world, din, store_path, rule=rule)


@pytest.mark.parametrize("name", WHOLE)
def test_a_materialisation_writes_no_states_of_a_ranker_that_keeps_none(
    world: World, tmp_path: Path, name: str
) -> None:
    model = load_model(bundle_of(name, world, tmp_path))
    assert UserEncoder(model.ranker, model.features, model.context_events, NOW_US, 0).window == 0
    with pytest.raises(BundleError, match="keeps no states"):
        Encoder(model)
