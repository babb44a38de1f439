"""Declared columns of a request, over HTTP: the score that the user rows give, and one line for what does not fit."""

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.features import FeatureConfig, FeatureState, FitSums, UserRows, encode_users, no_events
from rosa_ray.features.own import ColumnConfig, given_columns
from rosa_ray.inference import predict
from rosa_ray.serving.assembly import ServiceSettings, build_scorer
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import FeatureQuery
from rosa_ray.serving.request_features import candidate_columns, cold_start_features, one_user
from rosa_ray.store import StoreConfig, open_store
from tests.serving.client import LocalClient
from tests.serving.conftest import NOW_US, candidates_of, client_of, write_world_bundle
from tests.synthetic import BOUNDS, user_rows_of

COLUMNS = {"request.place": ColumnConfig(), "request.floor": ColumnConfig(type="number")}
DECLARED = FeatureConfig(views=("user_events", "user_impressions"), item_oov_buckets=8, oov_buckets=4, columns=COLUMNS)


@pytest.fixture(scope="module")
def rows() -> UserRows:
    rng = np.random.default_rng(3)
    own = {
        "request.place": pa.array([("top", "side", None)[at] for at in rng.integers(0, 3, 400)]),
        "request.floor": pa.array(rng.lognormal(size=400), mask=rng.random(400) < 0.2),
    }
    return user_rows_of(DECLARED, own)


@pytest.fixture(scope="module")
def own_scorer(rows: UserRows, tmp_path_factory: pytest.TempPathFactory) -> HybridScorer:
    home = tmp_path_factory.mktemp("own")
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, DECLARED)], DECLARED)
    bundle = write_world_bundle(home, state, users=encode_users(rows, state))
    open_store(StoreConfig(path=str(home / "store.db")), DECLARED, create=True).close()
    settings = ServiceSettings(str(bundle), StoreConfig(path=str(home / "store.db")), ServingConfig(rule="online"))
    scorer = build_scorer(settings)
    scorer.now_us = lambda: NOW_US
    return scorer


@pytest.fixture(scope="module")
def own_client(own_scorer: HybridScorer) -> LocalClient:
    return client_of(own_scorer)


def rank(client: LocalClient, columns: dict[str, object]) -> dict[str, float]:
    body = {"user_id": None, "candidates": ["a1", "a2"], "context": {"columns": columns}}
    answer = client.post("/rank", json=body)
    assert answer.status_code == 200, answer.text
    return {ad["ad_id"]: ad["p_ctr"] for ad in answer.json()["ads"]}


def test_what_a_request_says_changes_its_scores(own_client: LocalClient) -> None:
    top, side, none = (rank(own_client, {"place": place, "floor": 0.5}) for place in ("top", "side", None))
    assert len({top["a1"], side["a1"], none["a1"]}) == 3
    assert rank(own_client, {"floor": 0.5}) == none
    assert rank(own_client, {"place": "top", "floor": "0.5"}) == top
    assert rank(own_client, {"place": "top", "floor": 50}) != top


def test_scores_are_those_of_the_same_user_row(own_client: LocalClient, own_scorer: HybridScorer) -> None:
    model, served = own_scorer.model, rank(own_client, {"place": "top", "floor": 2.0})
    ads = candidates_of(model, [*served])
    query = FeatureQuery(0, NOW_US, ads.ads["ad_key"], ads.bid, model.features.fingerprint)
    features = cold_start_features(query, DECLARED)
    own = given_columns({"request.place": "top", "request.floor": 2.0}, 2, COLUMNS)
    shown = candidate_columns(ads.ads, query.bid, features.expected_cost, NOW_US, None, None, own)
    users = encode_users(one_user(0, no_events(), shown, features.dense), model.features)
    raw = predict(model.ranker, users)
    expected = model.calibration.apply({**raw, "price": shown["price"]})["p_ctr"]
    np.testing.assert_allclose([served[name] for name in served], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("columns", "detail"),
    [
        ({"palce": "top"}, "context.columns has 'palce', which the model does not know; it knows place, floor"),
        ({"": None}, "context.columns has '', which the model does not know; it knows place, floor"),
        ({"floor": "cheap"}, "context.columns.floor is no number; the column is declared as one"),
        ({"floor": "inf"}, "context.columns.floor is not finite"),
    ],
)
def test_what_does_not_fit_is_named(own_client: LocalClient, columns: dict[str, object], detail: str) -> None:
    answer = own_client.post("/rank", json={"user_id": "u1", "context": {"columns": columns}})
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)


def test_a_model_without_declared_columns_says_so(client: LocalClient) -> None:
    answer = client.post("/rank", json={"user_id": "u1", "context": {"columns": {"place": "top"}}})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "context.columns has 'place', which the model does not know; it knows none",
    )
