"""Cached readings of own counters are what reading everything again gives; what a request says decides them."""

from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import StoreError
from rosa_ray.features import Counters, CounterStates, counting_fingerprint, read_dense
from rosa_ray.features.counting import read_views
from rosa_ray.schema import MISSING_KEY, hash_id
from rosa_ray.serving.ad_counters import KEPT_BUCKETS
from rosa_ray.serving.assembly import ServiceSettings, build_scorer
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.hybrid_scorer import HybridScorer
from rosa_ray.serving.request_counters import RequestCounters, asked_columns
from rosa_ray.store import StoreConfig, StoreVersion, open_store
from rosa_ray.units import HOUR_US, MINUTE_US
from tests.own_counters import FEATURES, OwnWorld, own_world
from tests.serving.background import Clock, Postponed
from tests.serving.client import LocalClient
from tests.serving.conftest import NOW_US, candidates_of, client_of, write_world_bundle
from tests.synthetic import CONFIG


class Source:
    """The counters of a store, with a count of how many entities were read."""

    def __init__(self, counters: CounterStates) -> None:
        self.counters, self.asked, self.down = counters, 0, False

    def read(self, view: str, entity_keys: np.ndarray, since_bucket: int) -> CounterStates:
        if self.down:
            raise StoreError("store: down")
        assert MISSING_KEY not in entity_keys
        self.asked += len(entity_keys)
        whole = self.counters[view]
        kept = np.isin(whole.entity_key, entity_keys)
        return {view: Counters(whole.entity_key[kept], whole.bucket[kept], whole.sums[kept])}


@pytest.fixture(scope="module")
def own() -> OwnWorld:
    return own_world()


@pytest.fixture
def source(own: OwnWorld) -> Source:
    return Source(own.counters)


def candidates(own: OwnWorld, rows: slice) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in own.shown.items() if values.dtype == np.int64}


def test_only_what_the_catalogue_does_not_tell_is_read_here(source: Source) -> None:
    assert [view.name for view in RequestCounters(FEATURES, source.read, 100).views] == [
        "impressions(ad_id,request.place)",
        "impressions(request.page,device,category)",
        "impressions(user_id,item_id)",
        "impressions(region)",
        "events(user_id,category)",
    ]
    assert asked_columns(FEATURES) == ("request.place", "request.page", "device_key", "region_key")
    assert not RequestCounters(CONFIG, source.read, 100).views


@pytest.mark.parametrize("hours_ago", [0, 30, 100])
def test_readings_equal_a_direct_read(own: OwnWorld, source: Source, hours_ago: int) -> None:
    cache, time_us = RequestCounters(FEATURES, source.read, ttl_s=1000), NOW_US - hours_ago * HOUR_US
    for rows in (slice(0, 50), slice(20, 90), slice(0, 50)):
        asked = candidates(own, rows)
        moment = {**asked, "time_us": np.full(len(asked["ad_key"]), time_us)}
        direct = read_views(cache.views, own.counters, moment, FEATURES)
        assert cache.read(asked, time_us)[0].tobytes() == direct.tobytes()


