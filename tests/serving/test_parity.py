"""The serving path computes what the offline path computed, for every logged request."""

import asyncio

import numpy as np
import pytest

from rosa_ray.features import encode_users
from rosa_ray.inference import predict
from rosa_ray.schema import hash_id
from rosa_ray.serving.api import Candidate, Context, RankRequest
from rosa_ray.serving.assembly import build_lookup
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.messages import FeatureQuery
from rosa_ray.serving.request_features import candidate_columns
from tests.serving.conftest import CALIBRATION, World, candidates_of


def logged(world: World) -> list[dict]:
    """Every logged impression with the place of its offline row."""
    place = {key: row for row, key in enumerate(world.rows.impressions["impression_key"].tolist())}
    return [{**shown, "row": place[hash_id(shown["impression_id"])]} for shown in world.impressions.to_pylist()]


def query_of(world: World, shown: dict) -> FeatureQuery:
    time_us = int(world.rows.impressions["time_us"][shown["row"]])
    return FeatureQuery(
        hash_id(shown["user_id"]),
        time_us,
        np.array([hash_id(shown["ad_id"])]),
        np.array([shown["bid"]]),
        world.features.fingerprint,
        keys=candidates_of(world.model, [shown["ad_id"]], time_us).keys,
    )


def test_features_of_every_logged_impression_are_equal_bit_for_bit(world: World, store_path: str) -> None:
    lookup = build_lookup(world.settings(store_path), world.model)
    shown_rows = world.rows.impressions
    for shown in logged(world):
        row, query = shown["row"], query_of(world, shown)
        features = lookup.read_now(query)
        assert features.dense[0].tobytes() == world.rows.dense[row].tobytes()
        assert features.expected_cost[0] == shown_rows["expected_cost"][row]
        ads = candidates_of(world.model, [shown["ad_id"]], query.time_us).ads
        columns = candidate_columns(
            ads, query.bid, features.expected_cost, query.time_us, shown["device"], shown["region"]
        )
        for name in ("time_us", "item_key", "category_key", "campaign_key", "device_key", "region_key", "bid", "price"):
            assert columns[name][0] == shown_rows[name][row], name


def test_timelines_are_the_events_strictly_before_each_request(world: World, store_path: str) -> None:
    lookup = build_lookup(world.settings(store_path), world.model)
    rows = world.rows
    for shown in logged(world)[::7]:
        query = query_of(world, shown)
        user = int(np.flatnonzero(rows.user_key == query.user_key)[0])
        mine = slice(rows.event_offsets[user], rows.event_offsets[user + 1])
        past = rows.events["time_us"][mine] < query.time_us
        found = lookup.read_now(query).events
        for name, values in rows.events.items():
            expected = values[mine][past][-world.model.context_events :]
            assert found[name].tobytes() == expected.tobytes(), name


def test_online_scores_of_logged_impressions_are_the_offline_scores(world: World, store_path: str) -> None:
    """Calibrated as evaluation does it; the calibration of this world moves every head."""
    raw = predict(world.model.ranker, encode_users(world.rows, world.features))
    expected = CALIBRATION.apply({**raw, "price": world.rows.impressions["price"]})
    assert all((np.abs(expected[name] / raw[name] - 1) > 1e-3).mean() > 0.9 for name in ("p_ctr", "value"))
    scorer = world.scorer(store_path, rule="online")
    for shown in logged(world)[::3]:
        ad = asyncio.run(scorer.rank(request_of(shown)))["ads"][0]
        for name in ("p_ctr", "p_cvr", "value"):
            np.testing.assert_allclose(ad[name], expected[name][shown["row"]], rtol=1e-5)


@pytest.mark.parametrize("user", [f"u{number}" for number in range(0, 12, 3)])
def test_stored_states_score_as_a_fresh_encoding_does_when_nothing_is_new(
    world: World, store_path: str, user: str
) -> None:
    stored, fresh = (world.scorer(store_path, rule=rule) for rule in ("offline", "online"))
    one, two = (asyncio.run(scorer.rank(RankRequest(user_id=user, top_k=30))) for scorer in (stored, fresh))
    assert [ad["ad_id"] for ad in one["ads"]] == [ad["ad_id"] for ad in two["ads"]]
    for name in ("p_ctr", "p_cvr", "value", "score"):
        np.testing.assert_allclose([ad[name] for ad in one["ads"]], [ad[name] for ad in two["ads"]], rtol=1e-4)


def test_a_request_scored_among_others_scores_as_alone(scorer: HybridScorer) -> None:
    together = asyncio.run(scorer.rank(RankRequest(user_id="u1", top_k=30)))["ads"]
    for ad in together[::5]:
        alone = asyncio.run(scorer.rank(RankRequest(user_id="u1", candidates=[ad["ad_id"]])))["ads"][0]
        np.testing.assert_allclose(alone["p_ctr"], ad["p_ctr"], rtol=1e-5)


def request_of(shown: dict) -> RankRequest:
    return RankRequest(
        user_id=shown["user_id"],
        candidates=[Candidate(ad_id=shown["ad_id"], bid=shown["bid"])],
        context=Context(device=shown["device"], region=shown["region"], time=shown["request_time"].isoformat()),
    )
