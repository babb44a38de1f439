"""Ads that change under a running service: new, repriced, paused, targeted, and on every replica."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rosa_ray.errors import StoreError
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.live_ads import LiveAds
from rosa_ray.serving.store_link import StoreLink
from rosa_ray.store import OnlineStore
from tests.serving.client import LocalClient
from tests.serving.conftest import NOW_US, World, client_of
from tests.synthetic import ads_table

NOW = datetime.fromtimestamp(NOW_US / 1e6, UTC)
NEW = {"ad_id": "new", "item_id": "i1", "campaign_id": "k1", "category": "c1", "bid": 0.5, "price": 40.0}


def at(**later: float) -> str:
    return (NOW + timedelta(**later)).isoformat()


def ad(valid_from: str | None = None, **terms: Any) -> dict[str, Any]:
    return {"ad_id": "a1", "valid_from": valid_from or at(hours=-1), **terms}


def tell(client: LocalClient, *ads: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/ads", json={"ads": [*ads]})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["rejected"] == []
    return body


def rank(client: LocalClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/rank", json={"user_id": "u1", "top_k": 100, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["degraded"] == []
    return found


def ids_of(answer: dict[str, Any]) -> set[str]:
    return {one["ad_id"] for one in answer["ads"]}


def wait_until(holds: Callable[[], bool], seconds: float = 1.0) -> None:
    """The promise of the interface: within a second."""
    until_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.02)


@pytest.fixture
def replicas(world: World, store_path: Path) -> list[LocalClient]:
    """Three replicas of a service, each with its own catalogue."""
    return [client_of(world.scorer(store_path)) for _ in range(3)]


def test_a_new_ad_is_ranked_at_once_and_within_a_second_on_every_replica(replicas: list[LocalClient]) -> None:
    assert tell(replicas[0], NEW | {"valid_from": at(minutes=-1)})["accepted"] == 1
    assert "new" in ids_of(rank(replicas[0]))
    for replica in replicas:
        wait_until(lambda replica=replica: "new" in ids_of(rank(replica)))
    one, other, third = (rank(replica, candidates=["new", "a1"])["ads"] for replica in replicas)
    assert one == other == third


def test_a_paused_ad_is_shown_nowhere_a_second_later(replicas: list[LocalClient]) -> None:
    tell(replicas[0], ad(paused=True))
    for replica in replicas:
        wait_until(lambda replica=replica: "a1" not in ids_of(rank(replica)))
        answer = rank(replica, candidates=["a1", "a2"])
        assert (ids_of(answer), answer["paused_candidates"]) == ({"a2"}, ["a1"])
    alone = replicas[1].post("/rank", json={"user_id": "u1", "candidates": ["a1"]})
    assert (alone.status_code, alone.json()["detail"]) == (422, "none of the 1 candidates can be shown: 1 paused")
    tell(replicas[2], ad(at(minutes=-5), paused=False))
    for replica in replicas:
        wait_until(lambda replica=replica: "a1" in ids_of(rank(replica)))


def test_an_ad_that_the_model_did_not_learn_from_is_named_with_what_it_knows(client: LocalClient) -> None:
    since = at(minutes=-1)
    odd = {**NEW, "ad_id": "odd", "item_id": None, "campaign_id": "nobody", "valid_from": since}
    tell(client, NEW | {"valid_from": since}, odd)
    answer = rank(client, candidates=["new", "odd", "a1"])
    assert answer["new_ads"] == {"new": ["item", "category", "campaign"], "odd": ["category"]}
    assert rank(client, candidates=["a1"])["new_ads"] == {}


def test_an_unseen_ad_scores_as_its_item_category_and_campaign_do(client: LocalClient) -> None:
    """With the terms of an ad that the model knows and that nobody was shown, it has the same score."""
    known = next(row for row in ads_table().to_pylist() if row["ad_id"] == "a1")
    tell(client, {**known, "ad_id": "twin", "valid_from": at(hours=-1)})
    tell(client, {**known, "ad_id": "other", "category": "nothing like it", "valid_from": at(hours=-1)})
    long_ago = {"time": (NOW - timedelta(days=400)).isoformat()}
    found = {one["ad_id"]: one for one in rank(client, candidates=["a1", "twin", "other"], context=long_ago)["ads"]}
    heads = ("p_ctr", "p_cvr", "value", "expected_cost", "score")
    known_scores, twin, other = ([found[name][head] for head in heads] for name in ("a1", "twin", "other"))
    assert twin == pytest.approx(known_scores, rel=1e-5)
    assert other != pytest.approx(known_scores, rel=1e-3)


def test_price_and_bid_are_as_of_the_request(client: LocalClient) -> None:
    before = {at: rank(client, candidates=["a1"], context={"time": at})["ads"] for at in (at(hours=-2), at(hours=-1))}
    tell(client, ad(at(hours=-1), bid=0.9, price=400.0))
    after = {at: rank(client, candidates=["a1"], context={"time": at})["ads"] for at in before}
    assert after[at(hours=-2)] == before[at(hours=-2)]
    assert after[at(hours=-1)][0]["value"] > 5 * before[at(hours=-1)][0]["value"]
    assert after[at(hours=-1)][0]["expected_cost"] > before[at(hours=-1)][0]["expected_cost"]


def test_a_change_may_be_told_before_it_holds(client: LocalClient, scorer: HybridScorer) -> None:
    tell(client, ad(at(days=3), paused=True))
    assert "a1" in ids_of(rank(client))
    scorer.now_us = lambda: NOW_US + 4 * 86_400_000_000
    assert "a1" not in ids_of(rank(client))


def test_ads_for_some_devices_and_regions_are_shown_there_alone(client: LocalClient) -> None:
    tell(client, ad(devices=["mobile", "tablet"]), {**ad(regions=["north"]), "ad_id": "a2"})
    shown = {
        context: ids_of(rank(client, context=dict(zip(("device", "region"), context, strict=True))))
        for context in (("mobile", "north"), ("tablet", None), ("desktop", "north"), (None, "south"))
    }
    assert [{"a1", "a2"} & ids for ids in shown.values()] == [{"a1", "a2"}, {"a1"}, {"a2"}, set()]
    answer = rank(client, candidates=["a1", "a2", "a3"], context={"device": "desktop"})
    assert (ids_of(answer), answer["off_target_candidates"]) == ({"a3"}, ["a1", "a2"])
    tell(client, ad(at(minutes=-1), devices=None))
    assert "a1" in ids_of(rank(client))


def test_an_ad_without_a_bid_is_unknown_until_it_has_one(client: LocalClient) -> None:
    half = {name: value for name, value in NEW.items() if name != "bid"} | {"valid_from": at(minutes=-2)}
    tell(client, half)
    assert rank(client, candidates=["new", "a1"])["unknown_candidates"] == ["new"]
    assert client.get("/model").json()["catalogue"]["incomplete"] == 1
    tell(client, {"ad_id": "new", "valid_from": at(minutes=-1), "bid": 0.25})
    assert rank(client, candidates=["new", "a1"])["unknown_candidates"] == []


def test_an_impression_in_the_same_batch_counts_for_the_campaign_of_its_new_ad(
    client: LocalClient, scorer: HybridScorer
) -> None:
    shown = {
        "type": "impression",
        "impression_id": "m1",
        "user_id": "u1",
        "ad_id": "new",
        "request_time": at(minutes=-1),
        "cost": 0.1,
    }
    new = {"type": "ad", **NEW, "campaign_id": "k77", "valid_from": at(hours=-1)}
    answer = client.post("/events", json={"events": [shown, new]}).json()
    assert (answer["accepted"], answer["rejected"]) == (2, [])
    later = {"time": (NOW + timedelta(hours=2)).isoformat()}
    scorer.now_us = lambda: NOW_US + 8_000_000_000
    (found,) = rank(client, candidates=["new"], context=later)["ads"]
    assert found["expected_cost"] < 0.5
    assert scorer.ads._link.ask(lambda store: store.read_counters("campaign_impressions", _key("k77")))[
        "campaign_impressions"
    ].sums[:, 0].tolist() == [1]


def test_only_records_of_ads_are_taken_as_ads(client: LocalClient) -> None:
    event = {"type": "event", "event_id": "e1", "user_id": "u1", "item_id": "i1", "behavior": "view"}
    answer = client.post("/ads", json={"ads": [{**event, "event_time": at()}, ad(price=3.0), 7]})
    assert answer.status_code == 207
    assert [one["index"] for one in answer.json()["rejected"]] == [0, 2]
    assert client.post("/ads", json=ad(price=4.0)).json()["accepted"] == 1
    assert client.post("/ads", json={"ads": []}).status_code == 422


def test_an_ad_is_told_with_its_budget_and_whether_it_is_shown(client: LocalClient) -> None:
    plain = next(row for row in ads_table().to_pylist() if row["ad_id"] == "a1")
    before = client.get("/ads/a1").json()
    assert (before["shown"], before["trained"], before["terms"]["price"]) == (True, True, plain["price"])
    tell(client, ad(budget=100, valid_until=at(hours=-0.5), price=3.0), ad(at(days=1), valid_until=None))
    after = client.get("/ads/a1").json()
    assert after["shown"] is False
    assert after["terms"] == before["terms"] | {"budget": 100.0, "price": 3.0, "valid_until": at(hours=-0.5)}
    tell(client, NEW | {"ad_id": "x/y z", "valid_from": at(days=2)})
    later = client.get("/ads/x/y%20z").json()
    assert (later["shown"], later["trained"], later["terms"]["bid"]) == (False, False, 0.5)
    assert client.get("/ads/nobody").status_code == 404


class Sometimes:
    """A store that can be away."""

    def __init__(self, store: OnlineStore) -> None:
        self.store, self.away, self.closed = store, False, 0

    def open(self) -> Any:
        if self.away:
            raise StoreError("store: away")
        return self

    def read_ads(self, after: int, limit: int) -> Any:
        return self.open() and self.store.read_ads(after, limit)

    def read_counters(self, view: str, keys: np.ndarray, since_bucket: int) -> Any:
        return self.store.read_counters(view, keys, since_bucket)

    def close(self) -> None:
        self.closed += 1


def test_a_catalogue_outlives_its_store_and_says_how_old_it_is(
    world: World, store_path: Path, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = world.scorer(store_path)
    scorer.ads.close()
    store = Sometimes(scorer.ads._link._open_store())
    live = LiveAds(store.open, LiveCatalogue(ads_table()), scorer.first_pass, poll_ms=200, retry_s=0.0)
    tell(client, ad(price=3.0))
    assert live.ask() == 0.2
    assert live.describe() | {"heard_s": 0} == {"ads": 30, "incomplete": 0, "changes": 1, "heard_s": 0}
    store.away = True
    assert live.ask() == 0.0
    assert (live.describe()["failure"], store.closed, live.stale) == ("store: away", 1, False)
    monkeypatch.setattr("rosa_ray.serving.live_ads.STALE_S", 0.0)
    assert live.stale
    scorer.ads = live
    answer = client_of(scorer).post("/rank", json={"user_id": "u1"}).json()
    assert (answer["degraded"], len(answer["ads"])) == (["ads"], 20)
    store.away = False
    tell(client, ad(at(), price=5.0))
    live.ask()
    assert "failure" not in live.describe()
    assert live.catalogue.changed == 2


def test_a_store_that_was_made_anew_is_read_from_its_beginning(world: World, tmp_path: Path, store_path: Path) -> None:
    told = world.scorer(store_path)
    tell(client_of(told), NEW | {"valid_from": at(hours=-1)}, ad(price=3.0))
    scorer = world.scorer(store_path)
    scorer.ads.close()
    live = LiveAds(scorer.ads._link._open_store, LiveCatalogue(ads_table()), scorer.first_pass, poll_ms=200)
    live.catch_up()
    assert live.catalogue.number("new") is not None
    live._link = StoreLink(_empty_store(world, tmp_path), retry_s=0.0)
    live.catch_up()
    numbers = live.catalogue.active(NOW_US)
    assert "new" not in live.catalogue.ids(numbers)
    prices = live.catalogue.price[live.catalogue.rows_at(numbers, NOW_US)]
    assert sorted(prices.tolist()) == sorted(ads_table()["price"].to_pylist())


def test_the_thread_ends_with_its_scorer(world: World, store_path: Path) -> None:
    import gc
    import threading

    before = sum(thread.name == "live-ads" for thread in threading.enumerate())
    scorer = world.scorer(store_path, ads_poll_ms=10)
    assert sum(thread.name == "live-ads" for thread in threading.enumerate()) >= 1
    del scorer
    gc.collect()
    wait_until(lambda: sum(thread.name == "live-ads" for thread in threading.enumerate()) <= before, 3.0)


def _empty_store(world: World, tmp_path: Path) -> Callable[[], OnlineStore]:
    from rosa_ray.store import StoreConfig, open_store

    features = world.features
    config = StoreConfig(path=str(tmp_path / "anew.db"))
    return lambda: open_store(config, features.config, create=True)


def _key(name: str) -> np.ndarray:
    from rosa_ray.schema import hash_id

    return np.array([hash_id(name)])
