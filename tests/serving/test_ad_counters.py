"""Cached readings of ads are what reading everything again gives."""

import numpy as np
import pytest

from rosa_ray.errors import StoreError
from rosa_ray.features import Counters, CounterStates, expected_cost, read_dense
from rosa_ray.features.views import CATALOGUE_KEYS
from rosa_ray.serving.ad_counters import KEPT_BUCKETS, AdCounters
from rosa_ray.units import HOUR_US, MINUTE_US
from tests.serving.conftest import NOW_US, World
from tests.synthetic import CONFIG


class Source:
    """The counters of a store, with a count of how many entities were read."""

    def __init__(self, counters: CounterStates) -> None:
        self.counters, self.asked, self.down = counters, 0, False

    def read(self, view: str, entity_keys: np.ndarray) -> CounterStates:
        if self.down:
            raise StoreError("store: down")
        self.asked += len(entity_keys)
        whole = self.counters[view]
        kept = np.isin(whole.entity_key, entity_keys)
        return {view: Counters(whole.entity_key[kept], whole.bucket[kept], whole.sums[kept])}


@pytest.fixture
def source(world: World) -> Source:
    return Source(dict(world.counters))


@pytest.fixture
def cache(world: World, source: Source) -> AdCounters:
    return AdCounters(CONFIG, source.read, ttl_s=1000)


def keys_of(world: World, places: np.ndarray) -> dict[str, np.ndarray]:
    return {name: getattr(world.model.catalogue, name)[places] for name in CATALOGUE_KEYS}


def requests(world: World, rows: np.ndarray, time_us: int) -> dict[str, np.ndarray]:
    columns = keys_of(world, rows)
    bid = np.linspace(0.01, 1, len(rows))
    return {**columns, "user_key": np.zeros(len(rows), np.int64), "time_us": np.full(len(rows), time_us), "bid": bid}


@pytest.mark.parametrize("hours_ago", [0, 5, 100])
def test_dense_and_costs_equal_a_direct_read(world: World, cache: AdCounters, hours_ago: int) -> None:
    time_us = NOW_US - hours_ago * HOUR_US
    for rows in (np.arange(5), np.array([3, 1, 29]), np.arange(30)[::-1]):
        dense, cost_states = cache.read(keys_of(world, rows), time_us)
        asked = requests(world, rows, time_us)
        whole = read_dense(world.counters, asked, CONFIG)
        blocks = np.split(whole, np.cumsum([len(_names(view)) for view in CONFIG.views])[:-1], axis=1)
        named = {view.name for view in cache.views}
        direct = [block for view, block in zip(CONFIG.views, blocks, strict=True) if view in named]
        assert dense.tobytes() == np.concatenate(direct, axis=1).tobytes()
        costs = expected_cost(cost_states, asked, CONFIG)
        assert costs.tobytes() == expected_cost(world.counters, asked, CONFIG).tobytes()


def test_an_ad_is_read_once_per_bucket(world: World, cache: AdCounters, source: Source) -> None:
    cache.read(keys_of(world, np.arange(10)), NOW_US)
    first = source.asked
    cache.read(keys_of(world, np.arange(10)), NOW_US + MINUTE_US)
    assert source.asked == first
    cache.read(keys_of(world, np.arange(10)), NOW_US + 2 * HOUR_US)
    assert source.asked == 2 * first


def test_only_events_in_closed_buckets_drop_readings(world: World, cache: AdCounters, source: Source) -> None:
    cache.read(keys_of(world, np.arange(3)), NOW_US)
    first = source.asked
    cache.forget(np.array([NOW_US]))
    cache.read(keys_of(world, np.arange(3)), NOW_US)
    assert source.asked == first
    cache.forget(np.array([NOW_US, NOW_US - 3 * HOUR_US]))
    cache.read(keys_of(world, np.arange(3)), NOW_US)
    assert source.asked == 2 * first


def test_old_readings_are_read_again(world: World, source: Source) -> None:
    cache = AdCounters(CONFIG, source.read, ttl_s=0)
    cache.read(keys_of(world, np.arange(3)), NOW_US)
    first = source.asked
    cache.read(keys_of(world, np.arange(3)), NOW_US)
    assert source.asked == 2 * first


def test_few_buckets_are_kept(world: World, cache: AdCounters) -> None:
    for hour in range(2 * KEPT_BUCKETS):
        cache.read(keys_of(world, np.arange(3)), NOW_US + hour * HOUR_US)
    assert len(cache._readings) == KEPT_BUCKETS


def test_what_is_known_is_still_read_when_the_store_is_down(world: World, cache: AdCounters, source: Source) -> None:
    known, _ = cache.read(keys_of(world, np.arange(3)), NOW_US)
    source.down = True
    again, _ = cache.read(keys_of(world, np.arange(3)), NOW_US)
    assert again.tobytes() == known.tobytes()
    with pytest.raises(StoreError):
        cache.read(keys_of(world, np.arange(4)), NOW_US)


def test_an_ad_whose_campaign_changed_is_read_again(world: World, cache: AdCounters, source: Source) -> None:
    ads = keys_of(world, np.arange(3))
    cache.read(ads, NOW_US)
    other = {**ads, "campaign_key": ads["campaign_key"][[1, 1, 2]]}
    assert ads["campaign_key"][0] != ads["campaign_key"][1]
    fresh = AdCounters(CONFIG, source.read, ttl_s=1000)
    for asked in (other, ads, other):
        (found, costs), (expected, whole) = cache.read(asked, NOW_US), fresh.read(asked, NOW_US)
        assert found.tobytes() == expected.tobytes()
        for view, counters in costs.items():
            assert counters.sums.tolist() == whole[view].sums.tolist()
        fresh = AdCounters(CONFIG, source.read, ttl_s=1000)


def test_an_ad_may_be_asked_about_twice(world: World, cache: AdCounters) -> None:
    twice, _ = cache.read(keys_of(world, np.array([3, 1, 3])), NOW_US)
    once, _ = cache.read(keys_of(world, np.array([3, 1])), NOW_US)
    assert twice.tobytes() == once[[0, 1, 0]].tobytes()


def test_readings_take_room_for_the_ads_that_were_asked_about(world: World, cache: AdCounters, source: Source) -> None:
    for places in (np.array([29]), np.arange(3), np.array([1, 29])):
        cache.read(keys_of(world, places), NOW_US)
    (readings,) = cache._readings.values()
    assert 4 <= len(readings.known) <= 8
    few = AdCounters(CONFIG, source.read, ttl_s=1000, most=3)
    whole, _ = cache.read(keys_of(world, np.arange(5)), NOW_US)
    for _ in range(2):
        assert few.read(keys_of(world, np.arange(5)), NOW_US)[0].tobytes() == whole.tobytes()


def _names(view: str) -> tuple[str, ...]:
    from rosa_ray.features import VIEWS

    return VIEWS[view].feature_names
