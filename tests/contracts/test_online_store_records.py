"""What every online store must do with impressions, clicks and conversions, silent users and several writers."""

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features import (
    CounterStates,
    RecordKind,
    concat_records,
    fold_records,
    impression_records,
    record_keys,
    records_of,
)
from rosa_ray.schema import hash_id
from rosa_ray.store import OnlineStore, StoreVersion, StreamPosition, TimelineBlock
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US
from tests.contracts.stores import (
    FEATURES,
    KEEP,
    MODEL,
    T0,
    VERSION,
    Open,
    columns_of,
    entity_part,
    load,
    require_equal_counters,
    require_one_pass,
)

Records = dict[str, np.ndarray]
ANN, BOB = hash_id("ann"), hash_id("bob")
EXTREMES = (-(2**63), -(2**63) + 1, -1, 1, 2**53 + 1, 2**63 - 2, 2**63 - 1)


def shown(rows: list[tuple[str, int, int, int, int, int]]) -> Records:
    """Records of impressions (id, user, ad, time, click, hours to the conversion or -1)."""
    ids, user, ad, time, click, wait = zip(*rows, strict=True)
    wait_us = np.array(wait) * HOUR_US
    return impression_records(
        {
            "impression_id": np.array(ids, object),
            "user_key": np.array(user, np.int64),
            "ad_key": np.array(ad, np.int64),
            "campaign_key": np.array(ad, np.int64) // 2,
            "time_us": np.array(time, np.int64),
            "conversion_time_us": np.array(time, np.int64) + wait_us,
            "click": np.array(click, np.int8),
            "conversion": (np.array(wait) >= 0).astype(np.int8),
            "bid": 0.5 + np.array(click) / 3,
            "cost": np.full(len(rows), 1 / 7),
        }
    )


def take(records: Records, rows: np.ndarray | list[int]) -> Records:
    return {name: values[np.array(rows, np.int64)] for name, values in records.items()}


def require_counters(store: OnlineStore, expected: CounterStates) -> None:
    for view, counters in expected.items():
        keys = np.unique(counters.entity_key)
        require_equal_counters(store.read_counters(view, keys)[view], counters)
        if view.startswith("user_"):
            for key in keys:
                found = store.read_user(int(key)).counters[view]
                require_equal_counters(found, entity_part(counters, np.array([key])))


