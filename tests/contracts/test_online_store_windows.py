"""What every online store must do with old buckets, windows of them, and sums that leave 64 bits."""

import numpy as np
import pytest

from rosa_ray.errors import StoreError
from rosa_ray.features import VIEWS, CounterStates, FeatureConfig, concat_records, fold_records, merge_states
from rosa_ray.features.counting import counted_views, window_start
from rosa_ray.features.own_counters import CounterConfig
from rosa_ray.features.records import take_records
from rosa_ray.features.views import View
from rosa_ray.store import OnlineStore, StreamPosition
from rosa_ray.units import DAY_US, HOUR_US
from tests.contracts.stores import FEATURES, KEEP, MODEL, T0, VERSION, Open, columns_of
from tests.contracts.test_online_store_records import ANN, BOB, Records, require_counters, shown, take

OWN = FeatureConfig(counters=(CounterConfig(by=("user_id", "ad_id"), windows_h=(3, None)),))
KEPT_DAYS = 8
"""The longest window is a week, and a store is told to keep a day more."""


def drawn(seed: int, days: int, count: int = 400) -> Records:
    """Impressions and events of some days, in no order, of few users and ads."""
    rng = np.random.default_rng(seed)
    time_us = (T0 - rng.integers(0, days * DAY_US, count)).tolist()
    users, ads = rng.choice([ANN, BOB], count).tolist(), rng.integers(1, 5, count).tolist()
    clicks, waits = rng.integers(0, 2, count).tolist(), rng.integers(-3, 3, count).tolist()
    ids = [f"i{seed}-{row}" for row in range(count)]
    seen = columns_of([(f"e{seed}-{row}", ("ann", "bob")[row % 2], time) for row, time in enumerate(time_us)])
    together = concat_records([shown(list(zip(ids, users, ads, time_us, clicks, waits, strict=True))), seen])
    return take_records(together, rng.permutation(len(together["time_us"])))


