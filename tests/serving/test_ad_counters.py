"""Cached readings of ads are what reading everything again gives, and nobody waits for a second reading of them."""

import threading

import numpy as np
import pytest

from rosa_ray.errors import StoreError
from rosa_ray.features import Counters, CounterStates, RecordKind, expected_cost, fold_records, read_dense
from rosa_ray.features.records import records_of
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.serving.ad_counters import KEPT_BUCKETS, AdCounters
from rosa_ray.serving.refresher import Refresher
from rosa_ray.units import HOUR_US, MINUTE_US, SECOND_US
from tests.serving.background import Clock, Postponed
from tests.serving.conftest import NOW_US, World
from tests.synthetic import CONFIG


class Source:
    """The counters of a store, with a count of how many entities were read."""

    def __init__(self, counters: CounterStates) -> None:
        self.counters, self.asked, self.down = counters, 0, False
        self.keys: list[np.ndarray] = []

    def read(self, view: str, entity_keys: np.ndarray, since_bucket: int) -> CounterStates:
        if self.down:
            raise StoreError("store: down")
        self.asked += len(entity_keys)
        self.keys.append(entity_keys)
        whole = self.counters[view]
        kept = np.isin(whole.entity_key, entity_keys)
        return {view: Counters(whole.entity_key[kept], whole.bucket[kept], whole.sums[kept])}


@pytest.fixture
def source(world: World) -> Source:
    return Source(dict(world.counters))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(source: Source, clock: Clock) -> AdCounters:
    return AdCounters(CONFIG, source.read, ttl_s=60, stale_s=600, clock=clock)


def ads(world: World, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: getattr(world.model.catalogue, name)[rows] for name in CATALOGUE_KEYS}


def requests(world: World, rows: np.ndarray, time_us: int) -> dict[str, np.ndarray]:
    bid = np.linspace(0.01, 1, len(rows))
    user_key = np.zeros(len(rows), np.int64)
    return {**ads(world, rows), "user_key": user_key, "time_us": np.full(len(rows), time_us), "bid": bid}


def directly(world: World, cache: AdCounters, rows: np.ndarray, time_us: int) -> np.ndarray:
    whole = read_dense(world.counters, requests(world, rows, time_us), CONFIG)
    blocks = np.split(whole, np.cumsum([len(_names(view)) for view in CONFIG.views])[:-1], axis=1)
    named = {view.name for view in cache.views}
    return np.concatenate([block for view, block in zip(CONFIG.views, blocks, strict=True) if view in named], axis=1)


def test_an_ad_may_be_asked_about_twice(world: World, cache: AdCounters) -> None:
    rows = np.array([4, 2, 4, 4])
    assert cache.read(ads(world, rows), NOW_US)[0].tobytes() == directly(world, cache, rows, NOW_US).tobytes()
    assert len(cache._row_of) == 2


@pytest.mark.parametrize("hours_ago", [0, 5, 100])
def test_dense_and_costs_equal_a_direct_read(world: World, cache: AdCounters, hours_ago: int) -> None:
    time_us = NOW_US - hours_ago * HOUR_US
    for rows in (np.arange(5), np.array([3, 1, 29]), np.arange(30)[::-1]):
        dense, cost_states, odd = cache.read(ads(world, rows), time_us)
        assert dense.tobytes() == directly(world, cache, rows, time_us).tobytes()
        asked = requests(world, rows, time_us)
        costs = expected_cost(cost_states, asked, CONFIG)
        assert costs.tobytes() == expected_cost(world.counters, asked, CONFIG).tobytes()
        assert not odd


def test_an_ad_is_read_once_per_bucket(world: World, cache: AdCounters, source: Source) -> None:
    some = ads(world, np.arange(10))
    cache.read(some, NOW_US)
    first = source.asked
    cache.read(some, NOW_US + MINUTE_US)
    assert source.asked == first
    cache.read(some, NOW_US + 2 * HOUR_US)
    assert source.asked == 2 * first