_IMPRESSION = st.tuples(
    st.sampled_from(EXTREMES),
    st.sampled_from(EXTREMES),
    st.integers(0, 140).map(lambda step: T0 + step * 59 * MINUTE_US),
    st.integers(0, 1),
    st.integers(-3, 9),
)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), rows=st.lists(_IMPRESSION, max_size=12), events=st.integers(0, 8))
def test_records_in_any_order_doubled_and_cut_are_one_pass(
    open_fresh: Callable[[], list[OnlineStore]], data: st.DataObject, rows: list[tuple[int, ...]], events: int
) -> None:
    log = [columns_of([(f"i{n}", "ann", T0 + n * HOUR_US) for n in range(events)])]
    if rows:
        log.append(shown([(f"i{index}", *row[:4], row[4]) for index, row in enumerate(rows)]))
    records = concat_records(log)
    count = len(records["kind"])
    again = data.draw(st.lists(st.integers(0, count - 1), max_size=10)) if count else []
    order = data.draw(st.permutations([*range(count), *again]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    for store in open_fresh():
        results = [
            store.apply(take(records, order[low:high]))
            for low, high in zip([0, *cuts], [*cuts, len(order)], strict=True)
        ]
        assert sum(result.accepted for result in results) == count
        assert sum(result.duplicates for result in results) == len(again)
        require_counters(store, fold_records(records, FEATURES))
        store.close()


def test_a_conversion_may_come_before_its_impression(store: OnlineStore) -> None:
    records = shown([("i1", ANN, 4, T0, 1, 30)])
    impression, click, conversion = ([row] for row in range(3))
    assert store.apply(take(records, conversion)).accepted == 1
    assert store.read_user(ANN).counters["user_impressions"].sums.tolist() == [[0, 0, 1, 0, 0]]
    assert store.apply(take(records, impression + click)).user_keys.tolist() == [ANN]
    found = store.read_user(ANN).counters["user_impressions"]
    assert found.bucket.tolist() == [T0 // HOUR_US, (T0 + 30 * HOUR_US) // HOUR_US]
    assert found.sums.tolist() == [[1, 1, 0, 833_333, 142_857], [0, 0, 1, 0, 0]]


def test_kinds_with_the_same_id_do_not_collide(store: OnlineStore) -> None:
    records = concat_records([shown([("x", ANN, 4, T0, 1, 0)]), columns_of([("x", "ann", T0)])])
    assert store.apply(records).accepted == 4
    assert store.apply(records).duplicates == 4
    require_one_pass(store, [("x", "ann", T0)])


def test_feedback_leaves_the_timeline_alone(store: OnlineStore) -> None:
    store.apply(concat_records([shown([("i1", ANN, 4, T0, 1, 1)]), columns_of([("e1", "ann", T0)])]))
    assert store.read_user(ANN).timeline["event_id"].tolist() == ["e1"]


def test_lateness_is_of_the_records_own_time(store: OnlineStore) -> None:
    store.apply(columns_of([("old", "bob", T0 - 8 * DAY_US)]))
    store.apply(columns_of([("new", "bob", T0)]))
    early = shown([("i1", ANN, 4, T0 - 8 * DAY_US, 1, 48)])
    result = store.apply(early)
    assert (result.accepted, result.late, result.late_rows.tolist()) == (1, 2, [0, 1])
    assert store.read_user(ANN).counters["user_impressions"].sums.tolist() == [[0, 0, 1, 0, 0]]


def test_extreme_keys_are_kept_apart(store: OnlineStore) -> None:
    rows = [(f"e{index}", f"user-{index}", T0 + index) for index in range(len(EXTREMES))]
    records = columns_of(rows)
    keys = np.array(EXTREMES, np.int64)
    records |= {"user_key": keys, "item_key": keys[::-1], "category_key": keys}
    store.apply(records)
    require_counters(store, fold_records(records, FEATURES))
    for index, key in enumerate(EXTREMES):
        timeline = store.read_user(key).timeline
        assert (timeline["event_id"].tolist(), timeline["item_key"].tolist()) == ([f"e{index}"], [EXTREMES[-1 - index]])


def test_large_sums_are_exact(store: OnlineStore) -> None:
    records = shown([(f"i{index}", ANN, 4, T0, 0, -1) for index in range(3)])
    records["bid"] = np.array([5e9 + 1e-6, 5e9, 3e-6])
    store.apply(records)
    assert store.read_user(ANN).counters["user_impressions"].sums[0, 3] == 2 * 5 * 10**15 + 1 + 3


def test_positions_of_several_streams_move_together(store: OnlineStore) -> None:
    records = columns_of([("e1", "ann", T0)])
    store.apply(records, [StreamPosition("events-0", 17), StreamPosition("events-1", 2**62)])
    assert (store.read_position("events-0"), store.read_position("events-1")) == (17, 2**62)
    store.apply(records, [StreamPosition("events-1", 5)])
    assert (store.read_position("events-0"), store.read_position("events-1")) == (17, 5)


def test_a_large_batch_is_one_pass(store: OnlineStore) -> None:
    rows = [(f"e{index:04d}", f"user-{index % 7}", T0 + index % 97 * MINUTE_US) for index in range(1200)]
    result = store.apply(columns_of([*rows, *rows[:200]]))
    assert (result.accepted, result.duplicates) == (1200, 200)
    require_one_pass(store, rows)


def test_silent_users_are_removed(open_: Open) -> None:
    store = open_(user_ttl_days=2)
    old = concat_records([columns_of([("e1", "ann", T0)]), shown([("i1", ANN, 4, T0, 1, 0)])])
    store.apply(old)
    store.apply(columns_of([("e2", "bob", T0 + 2 * DAY_US)]))
    assert len(store.read_user(ANN).timeline["time_us"]) == 1
    store.apply(columns_of([("e3", "bob", T0 + 2 * DAY_US + 1)]))
    record = store.read_user(ANN)
    assert (len(record.timeline["time_us"]), record.states) == (0, None)
    assert all(len(counters.bucket) == 0 for counters in record.counters.values())
    assert store.read_user(BOB).timeline["event_id"].tolist() == ["e2", "e3"]
    require_counters(store, {"ad_impressions": fold_records(old, FEATURES)["ad_impressions"]})
    assert not store.forget_user(ANN)


def test_a_loaded_user_is_removed_when_silent_and_kept_when_heard_of(open_: Open) -> None:
    store = open_(user_ttl_days=3)
    load(store, [("e1", "ann", T0 - DAY_US), ("e2", "bob", T0)])
    store.activate(VERSION, MODEL)
    store.apply(shown([("i1", BOB, 4, T0 + 2 * DAY_US + 1, 0, -1)]))
    assert len(store.read_user(ANN).timeline["time_us"]) == 0
    store.apply(columns_of([("e3", "cid", T0 + 5 * DAY_US)]))
    assert len(store.read_user(BOB).timeline["time_us"]) == 1


def test_many_silent_users_go_a_few_at_a_time(open_: Open) -> None:
    store = open_(user_ttl_days=1)
    store.apply(columns_of([(f"e{index}", f"user-{index}", T0) for index in range(60)]))
    keys = [hash_id(f"user-{index}") for index in range(60)]
    left = []
    for step in range(5):
        store.apply(columns_of([(f"new-{step}", "bob", T0 + 2 * DAY_US + step)]))
        left.append(sum(len(store.read_user(key).timeline["time_us"]) for key in keys))
    assert 0 < left[0] < 60
    assert left[-1] == 0


def test_forgetting_removes_a_users_impressions(store: OnlineStore) -> None:
    records = shown([("i1", ANN, 4, T0, 1, 2), ("i2", BOB, 4, T0, 1, -1)])
    store.apply(records)
    assert store.forget_user(ANN)
    assert len(store.read_user(ANN).counters["user_impressions"].bucket) == 0
    assert len(store.read_user(BOB).counters["user_impressions"].bucket) == 1
    assert store.apply(records).duplicates == 5
    store.begin_load(VERSION, MODEL, KEEP)
    assert store.activate(VERSION, MODEL).accepted == 2
    assert len(store.read_user(ANN).counters["user_impressions"].bucket) == 0
    require_counters(store, {"user_impressions": fold_records(take(records, [1, 3]), FEATURES)["user_impressions"]})


def _load_seen(store: OnlineStore, version: StoreVersion, logged: Records, end_us: int) -> None:
    """A load of a log with these records only, whose conversions' times are not known."""
    times = np.where(logged["kind"] == RecordKind.CONVERSION, end_us, logged["time_us"])
    users = np.unique(logged["user_key"])
    nothing = records_of(RecordKind.EVENT, record_id=np.empty(0, object))
    store.begin_load(version, MODEL, KEEP)
    store.load_users(
        version,
        TimelineBlock(
            user_key=users,
            event_offsets=np.zeros(len(users) + 1, np.int64),
            events={**nothing, "event_id": nothing["record_id"]},
            last_us=np.full(len(users), T0),
            seen_key=record_keys(logged),
            seen_time_us=times,
        ),
    )
    store.load_counters(version, fold_records(logged, FEATURES))


def test_live_feedback_survives_a_new_load_exactly_once(store: OnlineStore) -> None:
    live = shown(
        [("i1", ANN, 4, T0, 1, 30), ("i2", ANN, 5, T0 + HOUR_US, 1, 2), ("i3", BOB, 5, T0 + 2 * HOUR_US, 0, -1)]
    )
    store.apply(live)
    expected = fold_records(live, FEATURES)
    in_log = np.isin(live["record_id"], ["i1", "i2"])
    for name, end_us, logged, replayed in (
        ("first", T0 + HOUR_US, take(live, np.flatnonzero(live["record_id"] == "i1")), (4, 3)),
        ("second", T0 + 40 * HOUR_US, take(live, np.flatnonzero(in_log)), (1, 3)),
        ("third", T0 + 40 * HOUR_US, live, (0, 1)),
    ):
        version = replace(VERSION, as_of_us=end_us, source=name)
        _load_seen(store, version, logged, end_us)
        result = store.activate(version, MODEL)
        assert (result.accepted, result.duplicates) == replayed
        require_counters(store, expected)
        assert store.apply(live).duplicates == len(live["kind"])


@pytest.mark.parametrize("shared", [True, False])
def test_several_writers_at_once_are_one_pass(open_: Open, shared: bool) -> None:
    rows = [(f"e{index:03d}", f"user-{index % 3}", T0 + index * 7 % 31 * HOUR_US) for index in range(120)]
    feedback = [(f"i{index}", ANN, index % 4, T0 + index * HOUR_US, 1, index % 5) for index in range(20)]
    everything = concat_records([columns_of(rows), shown(feedback)])
    one = open_()
    stores = [one if shared else open_() for _ in range(4)]
    accepted: list[int] = []

    def write(index: int) -> None:
        order = np.random.default_rng(index).permutation(len(everything["kind"]))
        parts = [take(everything, order[start : start + 9]) for start in range(0, len(order), 9)]
        accepted.append(sum(stores[index].apply(part).accepted for part in parts))

    threads = [threading.Thread(target=write, args=(index,)) for index in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(accepted) == len(everything["kind"])
    require_one_pass(one, rows)
    require_counters(one, fold_records(everything, FEATURES))


def test_writers_go_on_while_a_version_is_loaded_and_swapped(open_: Open) -> None:
    store, writer = open_(), open_()
    rows = [(f"e{index:03d}", f"user-{index % 5}", T0 + index * MINUTE_US) for index in range(300)]
    begun = threading.Event()

    def write() -> None:
        for index, row in enumerate(rows):
            writer.apply(columns_of([row]))
            if index == 20:
                begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(60)
    for number in range(3):
        version = replace(VERSION, source=f"log-{number}")
        load(store, rows[:10], version)
        store.activate(version, MODEL)
    thread.join()
    require_one_pass(store, rows)
