"""A chain of policy steps in the service: what an answer shows and says, and what the steps are told."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.features import FeatureConfig
from rosa_ray.policy.steps import budget, config_class
from rosa_ray.schema import hash_id
from rosa_ray.serving.api import RankResponse
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.policy import ServedPolicy
from rosa_ray.settings import Tagged
from rosa_ray.units import HOUR_US
from tests.serving.client import LocalClient
from tests.serving.conftest import NOW_US, World, client_of

NOW = datetime.fromtimestamp(NOW_US / 1e6, UTC).isoformat()
RICH = 1e6


def step(name: str, **settings: Any) -> Tagged:
    return Tagged(name, config_class(name)(**settings))


def budgets(**amounts: float) -> Tagged:
    campaigns = {name: budget.Campaign(daily_budget=amount) for name, amount in amounts.items()}
    return step("budget", campaigns=campaigns, rate=0.0, replicas=1)


def rank(client: LocalClient, request_id: str = "", **body: Any) -> dict[str, Any]:
    headers = {"X-Request-ID": request_id} if request_id else {}
    answer = client.post("/rank", json={"user_id": "u1", "top_k": 100, **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    # Nothing is asked of ads any more, which an answer says after some seconds.
    assert found["degraded"] in ([], ["ads"])
    RankResponse.model_validate(found)
    return found


def shown(ad_id: str, number: int = 0, cost: float = 0.0, **fields: Any) -> dict[str, Any]:
    return {
        "type": "impression",
        "impression_id": f"shown-{number}",
        "user_id": "u1",
        "ad_id": ad_id,
        "request_time": datetime.fromtimestamp(NOW_US / 1e6 - 60, UTC).isoformat(),
        "cost": cost,
        **fields,
    }


@pytest.fixture
def scorer_of(world: World, store_path: Path) -> Callable[..., HybridScorer]:
    """Scorers whose budgets are read when a test asks for it."""

    def build(*policy: Tagged, **serving: Any) -> HybridScorer:
        scorer = world.scorer(store_path, policy=policy, **serving)
        assert scorer.ads is not None
        scorer.ads.close()
        time.sleep(0.3)
        scorer.policy = ServedPolicy(policy, scorer.ranking.kind, scorer.model.features.config, follows=True)
        return scorer

    return build


def follow(scorer: HybridScorer, now_us: int = NOW_US) -> None:
    assert scorer.policy is not None
    assert scorer.ads is not None
    scorer.policy.follow(scorer.ads._link.ask(lambda store: store), now_us)


def test_without_steps_an_answer_is_as_it_was(client: LocalClient) -> None:
    answer = rank(client)
    assert not {"policy", "propensity"} & answer.keys()


def test_a_chain_that_takes_nothing_out_changes_no_ad(client: LocalClient, scorer_of: Callable[..., Any]) -> None:
    quiet = client_of(scorer_of(step("floor", least=-1e9), step("frequency_cap")))
    answer = rank(quiet)
    assert answer["ads"] == rank(client)["ads"]
    assert (answer["policy"], answer["propensity"]) == ({}, 1.0)


def test_ads_below_a_floor_are_not_answered(client: LocalClient, scorer_of: Callable[..., Any]) -> None:
    scores = [ad["score"] for ad in rank(client)["ads"]]
    floored = client_of(scorer_of(step("floor", least=scores[10])))
    answer = rank(floored)
    assert [ad["score"] for ad in answer["ads"]] == scores[:11]
    assert answer["policy"] == {"floor": {"of": "score", "least": scores[10], "below": len(scores) - 11}}
    assert len(rank(floored, top_k=3)["ads"]) == 3


def test_a_request_may_show_nothing_and_says_why(scorer_of: Callable[..., Any]) -> None:
    answer = rank(client_of(scorer_of(step("floor", least=1e9), step("explore"))))
    assert answer["ads"] == []
    assert answer["new_ads"] == {}
    assert answer["policy"]["floor"]["below"] == 30
    assert answer["propensity"] == 0.0


def test_a_drawn_ad_is_first_and_a_request_draws_the_same_again(scorer_of: Callable[..., Any]) -> None:
    one, other = (client_of(scorer_of(step("explore", epsilon=1.0))) for _ in range(2))
    first = [rank(one, f"r{number}")["ads"][0]["ad_id"] for number in range(12)]
    assert first == [rank(other, f"r{number}")["ads"][0]["ad_id"] for number in range(12)]
    assert len(set(first)) > 4
    answer = rank(one, "r1")
    assert answer["propensity"] == pytest.approx(1 / 30)
    rest = [ad["score"] for ad in answer["ads"][1:]]
    assert rest == sorted(rest, reverse=True)


def test_posted_impressions_reach_the_cap(scorer_of: Callable[..., Any]) -> None:
    client = client_of(scorer_of(step("frequency_cap", most=2)))
    best = rank(client)["ads"][0]["ad_id"]
    client.post("/events", json={"events": [shown(best, 1)]})
    client.post("/events", json={"events": [shown(best, 1)]})
    assert rank(client)["ads"][0]["ad_id"] == best
    client.post("/events", json={"events": [shown(best, 2), {**shown(best, 1), "type": "click"}]})
    answer = rank(client)
    assert best not in [ad["ad_id"] for ad in answer["ads"]]
    assert answer["policy"] == {"frequency_cap": {"per": "ad", "seen_enough": 1}}
    assert best in [ad["ad_id"] for ad in rank(client, user_id="u2")["ads"]]


def test_what_was_not_stored_is_not_told(scorer_of: Callable[..., Any]) -> None:
    client = client_of(scorer_of(step("frequency_cap", most=1)))
    best = rank(client)["ads"][0]["ad_id"]
    refused = client.post("/events", json={"events": [shown(best, 1, request_time="2090-01-01T00:00:00Z")]})
    assert refused.json()["rejected"]
    assert rank(client)["ads"][0]["ad_id"] == best


def test_a_budget_without_a_reading_shows_nothing_of_its_campaign(scorer_of: Callable[..., Any]) -> None:
    scorer = scorer_of(budgets(k0=RICH))
    client = client_of(scorer)
    assert rank(client)["policy"] == {"budget": {"k0": "its budget is spent"}}
    follow(scorer)
    assert "its budget is spent" not in rank(client)["policy"].get("budget", {}).values()


def test_a_spend_that_another_wrote_to_the_store_stops_a_campaign(world: World, scorer_of: Callable[..., Any]) -> None:
    chain = budgets(k0=3.0, k1=RICH)
    scorer, writer = scorer_of(chain), client_of(scorer_of(chain))
    follow(scorer)
    client, ads = client_of(scorer), world.model.catalogue
    campaign = {ad["ad_id"]: ads.terms(ad["ad_id"], NOW_US)["campaign_id"] for ad in rank(client)["ads"]}  # type: ignore[index]
    mine = [ad for ad, name in campaign.items() if name == "k0"]
    assert mine
    events = [shown(mine[0], number, cost=0.5) for number in range(6)]
    assert writer.post("/events", json={"events": events}).json()["accepted"] == 6
    follow(scorer, NOW_US + 2_000_000)
    answer = rank(client)
    left = {ads.terms(ad["ad_id"], NOW_US)["campaign_id"] for ad in answer["ads"]}  # type: ignore[index]
    assert "k0" not in left
    assert "k1" in left
    assert answer["policy"]["budget"]["k0"] == "its budget is spent"


def test_the_store_is_asked_once_a_second(scorer_of: Callable[..., Any]) -> None:
    scorer = scorer_of(budgets(k0=RICH))
    asked = []

    class Store:
        def read_counters(self, view: str, keys: np.ndarray, since: int) -> dict[str, Any]:
            asked.append(view)
            return scorer.ads._link.ask(lambda store: store.read_counters(view, keys, since))

    for ago_us in (0, 500_000, 1_000_000):
        scorer.policy.follow(Store(), NOW_US + ago_us)  # type: ignore[union-attr]
    assert asked == ["campaign_impressions"] * 2


def test_the_thread_of_ads_reads_spend(world: World, store_path: Path) -> None:
    scorer = world.scorer(store_path, policy=(budgets(k0=RICH),))
    step = scorer.policy.steps[0]  # type: ignore[union-attr]
    until_s = time.monotonic() + 20
    while step._seen_day < NOW_US // 86_400_000_000:  # type: ignore[attr-defined]
        assert time.monotonic() < until_s
        time.sleep(0.02)
    scorer.ads.close()  # type: ignore[union-attr]


def test_a_conversion_brings_the_price_of_its_ad(world: World, scorer_of: Callable[..., Any]) -> None:
    scorer = scorer_of(budgets(k0=RICH))
    client = client_of(scorer)
    ads = world.model.catalogue
    mine = next(f"a{number}" for number in range(30) if ads.terms(f"a{number}", NOW_US)["campaign_id"] == "k0")  # type: ignore[index]
    one = shown(mine, 1, cost=0.5)
    bought = {
        **{name: one[name] for name in ("impression_id", "user_id", "ad_id", "request_time")},
        "type": "conversion",
    }
    answer = client.post("/events", json={"events": [one, {**bought, "conversion_time": NOW}]}).json()
    assert answer["accepted"] == 2
    told = scorer.policy.steps[0].snapshot()["sums"].sum(axis=(0, 1, 2))  # type: ignore[union-attr]
    price = ads.terms(mine, NOW_US)["price"]  # type: ignore[index]
    assert told.tolist() == [500_000, round(price * 1e6)]


def test_a_budget_needs_a_score_in_money() -> None:
    for kind in ("roi", "ecpm"):
        with pytest.raises(ConfigError, match=f"budget, which needs the score dual or profit, not {kind}"):
            ServedPolicy([budgets(k0=1.0)], kind, FeatureConfig())


def test_doubt_is_that_of_the_counters(client: LocalClient, world: World, scorer_of: Callable[..., Any]) -> None:
    """The bonus of each ad, worked out from the impressions that the log has of it."""
    plain, bold = ({ad["ad_id"]: ad for ad in rank(one)["ads"]} for one in (
        client, client_of(scorer_of(step("ucb", alpha=1.0, prior_clicks=2.0)))
    ))  # fmt: skip
    closed_us = NOW_US // HOUR_US * HOUR_US
    before = world.impressions.filter(pc.less(world.impressions["request_time"].cast("int64"), closed_us))
    counts = before.group_by("ad_id").aggregate([("ad_id", "count")])
    count_of = dict(zip(counts["ad_id"].to_pylist(), counts["ad_id_count"].to_pylist(), strict=True))
    level = world.model.calibration.returns.level
    for ad_id, ad in plain.items():
        revenue = level * ad["p_ctr"] * ad["p_cvr"] * ad["value"]
        error = 1 / np.sqrt(2.0 + ad["p_ctr"] * count_of.get(ad_id, 0))
        assert bold[ad_id]["score"] == pytest.approx(ad["score"] + error * revenue, rel=1e-5)


def test_thompson_draws_with_the_chance_that_it_tells(scorer_of: Callable[..., Any]) -> None:
    one = client_of(scorer_of(step("thompson", least=0.5)))
    answers = [rank(one, f"r{number}") for number in range(20)]
    assert all(0.5 / 30 <= answer["propensity"] <= 1 for answer in answers)
    assert len({answer["ads"][0]["ad_id"] for answer in answers}) > 3


def test_what_is_posted_teaches_within_the_day(scorer_of: Callable[..., Any]) -> None:
    """A click on the first ad lifts it above what the model says; an impression alone lowers it."""
    scorer = scorer_of(step("linucb", alpha=0.0))
    client = client_of(scorer)
    first = rank(client)["ads"][0]
    seen = shown(first["ad_id"], 1)
    click = {
        **{name: seen[name] for name in ("impression_id", "user_id", "ad_id", "request_time")},
        "type": "click",
        "click_time": NOW,
    }
    scores = []
    for record in (seen, click):
        assert client.post("/events", json={"events": [record]}).json()["accepted"] == 1
        told = scorer.policy.steps[0].snapshot()
        scores.append(told["sums"][0].tolist())
    p_ctr = round(first["p_ctr"] * 1e6)
    assert scores == [[1, p_ctr, -p_ctr], [1, p_ctr, 1_000_000 - p_ctr]]


def test_of_an_ad_that_was_never_answered_nothing_is_learned(scorer_of: Callable[..., Any]) -> None:
    scorer = scorer_of(step("linucb"))
    client = client_of(scorer)
    last = rank(client)["ads"][-1]
    assert client.post("/events", json={"events": [shown(last["ad_id"], 1)]}).json()["accepted"] == 1
    assert len(scorer.policy.steps[0].snapshot()["ad_key"]) == 0


def test_who_is_reached_is_counted_by_what_requests_say_of_their_users(scorer_of: Callable[..., Any]) -> None:
    scorer = scorer_of(step("fairness", batch=2, noise=0.0, strength=9.0))
    client = client_of(scorer)
    for region in ("north", *["south"] * 7, "north"):
        rank(client, context={"region": region})
    rank(client)
    assert scorer.policy is not None
    [fairness] = scorer.policy.steps
    counted = fairness.snapshot()
    asked = {key: counted["requests"][counted["campaign_key"] == key].sum() for key in set(counted["campaign_key"])}
    assert set(asked.values()) == {9}
    assert counted["first"].sum() == 9
    assert set(counted["group"].tolist()) == {hash_id("north"), hash_id("south")}

    # Another replica has seen one campaign first in the north alone.
    campaign = counted["campaign_key"][:1].repeat(2)
    north_and_south = np.array([hash_id("north"), hash_id("south")])
    hundred = np.array([100, 100])
    day = counted["day"][:2]
    skew = {
        "day": day,
        "campaign_key": campaign,
        "group": north_and_south,
        "requests": hundred,
        "first": hundred * [1, 0],
        "worth_day": day[:1],
        "worth_first": hundred[:1],
        "worth_micros": hundred[:1] * 1_000_000,
    }
    fairness.merge(skew)
    said = rank(client, context={"region": "north"})["policy"]["fairness"]
    assert said["per"] == "region"
    assert said["moved"] > 0
    assert "fairness" not in rank(client, context={"region": "elsewhere"})["policy"]


def test_warm_up_ranks_without_a_policy(scorer_of: Callable[..., Any]) -> None:
    scorer = scorer_of(step("floor", least=1e9))
    assert scorer.on_ports(scorer.lookup, scorer.encoder, scorer.config).policy is None


def test_the_document_has_what_a_policy_answers(client: LocalClient) -> None:
    fields = client.get("/openapi.json").json()["components"]["schemas"]["RankResponse"]
    assert {"policy", "propensity"} <= fields["properties"].keys()
    assert not {"policy", "propensity"} & {*fields["required"]}
    assert "by step" in fields["properties"]["policy"]["description"]