def require_windows(store: OnlineStore, expected: CounterStates, newest_us: int, features: FeatureConfig) -> None:
    """Every window that ends lately, and the whole past, are read as of all buckets."""
    for view in counted_views(features):
        keys = np.r_[np.unique(expected[view.name].entity_key), 12345]
        for last in range(newest_us // HOUR_US - 25, newest_us // HOUR_US + 2, 5):
            ends, since = np.full(len(keys), last), window_start(view, last, features)
            right = expected[view.name].read(keys, ends, view.windows_hours)
            found = [store.read_counters(view.name, keys, bucket)[view.name] for bucket in (since, since - 30, None)]
            if view.entity == "user_key":
                of_users = [store.read_user(int(key)).counters[view.name] for key in keys]
                found.append(of_users[0].merge(*of_users[1:]))
            for held in found:
                np.testing.assert_array_equal(held.read(keys, ends, view.windows_hours), right)
            assert found[0].bucket.min(initial=last) >= since - 1


@pytest.mark.parametrize("seed", range(4))
def test_old_buckets_fall_out_and_windows_stay_what_they_were(open_: Open, seed: int) -> None:
    store = open_(features=OWN, counter_days=1, dedup_horizon_days=100)
    records, size = drawn(seed, days=50), 90
    for start in range(0, len(records["time_us"]), size):
        assert store.apply(take_records(records, slice(start, start + size))).late == 0
        so_far = take_records(records, slice(0, start + size))
        require_windows(store, fold_records(so_far, OWN), int(so_far["time_us"].max()), OWN)
    newest = int(records["time_us"].max()) // HOUR_US
    for view in ("item_events", "ad_impressions"):
        keys = np.unique(fold_records(records, OWN)[view].entity_key)
        rows = store.read_counters(view, keys)[view]
        past = rows.bucket == rows.bucket.min()
        assert past.sum() == len(keys)
        assert rows.bucket[~past].min() >= newest - KEPT_DAYS * 24 - 130


@pytest.mark.parametrize("days", [3, 60])
def test_a_long_log_is_loaded_as_its_late_buckets_and_its_sums(open_: Open, days: int) -> None:
    store, log = open_(counter_days=1, dedup_horizon_days=100), drawn(9, days)
    store.begin_load(VERSION, MODEL, KEEP)
    store.load_counters(VERSION, fold_records(log, FEATURES))
    store.activate(VERSION, MODEL)
    require_windows(store, fold_records(log, FEATURES), T0, FEATURES)
    later = shown([("new", ANN, 1, T0 + HOUR_US, 1, 2), ("late", ANN, 1, T0 + 1, 1, -1)])
    store.apply(later)
    require_windows(store, fold_records(concat_records([log, later]), FEATURES), T0 + 3 * HOUR_US, FEATURES)


def test_what_comes_late_for_a_bucket_that_fell_out_is_counted(open_: Open) -> None:
    store = open_(counter_days=1, dedup_horizon_days=100)
    rows = [("a", ANN, 1, T0 - 60 * DAY_US, 0, -1), ("b", ANN, 1, T0, 0, -1), ("c", ANN, 1, T0 - 50 * DAY_US, 1, -1)]
    for row in rows:
        assert store.apply(shown([row])).accepted == 1 + row[4]
    found = store.read_counters("ad_impressions", np.array([1]))["ad_impressions"]
    assert found.sums[:, :2].tolist() == [[2, 1], [1, 0]]
    assert found.bucket[1] == T0 // HOUR_US


def load_costs(store: OnlineStore, cost_micros: int) -> CounterStates:
    """Load one impression of a user and an ad that cost so much."""
    held = fold_records(shown([("first", ANN, 7, T0 - DAY_US, 0, -1)]), FEATURES)
    for counters in held.values():
        if len(counters.sums):
            counters.sums[:, -1] = cost_micros
    store.begin_load(VERSION, MODEL, KEEP)
    store.load_counters(VERSION, held)
    store.activate(VERSION, MODEL)
    return held


def test_a_batch_with_a_sum_that_leaves_64_bits_changes_nothing(store: OnlineStore) -> None:
    held = load_costs(store, 9_190_000_000_000_000_000)
    good = concat_records(
        [
            columns_of([(f"e{row}", "ann", T0 + row) for row in range(40)]),
            shown([(f"i{row}", ANN, 7, T0 + row, 1, -1) for row in range(40)]),
        ]
    )
    bad = {**good, "cost": np.where(np.arange(len(good["cost"])) // 4 == 15, 9e9, good["cost"])}
    for _ in range(2):
        with pytest.raises(StoreError, match=r"nothing of the batch is taken, since a sum of .* would leave 64 bits"):
            store.apply(bad, [StreamPosition("s", 5)])
    after = store.read_user(ANN)
    assert store.read_position("s") is None
    assert len(after.timeline["time_us"]) == len(after.counters["user_events"].bucket) == 0
    require_counters(store, {view: held[view] for view in ("ad_impressions", "user_impressions")})
    assert store.apply(good).accepted == len(good["time_us"])


def test_counters_that_leave_64_bits_are_not_loaded(store: OnlineStore) -> None:
    with pytest.raises(StoreError, match=r"a sum of .* would leave 64 bits"):
        load_costs(store, 2**63 - 1)


def test_sums_beyond_what_a_double_holds_are_exact(store: OnlineStore) -> None:
    held = load_costs(store, 2**62 + 1)
    amounts = np.r_[9e9, -4e9, 1e-6 * np.arange(1, 9), 3e8, 2.0**33, -1.0, -300.0, -5e9, 8e9, np.full(150, 9e9 + 1e-6)]
    rows = [(f"i{row}", ANN, 7, T0 + row % 30 * HOUR_US // 4, 0, -1) for row in range(len(amounts))]
    records = {**shown(rows), "cost": amounts, "bid": np.flip(amounts)}
    order = np.random.default_rng(0).permutation(len(amounts))
    for start in range(40):
        store.apply(take(records, order[start : start + 1]))
    store.apply(take(records, order[40:]))
    expected = merge_states(held, fold_records(records, FEATURES))
    assert expected["ad_impressions"].sums.max() > 2**62
    require_counters(store, {view: expected[view] for view in ("ad_impressions", "user_impressions")})


def test_all_windows_of_a_view_begin_at_its_start() -> None:
    assert window_start(VIEWS["user_events"], 1000, FEATURES) == 1000 - 167
    assert window_start(VIEWS["user_events"], 1000, FeatureConfig(bucket_minutes=15)) == 1000 - 4 * 168 + 1
    assert window_start(View("v", "events", "user_key", (None,)), 1000, FEATURES) == 1001