def clicks(world: World, row: int, time_us: int) -> CounterStates:
    """One click on an ad."""
    told = {name: values for name, values in ads(world, np.array([row])).items() if name in ("ad_key", "campaign_key")}
    record = records_of(RecordKind.CLICK, **told, time_us=np.array([time_us]), shown_us=np.array([time_us]))
    return fold_records(record, CONFIG)


def test_a_record_in_an_open_bucket_drops_nothing(world: World, cache: AdCounters, source: Source) -> None:
    cache.read(ads(world, np.arange(3)), NOW_US)
    first = source.asked
    cache.forget(clicks(world, 1, NOW_US))
    cache.read(ads(world, np.arange(3)), NOW_US)
    assert source.asked == first


def test_a_late_record_drops_the_readings_of_its_ad_and_campaign_alone(
    world: World, cache: AdCounters, source: Source
) -> None:
    everything = ads(world, np.arange(30))
    cache.read(everything, NOW_US)
    source.keys.clear()
    cache.forget(clicks(world, 1, NOW_US - 3 * HOUR_US))
    cache.read(everything, NOW_US)
    campaign = everything["campaign_key"] == everything["campaign_key"][1]
    assert 1 <= campaign.sum() < 30
    again = set(np.concatenate(source.keys).tolist())
    assert again & set(everything["ad_key"].tolist()) == set(everything["ad_key"][campaign].tolist())