def counted(cache: RequestCounters, asked: dict[str, np.ndarray], time_us: int) -> CounterStates:
    """Something of every entity of these candidates at a moment."""
    bucket = np.full(len(asked["ad_key"]), time_us // HOUR_US)
    return {
        view.name: Counters.fold(view.keys(asked), bucket, np.ones((len(bucket), len(view.measures)), np.int64))
        for view in cache.views
    }


def test_aged_readings_are_used_while_they_are_read_again(own: OwnWorld, source: Source) -> None:
    clock, later = Clock(), Postponed()
    cache = RequestCounters(FEATURES, source.read, ttl_s=60, stale_s=600, clock=clock)
    asked = candidates(own, slice(0, 40))
    known, _ = cache.read(asked, NOW_US, later)
    first, clock.now_s = source.asked, clock.now_s + 61
    assert cache.read(asked, NOW_US, later)[0].tobytes() == known.tobytes()
    assert source.asked == first
    later.do()
    assert source.asked == 2 * first
    clock.now_s += 661
    cache.read(asked, NOW_US, later)
    assert source.asked == 3 * first


def test_impossible_sums_are_missing_and_said(own: OwnWorld, source: Source) -> None:
    cache, asked = RequestCounters(FEATURES, source.read, ttl_s=60), candidates(own, slice(0, 40))
    name = cache.views[0].name
    whole = source.counters[name]
    source.counters = {**source.counters, name: Counters(whole.entity_key, whole.bucket, -whole.sums)}
    dense, odd = cache.read(asked, NOW_US)
    assert odd
    assert not np.isinf(dense).any()


def test_an_entity_is_read_once_per_bucket_until_a_record_changes_it(own: OwnWorld, source: Source) -> None:
    cache, asked = RequestCounters(FEATURES, source.read, ttl_s=1000), candidates(own, slice(0, 40))
    cache.read(asked, NOW_US)
    first = source.asked
    cache.read(asked, NOW_US + MINUTE_US)
    cache.forget(counted(cache, asked, NOW_US))
    cache.read(asked, NOW_US)
    assert source.asked == first
    cache.forget(counted(cache, asked, NOW_US - 3 * HOUR_US))
    cache.read(asked, NOW_US)
    assert source.asked == 2 * first
    for hour in range(2 * KEPT_BUCKETS):
        cache.read(asked, NOW_US + hour * HOUR_US)
    assert len(cache._buckets) == KEPT_BUCKETS


def test_what_was_asked_about_last_is_kept(own: OwnWorld, source: Source) -> None:
    cache, asked = RequestCounters(FEATURES, source.read, ttl_s=1000, most=60), candidates(own, slice(0, 10))
    cache.read(asked, NOW_US)
    first = source.asked
    for start in range(10, 200, 10):
        cache.read(candidates(own, slice(start, start + 10)), NOW_US)
        before = source.asked
        cache.read(candidates(own, slice(start, start + 10)), NOW_US)
        assert source.asked == before
    (readings,) = cache._buckets.values()
    assert len(readings) == 60
    before = source.asked
    cache.read(asked, NOW_US)
    assert 0 < source.asked - before <= first


def test_old_readings_are_read_again_and_known_ones_without_the_store(own: OwnWorld, source: Source) -> None:
    old = RequestCounters(FEATURES, source.read, ttl_s=0)
    cache, asked = RequestCounters(FEATURES, source.read, ttl_s=1000), candidates(own, slice(0, 10))
    old.read(asked, NOW_US)
    first = source.asked
    old.read(asked, NOW_US)
    assert source.asked == 2 * first
    known, _ = cache.read(asked, NOW_US)
    source.down = True
    assert cache.read(asked, NOW_US)[0].tobytes() == known.tobytes()
    assert cache.read_held(candidates(own, slice(0, 11)), NOW_US)[0][:10].tobytes() == known.tobytes()
    with pytest.raises(StoreError):
        cache.read(candidates(own, slice(0, 11)), NOW_US)


@pytest.fixture(scope="module")
def own_scorer(own: OwnWorld, tmp_path_factory: pytest.TempPathFactory) -> HybridScorer:
    home = tmp_path_factory.mktemp("own")
    bundle, where = write_world_bundle(home, own.state), StoreConfig(path=str(home / "store.db"))
    with open_store(where, FEATURES, create=True) as store:
        version = StoreVersion(counting_fingerprint(FEATURES), NOW_US)
        store.begin_load(version, "m", 64)
        store.load_counters(version, own.counters)
        store.activate(version, "m")
    scorer = build_scorer(ServiceSettings(str(bundle), where, ServingConfig(rule="online")))
    scorer.now_us = lambda: NOW_US
    return scorer


def rank(client: LocalClient, **context: object) -> dict[str, float]:
    answer = client.post("/rank", json={"user_id": "u1", "candidates": ["a1", "a2", "a3"], "context": context})
    assert answer.status_code == 200, answer.text
    return {ad["ad_id"]: ad["p_ctr"] for ad in answer.json()["ads"]}


def test_a_ranking_reads_the_counters_of_what_the_request_says(
    own: OwnWorld, own_scorer: HybridScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    score = own_scorer._scorer.score

    async def watched(histories: object, candidates: object, dense: np.ndarray) -> object:
        seen.append(dense)
        return await score(histories, candidates, dense)  # type: ignore[arg-type]

    monkeypatch.setattr(own_scorer._scorer, "score", watched)
    rank(client_of(own_scorer), device="phone", region="g1", columns={"place": "top", "page": "search"})
    said = {"device_key": "phone", "region_key": "g1", "request.place": "top", "request.page": "search"}
    asked = {
        **candidates_of(own_scorer.model, ["a1", "a2", "a3"]).keys,
        **{name: np.full(3, hash_id(value)) for name, value in said.items()},
        "user_key": np.full(3, hash_id("u1")),
        "time_us": np.full(3, NOW_US),
    }
    assert seen[0].tobytes() == read_dense(own.counters, asked, FEATURES).tobytes()


def test_without_a_store_own_counters_read_nothing(own: OwnWorld, own_scorer: HybridScorer, tmp_path: Path) -> None:
    scorer = build_scorer(
        ServiceSettings(
            str(own_scorer.model.bundle.path), StoreConfig(path=str(tmp_path / "none.db")), ServingConfig(rule="online")
        )
    )
    scorer.now_us = lambda: NOW_US
    answer = client_of(scorer).post("/rank", json={"user_id": "u1", "candidates": ["a1"], "context": {"device": "x"}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] == ["store"]
