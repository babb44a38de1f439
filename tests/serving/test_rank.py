"""What `POST /rank` answers, through HTTP, all parts in one process."""

from pathlib import Path

import numpy as np
import pytest

from rosa_ray.serving.api import RankResponse
from tests.serving.client import LocalClient
from tests.serving.conftest import CALIBRATION, World, client_of


def rank(client: LocalClient, **body: object) -> dict:
    answer = client.post("/rank", json={"user_id": "u1", **body})
    assert answer.status_code == 200, answer.text
    RankResponse.model_validate(answer.json())
    return answer.json()


def test_all_active_ads_are_ranked_by_score_when_no_candidates_are_given(client: LocalClient) -> None:
    answer = rank(client, top_k=100)
    assert len(answer["ads"]) == 30
    scores = [ad["score"] for ad in answer["ads"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["degraded"] == []


def test_ads_are_ranked_by_what_calibration_found_of_returns(client: LocalClient) -> None:
    answer, returns = rank(client), CALIBRATION.returns
    assert answer["score_kind"] == "dual"
    assert (returns.theta, returns.level) == (2.0, 0.5)
    for ad in answer["ads"]:
        revenue = 0.5 * ad["p_ctr"] * ad["p_cvr"] * ad["value"]
        np.testing.assert_allclose(ad["expected_roi"], (revenue - ad["expected_cost"]) / ad["expected_cost"])
        np.testing.assert_allclose(ad["score"], revenue - 2.0 * ad["expected_cost"])


def test_a_setting_says_what_to_rank_by(world: World, store_path: Path) -> None:
    by_ratio = client_of(world.scorer(store_path, score="roi"))
    for ad in rank(by_ratio)["ads"]:
        assert ad["score"] == ad["expected_roi"]
    greedy = client_of(world.scorer(store_path, theta=0.0))
    for ad in rank(greedy)["ads"]:
        np.testing.assert_allclose(ad["score"], 0.5 * ad["p_ctr"] * ad["p_cvr"] * ad["value"])
    assert greedy.get("/model").json()["theta"] == 0.0


def test_permuting_candidates_permutes_nothing_in_the_answer(client: LocalClient) -> None:
    ids = [f"a{number}" for number in range(12)]
    one, two = (rank(client, candidates=order)["ads"] for order in (ids, ids[::-1]))
    assert [ad["ad_id"] for ad in one] == [ad["ad_id"] for ad in two]
    np.testing.assert_allclose([ad["score"] for ad in one], [ad["score"] for ad in two], rtol=1e-5)


def test_top_k_cuts_the_ranking(client: LocalClient) -> None:
    assert [ad["ad_id"] for ad in rank(client, top_k=3)["ads"]] == [ad["ad_id"] for ad in rank(client)["ads"][:3]]


def test_a_higher_bid_costs_more_and_its_absence_takes_the_catalogues(client: LocalClient) -> None:
    low, high = (
        rank(client, candidates=[{"ad_id": "a1", "bid": bid}])["ads"][0]["expected_cost"] for bid in (0.1, 0.2)
    )
    np.testing.assert_allclose(high / low, 2, rtol=0.7)
    assert high > low
    plain, null = rank(client, candidates=["a1"]), rank(client, candidates=[{"ad_id": "a1", "bid": None}])
    assert plain["ads"] == null["ads"]


def test_unknown_candidates_are_named_and_not_ranked(client: LocalClient) -> None:
    answer = rank(client, candidates=["a1", "nope", {"ad_id": "neither", "bid": 0.1}])
    assert answer["unknown_candidates"] == ["nope", "neither"]
    assert [ad["ad_id"] for ad in answer["ads"]] == ["a1"]


def test_an_unknown_user_is_ranked_cold(client: LocalClient) -> None:
    answer = rank(client, user_id="who", explain=True)
    assert answer["user_known"] is False
    assert answer["degraded"] == []
    assert len(answer["ads"]) == 20
    assert answer["explanation"]["reason"] == "the user has no history"


def test_a_user_with_impressions_but_no_events_is_known_and_ranked(client: LocalClient) -> None:
    answer = rank(client, user_id="u0", explain=True)
    assert answer["user_known"] is True
    assert answer["explanation"]["history_events"] == 0


@pytest.mark.parametrize(("rule", "weight"), [("offline", 1.0), ("online", 0.0), ("fresh", 1.0)])
def test_the_rule_decides_lambda(world: World, store_path: str, rule: str, weight: float) -> None:
    answer = rank(client_of(world.scorer(store_path, rule=rule)), explain=True)
    assert answer["lambda"] == weight
    assert answer["explanation"]["rule"] == rule
    assert (answer["explanation"]["encoder_ms"] is None) == (weight == 1)


@pytest.mark.parametrize("kind", ["profit", "roas", "ecpm"])
def test_other_scores_rank_by_their_own_formula(world: World, store_path: str, kind: str) -> None:
    for ad in rank(client_of(world.scorer(store_path, score=kind)))["ads"]:
        revenue, cost = 0.5 * ad["p_ctr"] * ad["p_cvr"] * ad["value"], ad["expected_cost"]
        expected = {"profit": revenue - cost, "roas": revenue / cost, "ecpm": 1000 * revenue}[kind]
        np.testing.assert_allclose(ad["score"], expected)


def test_the_request_id_of_the_caller_comes_back_unless_it_is_strange(client: LocalClient) -> None:
    def answered(request_id: str) -> str:
        headers = {"X-Request-ID": request_id}
        return client.post("/rank", json={"user_id": "u1"}, headers=headers).json()["request_id"]

    assert answered("abc-1") == "abc-1"
    assert answered("a b<script>") != "a b<script>"


def test_device_and_region_change_scores(client: LocalClient) -> None:
    plain, placed = (rank(client, context=context)["ads"] for context in ({}, {"device": "phone", "region": "g1"}))
    assert [ad["score"] for ad in plain] != [ad["score"] for ad in placed]