def test_what_a_record_changed_during_a_reading_is_read_again(
    world: World, cache: AdCounters, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    some, read = ads(world, np.arange(3)), source.read
    cache.read(some, NOW_US - 2 * HOUR_US)

    def interrupted(view: str, keys: np.ndarray, since_bucket: int) -> CounterStates:
        found = read(view, keys, since_bucket)
        cache.forget(clicks(world, 1, NOW_US - 5 * HOUR_US))
        return found

    monkeypatch.setattr(cache, "_read", interrupted)
    cache.read(some, NOW_US)
    monkeypatch.setattr(cache, "_read", read)
    source.keys.clear()
    cache.read(some, NOW_US)
    assert source.keys


def test_aged_readings_are_used_while_they_are_read_again_in_the_background(
    world: World, cache: AdCounters, source: Source, clock: Clock
) -> None:
    some, later = ads(world, np.arange(10)), Postponed()
    known, *_ = cache.read(some, NOW_US, later)
    source.counters = {name: Counters.empty(counters.sums.shape[1]) for name, counters in source.counters.items()}
    first, clock.now_s = source.asked, clock.now_s + 61
    for _ in range(3):
        assert cache.read(some, NOW_US, later)[0].tobytes() == known.tobytes()
    assert source.asked == first
    later.do()
    assert source.asked == 2 * first
    assert cache.read(some, NOW_US, later)[0].tobytes() != known.tobytes()
    assert source.asked == 2 * first


def test_only_ads_that_are_asked_about_are_read_again(
    world: World, cache: AdCounters, source: Source, clock: Clock
) -> None:
    later = Postponed()
    cache.read(ads(world, np.arange(30)), NOW_US, later)
    clock.now_s += 61
    source.keys.clear()
    cache.read(ads(world, np.arange(2)), NOW_US, later)
    later.do()
    wanted = ads(world, np.arange(2))
    assert set(np.concatenate(source.keys).tolist()) == {*np.concatenate(list(wanted.values())).tolist()}


def test_readings_older_than_the_bound_are_waited_for(
    world: World, cache: AdCounters, source: Source, clock: Clock
) -> None:
    later = Postponed()
    cache.read(ads(world, np.arange(3)), NOW_US, later)
    first, clock.now_s = source.asked, clock.now_s + 661
    cache.read(ads(world, np.arange(3)), NOW_US, later)
    assert source.asked == 2 * first
    assert not later.work


def test_without_a_background_aged_readings_are_read_at_once(
    world: World, cache: AdCounters, source: Source, clock: Clock
) -> None:
    cache.read(ads(world, np.arange(3)), NOW_US)
    first, clock.now_s = source.asked, clock.now_s + 61
    cache.read(ads(world, np.arange(3)), NOW_US)
    assert source.asked == 2 * first


def test_the_next_bucket_is_read_before_it_is_due(world: World, cache: AdCounters, source: Source) -> None:
    some, later = ads(world, np.arange(5)), Postponed()
    due_us = (NOW_US // HOUR_US + 1) * HOUR_US + CONFIG.settle_minutes * MINUTE_US
    cache.read(some, due_us - 60 * SECOND_US, later)
    assert not later.work
    cache.read(some, due_us - 10 * SECOND_US, later)
    later.do()
    read = source.asked
    dense, *_ = cache.read(some, due_us, later)
    assert source.asked == read
    assert dense.tobytes() == directly(world, cache, np.arange(5), due_us).tobytes()


def test_many_threads_read_what_one_does(world: World, source: Source) -> None:
    """While records throw readings away, and ads make room for each other."""
    cache = AdCounters(CONFIG, source.read, ttl_s=0.001, stale_s=0.001, most=20)
    refresher, wrong = Refresher(print), list[object]()

    def ask(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(150):
                rows = rng.choice(30, 5, replace=False)
                time_us = NOW_US - int(rng.integers(3)) * HOUR_US
                dense, *_ = cache.read(ads(world, rows), time_us, refresher.later)
                if dense.tobytes() != directly(world, cache, rows, time_us).tobytes():
                    wrong.append(rows)
                cache.forget(clicks(world, int(rows[0]), NOW_US - 3 * HOUR_US))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_few_buckets_are_kept(world: World, cache: AdCounters) -> None:
    for hour in range(2 * KEPT_BUCKETS):
        cache.read(ads(world, np.arange(3)), NOW_US + hour * HOUR_US)
    assert len(cache._readings) == KEPT_BUCKETS


def test_more_ads_than_there_is_room_for_start_from_nothing(world: World, source: Source) -> None:
    cache = AdCounters(CONFIG, source.read, ttl_s=60, most=12)
    for start in (0, 10, 20, 0):
        rows = np.arange(start, start + 10)
        assert cache.read(ads(world, rows), NOW_US)[0].tobytes() == directly(world, cache, rows, NOW_US).tobytes()
        assert len(cache._row_of) <= 12


def test_without_the_store_what_is_known_is_read_and_else_an_ad_never_shown(
    world: World, cache: AdCounters, source: Source
) -> None:
    known, *_ = cache.read(ads(world, np.arange(3)), NOW_US)
    source.down = True
    assert cache.read(ads(world, np.arange(3)), NOW_US)[0].tobytes() == known.tobytes()
    with pytest.raises(StoreError):
        cache.read(ads(world, np.arange(4)), NOW_US)
    never = AdCounters(CONFIG, lambda view, keys, since: {}, 60).read(ads(world, np.arange(3, 4)), NOW_US)[0]
    for time_us in (NOW_US, NOW_US + 2 * HOUR_US):
        held, *_ = cache.read_held(ads(world, np.arange(4)), time_us)
        assert held[:3].tobytes() == known.tobytes()
        assert held[3:].tobytes() == never.tobytes()


@pytest.mark.parametrize("impossible", [-1, 1 << 60])
def test_impossible_sums_are_missing_and_said(world: World, cache: AdCounters, source: Source, impossible: int) -> None:
    some = ads(world, np.arange(3))
    whole = source.counters["ad_impressions"]
    wrong = whole.sums.copy()
    wrong[whole.entity_key == some["ad_key"][1]] = impossible
    source.counters["ad_impressions"] = Counters(whole.entity_key, whole.bucket, wrong)
    dense, _, odd = cache.read(some, NOW_US)
    assert odd
    right = directly(world, cache, np.arange(3), NOW_US)
    assert dense[[0, 2]].tobytes() == right[[0, 2]].tobytes()
    assert (dense[1] != right[1]).any()
    assert not np.isinf(dense).any()
    assert not cache.read(ads(world, np.array([0, 2])), NOW_US)[2]


def _names(view: str) -> tuple[str, ...]:
    from rosa_ray.features import VIEWS

    return VIEWS[view].feature_names
