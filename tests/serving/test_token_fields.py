"""Crosses, the ad's id and the slot of a request, over HTTP: the score that the user rows give."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from rosa_ray.features import FeatureConfig, FeatureState, FitSums, encode_users, no_events
from rosa_ray.features.own import ColumnConfig, given_columns
from rosa_ray.inference import predict
from rosa_ray.serving.assembly import ServiceSettings, build_scorer
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.messages import FeatureQuery
from rosa_ray.serving.request_features import candidate_columns, cold_start_features, one_user
from rosa_ray.store import StoreConfig, open_store
from tests.serving.conftest import NOW_US, candidates_of, client_of, write_world_bundle
from tests.synthetic import BOUNDS, user_rows_of

PLACE = "request.place"
CONFIG = FeatureConfig(
    views=("user_events", "user_impressions"),
    item_oov_buckets=8,
    oov_buckets=4,
    utc_offset_hours=3,
    columns={PLACE: ColumnConfig()},
    crosses=((PLACE, "ad.campaign_id"), ("hour", "ad.item_id", "device")),
    ad_id=True,
    position=True,
    serving_position=2,
)


def test_a_request_is_scored_as_its_user_row_whatever_slot_that_was_shown_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = user_rows_of(CONFIG, {PLACE: pa.array([("top", "side", None)[at] for at in rng.integers(0, 3, 400)])})
    rows = replace(rows, impressions={**rows.impressions, "position": rng.integers(0, 4, 400).astype(np.int32)})
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, CONFIG)], CONFIG)
    bundle = write_world_bundle(tmp_path, state, users=encode_users(rows, state))
    store = StoreConfig(path=str(tmp_path / "store.db"))
    open_store(store, CONFIG, create=True).close()
    scorer = build_scorer(ServiceSettings(str(bundle), store, ServingConfig(rule="online")))
    scorer.now_us = lambda: NOW_US
    context = {"device": "phone", "columns": {"place": "top"}}
    body = {"user_id": None, "candidates": ["a1", "a2", "a9"], "context": context}
    answer = client_of(scorer).post("/rank", json=body)
    assert answer.status_code == 200, answer.text
    served = {ad["ad_id"]: ad["p_ctr"] for ad in answer.json()["ads"]}

    model = scorer.model
    assert model.features.config == CONFIG
    ads = candidates_of(model, [*served])
    features = cold_start_features(FeatureQuery(0, NOW_US, ads.ads["ad_key"], ads.bid, state.fingerprint), CONFIG)
    own = given_columns({PLACE: "top"}, len(served), CONFIG.columns)
    shown = candidate_columns(ads.ads, ads.bid, features.expected_cost, NOW_US, "phone", None, own)
    logged = one_user(0, no_events(), {**shown, "position": np.array([3, 0, 1], np.int32)}, features.dense)
    expected, unlike = (
        model.calibration.apply({**raw, "price": shown["price"]})["p_ctr"]
        for raw in (predict(model.ranker, encode_users(logged, model.features, slots)) for slots in (False, True))
    )
    np.testing.assert_allclose(list(served.values()), expected, rtol=1e-5)
    assert (np.abs(expected / unlike - 1) > 1e-4).all()
