"""A part fails: the ranking goes on, and says what it lacked."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import StoreError
from rosa_ray.serving.api import RankRequest
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import Encoded, EncodeQuery
from tests.serving.conftest import NOW_US, World, candidates_of, client_of
from tests.serving.test_events import event

REQUEST = RankRequest(user_id="u1", top_k=30, explain=True)


class Late:
    """Answers after the deadline."""

    async def encode(self, query: EncodeQuery) -> Encoded:
        await asyncio.sleep(60)
        raise AssertionError

    async def describe(self) -> dict:
        await asyncio.sleep(60)
        raise AssertionError

    read = write = encode


class Broken:
    """Fails at once."""

    async def encode(self, query: EncodeQuery) -> Encoded:
        raise RuntimeError("no such replica")

    read = write = describe = encode


class OtherModel:
    """Encodes with another version of the model, as during a rolling update."""

    async def encode(self, query: EncodeQuery) -> Encoded:
        return Encoded("another", np.zeros((1, 16), np.float32))


def rank(scorer: HybridScorer, request: RankRequest = REQUEST) -> dict:
    return asyncio.run(scorer.rank(request))


def ads_of(answer: dict) -> dict[str, float]:
    return {ad["ad_id"]: ad["p_ctr"] for ad in answer["ads"]}


@pytest.mark.parametrize("encoder", [Late(), Broken(), OtherModel()])
def test_without_the_encoder_the_stored_states_are_used(world: World, store_path: Path, encoder: object) -> None:
    offline = rank(world.scorer(store_path, rule="offline"))
    scorer = world.scorer(store_path, rule="online", encoder_deadline_ms=50)
    scorer.encoder = encoder
    answer = rank(scorer)
    assert answer["degraded"] == ["encoder"]
    assert answer["lambda"] == 1.0
    assert "encoder did not answer" in answer["explanation"]["reason"]
    assert ads_of(answer) == ads_of(offline)


def test_with_neither_encoder_nor_states_the_history_is_empty(world: World, store_path: Path) -> None:
    scorer = world.scorer(store_path)
    client_of(scorer).post("/events", json=event(user_id="newcomer"))
    scorer.encoder = Broken()
    answer = rank(scorer, RankRequest(user_id="newcomer"))
    assert answer["degraded"] == ["encoder", "states"]
    assert len(answer["ads"]) == 20


def test_without_the_lookup_users_are_ranked_cold(world: World, store_path: Path) -> None:
    cold = rank(world.scorer(Path("/nowhere/store.db")), RankRequest(user_id="who", top_k=30))
    scorer = world.scorer(store_path)
    scorer.lookup = Broken()
    answer = rank(scorer)
    assert answer["degraded"] == ["store"]
    assert answer["user_known"] is False
    assert ads_of(answer) == ads_of(cold)
    assert [ad["expected_cost"] for ad in answer["ads"]] == [
        *candidates_of(world.model, [ad["ad_id"] for ad in answer["ads"]]).bid
    ]


def test_a_missing_store_is_named_by_readiness_and_survived_by_rankings(world: World, tmp_path: Path) -> None:
    scorer = world.scorer(tmp_path / "none.db")
    client = client_of(scorer)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "store is not ready" in answer.json()["detail"]
    assert client.post("/rank", json={"user_id": "u1"}).json()["degraded"] == ["store"]
    refused = client.post("/events", json=event())
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"


def test_a_store_that_goes_away_is_answered_from_memory_until_it_is_back(world: World, store_path: Path) -> None:
    scorer = world.scorer(store_path, store_retry_s=0.0)
    before = rank(scorer)
    lookup = scorer.lookup
    working = lookup._reader.of_users._open_store
    for link in (lookup._reader.of_users, lookup._reader.of_counters):
        link._open_store = _refuse
    lookup.close()
    away = rank(scorer)
    assert away["degraded"] == ["store"]
    assert away["user_known"] is True
    assert away["ads"] == before["ads"]
    assert rank(scorer, RankRequest(user_id="u2"))["user_known"] is False
    for link in (lookup._reader.of_users, lookup._reader.of_counters):
        link._open_store = working
    assert rank(scorer)["degraded"] == []


def test_a_store_of_other_features_is_not_read(world: World, store_path: Path) -> None:
    from rosa_ray.serving.messages import FeatureQuery
    from rosa_ray.serving.request_features import cold_start_features

    lookup = world.scorer(store_path).lookup
    query = FeatureQuery(1, NOW_US, world.model.catalogue.ad_key[:1], np.ones(1), "other")
    with pytest.raises(StoreError, match="the model needs other"):
        lookup.read_now(query)
    assert cold_start_features(query, world.features.config).dense.shape == (1, world.rows.dense.shape[1])


def test_states_of_another_model_are_not_used(world: World, store_path: Path) -> None:
    scorer = world.scorer(store_path, rule="offline")
    object.__setattr__(scorer.model.bundle.manifest, "model_version", "newer")
    assert rank(scorer)["degraded"] == ["states"]


def _refuse() -> None:
    raise StoreError("store: gone")


def test_a_history_that_leads_out_of_all_numbers_is_left_out(
    world: World, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = world.scorer(store_path, rule="offline")
    usable = HybridScorer._usable

    def damaged(self, features):
        states = usable(self, features)
        return None if states is None else replace(states, states=np.full_like(states.states, 3e38))

    monkeypatch.setattr(HybridScorer, "_usable", damaged)
    answer = rank(scorer)
    assert answer["degraded"] == ["store"]
    assert len(answer["ads"]) > 1
    assert all(np.isfinite(ad["value"]) and 0 <= ad["p_ctr"] <= 1 for ad in answer["ads"])
