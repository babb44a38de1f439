"""What every online store must do: one suite, run on each implementation."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import StoreError
from rosa_ray.features import EVENT_COLUMNS, Counters, CounterStates
from rosa_ray.schema import hash_id
from rosa_ray.store import LoadProgress, OnlineStore, StreamPosition
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US
from tests.contracts.stores import (
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
    state_block,
    timeline_block,
)


def test_unknown_user_reads_empty(store: OnlineStore) -> None:
    record = store.read_user(-5)
    assert record.states is None
    assert {name: len(values) for name, values in record.timeline.items()} == dict.fromkeys(
        [*EVENT_COLUMNS, "event_id"], 0
    )
    assert set(record.counters) == {"user_events", "user_impressions"}
    assert all(len(counters.bucket) == 0 for counters in record.counters.values())
    assert record.count_since_states() == 0


def test_an_event_is_counted_and_appended_once(store: OnlineStore) -> None:
    row = [("e1", "ann", T0)]
    first, again = store.apply(columns_of(row)), store.apply(columns_of(row))
    assert (first.accepted, first.duplicates, first.late) == (1, 0, 0)
    assert (again.accepted, again.duplicates, again.late) == (0, 1, 0)
    assert first.user_keys.tolist() == [hash_id("ann")]
    assert again.user_keys.tolist() == []
    assert store.read_user(hash_id("ann")).counters["user_events"].sums.sum() == 1
    require_one_pass(store, row)


def test_an_empty_batch_changes_nothing(store: OnlineStore) -> None:
    result = store.apply(columns_of([]))
    assert (result.accepted, result.duplicates, result.late) == (0, 0, 0)


def test_odd_event_ids_survive(store: OnlineStore) -> None:
    rows = [('a"b', "ann", T0), ("c\x00d,", "ann", T0), ("日本", "ann", T0), ("zz", "ann", T0)]
    store.apply(columns_of(rows))
    require_one_pass(store, rows)


_ROW = st.tuples(
    st.integers(0, 40).map(lambda number: f"e{number}"),
    st.sampled_from(["ann", "bob", "cid"]),
    st.integers(0, 150).map(lambda step: T0 + step * 59 * MINUTE_US),
)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), rows=st.lists(_ROW, max_size=30, unique_by=lambda row: row[0]))
def test_order_batches_and_repetitions_do_not_matter(
    open_fresh: Callable[[], list[OnlineStore]], data: st.DataObject, rows: list[tuple[str, str, int]]
) -> None:
    sent = data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows), max_size=20)) if rows else []))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    for store in open_fresh():
        results = [
            store.apply(columns_of(sent[low:high])) for low, high in zip([0, *cuts], [*cuts, len(sent)], strict=True)
        ]
        assert sum(result.accepted for result in results) == len(rows)
        assert sum(result.duplicates for result in results) == len(sent) - len(rows)
        require_one_pass(store, rows)
        store.close()


def test_many_buckets_of_one_entity_are_read_in_order(store: OnlineStore) -> None:
    rows = [(f"e{hour:04d}", "ann", T0 + hour * HOUR_US) for hour in range(0, 600, 7)]
    for start in range(0, len(rows), 10):
        store.apply(columns_of(rows[start : start + 10]))
    require_one_pass(store, rows)


def test_an_event_before_a_full_timeline_is_counted_but_not_appended(store: OnlineStore) -> None:
    rows = [(f"e{step}", "ann", T0 + step * HOUR_US) for step in range(KEEP + 1)]
    store.apply(columns_of(rows))
    early = [("early", "ann", T0 - HOUR_US)]
    assert store.apply(columns_of(early)).accepted == 1
    record = store.read_user(hash_id("ann"))
    assert record.timeline["event_id"].tolist() == [f"e{step}" for step in range(KEEP + 1)]
    assert record.counters["user_events"].sums.sum() == KEEP + 2
    require_one_pass(store, rows + early)


def test_what_may_be_a_forgotten_repetition_is_set_aside_and_counted(store: OnlineStore) -> None:
    first, second = ("first", "ann", T0 - 9 * DAY_US), ("second", "bob", T0 - 9 * DAY_US + MINUTE_US)
    rows = [first, second, ("new", "ann", T0)]
    for row in rows:
        store.apply(columns_of([row]))
    between = ("between", "ann", T0 - 9 * DAY_US + MINUTE_US // 2)
    result = store.apply(columns_of([first, ("edge", "ann", T0 - 7 * DAY_US), between, second]))
    assert (result.accepted, result.late, result.late_rows.tolist()) == (1, 3, [0, 2, 3])
    assert store.info().late == 3
    require_one_pass(store, [*rows, ("edge", "ann", T0 - 7 * DAY_US)])


def test_what_a_loaded_log_covers_is_late_and_what_came_after_it_is_not(store: OnlineStore) -> None:
    rows = [(f"e{day:02d}", "ann", T0 - day * DAY_US) for day in range(3)]
    load(store, rows)
    store.activate(VERSION, MODEL)
    assert store.apply(columns_of([("old", "ann", T0 - 8 * DAY_US)])).late == 1
    after = [("new", "ann", T0 + 30 * DAY_US), ("gap", "ann", T0 + HOUR_US)]
    assert [store.apply(columns_of([row])).accepted for row in after] == [1, 1]
    within = [("never loaded", "ann", T0 - HOUR_US), *rows]
    assert store.apply(columns_of(within)).late == len(within)
    require_one_pass(store, [*rows, *after])


_BEFORE = st.tuples(
    st.integers(0, 20).map(lambda n: f"b{n}"), st.sampled_from(["ann", "bob"]), st.integers(0, 2 * 24 * 60)
)
_GAP = st.tuples(
    st.integers(0, 40).map(lambda n: f"g{n}"), st.sampled_from(["ann", "bob", "cid"]), st.integers(0, 26 * 24 * 60)
)
_AFTER = st.tuples(
    st.integers(0, 20).map(lambda n: f"a{n}"), st.sampled_from(["ann", "cid"]), st.integers(0, 5 * 24 * 60)
)


def _at(rows: list[tuple[str, str, int]], day: int) -> list[tuple[str, str, int]]:
    return [(event_id, user, T0 + day * DAY_US + minute * MINUTE_US) for event_id, user, minute in rows]


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    before=st.lists(_BEFORE, max_size=10, unique_by=lambda row: row[0]),
    gap=st.lists(_GAP, max_size=25, unique_by=lambda row: row[0]),
    after=st.lists(_AFTER, max_size=10, unique_by=lambda row: row[0]),
)
def test_a_gap_is_filled_after_live_events_as_if_it_had_come_in_order(
    open_fresh: Callable[[], list[OnlineStore]],
    data: st.DataObject,
    before: list[tuple[str, str, int]],
    gap: list[tuple[str, str, int]],
    after: list[tuple[str, str, int]],
) -> None:
    early, missed, live = _at(before, 0), _at(gap, 3), [("a", "ann", T0 + 30 * DAY_US), *_at(after, 30)]
    rest = missed + live[1:]
    again = data.draw(st.lists(st.sampled_from([*rest, live[0]]), max_size=15))
    sent = data.draw(st.permutations(rest + again))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    for late_filled, in_order in zip(open_fresh(), open_fresh(), strict=True):
        late_filled.apply(columns_of(data.draw(st.permutations(early))))
        late_filled.apply(columns_of(live[:1]))
        results = [
            late_filled.apply(columns_of(sent[low:high]))
            for low, high in zip([0, *cuts], [*cuts, len(sent)], strict=True)
        ]
        assert sum(result.late for result in results) == 0
        assert sum(result.accepted for result in results) == len(rest)
        everything = sorted(early + missed + live, key=lambda row: (row[2], row[0]))
        for row in everything:
            in_order.apply(columns_of([row]))
        require_one_pass(late_filled, everything)
        for user in ("ann", "bob", "cid"):
            found, expected = (store.read_user(hash_id(user)) for store in (late_filled, in_order))
            for name, values in expected.timeline.items():
                assert found.timeline[name].tolist() == values.tolist() or name == "price"
            np.testing.assert_array_equal(found.timeline["price"], expected.timeline["price"])
            for view, counters in expected.counters.items():
                require_equal_counters(found.counters[view], counters)
        late_filled.close()
        in_order.close()


_FAR = st.tuples(
    st.integers(0, 12).map(lambda number: f"e{number}"),
    st.just("ann"),
    st.integers(0, 120).map(lambda n: T0 + n * 8 * HOUR_US),
)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), rows=st.lists(_FAR, max_size=12, unique_by=lambda row: row[0]))
def test_over_any_time_nothing_counts_twice_and_cuts_decide_nothing(
    open_fresh: Callable[[], list[OnlineStore]], data: st.DataObject, rows: list[tuple[str, str, int]]
) -> None:
    sent = data.draw(st.lists(st.sampled_from(rows), max_size=30)) if rows else []
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    verdicts = []
    for store, other in zip(open_fresh(), open_fresh(), strict=True):
        whole = store.apply(columns_of(sent))
        late = [
            other.apply(columns_of(sent[low:high])).late_rows + low
            for low, high in zip([0, *cuts], [*cuts, len(sent)], strict=True)
        ]
        assert np.concatenate(late).tolist() == whole.late_rows.tolist()
        taken = list(dict.fromkeys(row for index, row in enumerate(sent) if index not in set(whole.late_rows.tolist())))
        assert whole.accepted == len(taken)
        require_one_pass(store, taken)
        require_one_pass(other, taken)
        verdicts.append(whole.late_rows.tolist())
        store.close()
        other.close()
    assert verdicts[0] == verdicts[-1]


def test_lateness_does_not_depend_on_how_batches_are_cut(open_: Open) -> None:
    batch = [("old", "ann", T0 - 8 * DAY_US), ("new", "ann", T0), ("late", "ann", T0 - 8 * DAY_US)]
    at_once, one_by_one = open_(name="1.db"), open_(name="2.db")
    whole = at_once.apply(columns_of(batch))
    parts = [one_by_one.apply(columns_of([row])) for row in batch]
    assert (whole.accepted, whole.late) == (2, 1) == (sum(p.accepted for p in parts), sum(p.late for p in parts))


def test_ids_are_forgotten_only_beyond_the_horizon(store: OnlineStore) -> None:
    rows = [(f"e{day:02d}", "ann", T0 + day * DAY_US) for day in range(20)]
    for row in rows:
        store.apply(columns_of([row]))
    result = store.apply(columns_of(rows))
    assert (result.accepted, result.duplicates, result.late) == (0, 8, 12)


def test_the_stream_position_moves_with_the_events(store: OnlineStore, open_: Open) -> None:
    assert store.read_position("events-0") is None
    store.apply(columns_of([("e1", "ann", T0)]), [StreamPosition("events-0", 17)])
    assert open_().read_position("events-0") == 17


def test_a_failed_update_leaves_nothing_behind(store: OnlineStore) -> None:
    broken = columns_of([("e1", "ann", T0), ("e2", "ann", T0)])
    broken["behavior"] = np.array([0, 9], np.int8)
    with pytest.raises(IndexError):
        store.apply(broken, [StreamPosition("events-0", 3)])
    assert store.read_position("events-0") is None
    assert store.apply(columns_of([("e1", "ann", T0)])).accepted == 1


def test_a_loaded_version_is_seen_only_once_active(store: OnlineStore) -> None:
    rows = [("e1", "ann", T0 - HOUR_US), ("e2", "ann", T0), ("e3", "bob", T0)]
    load(store, rows)
    assert store.info().version.source == ""
    assert len(store.read_user(hash_id("ann")).timeline["time_us"]) == 0
    store.activate(VERSION, MODEL)
    info = store.info()
    assert (info.version, info.newest_us, info.max_timeline_events) == (VERSION, T0, KEEP)
    assert (info.model_version, store.read_user(hash_id("ann")).model_version) == (MODEL, MODEL)
    require_one_pass(store, rows)


def test_states_are_read_as_written(open_: Open) -> None:
    rows = [("e1", "ann", T0 - HOUR_US), ("e2", "ann", T0)]
    for dtype, tolerance in (("float32", 0.0), ("float16", 1e-3)):
        store = open_(name=f"{dtype}.db", states_dtype=dtype)
        load(store, rows)
        store.activate(VERSION, MODEL)
        found, expected = store.read_user(hash_id("ann")).states, state_block(rows, "ann")
        assert found is not None
        assert (found.model_version, found.event_id, found.stale) == (MODEL, "e2", False)
        for name, values in expected.events.items():
            np.testing.assert_array_equal(found.events[name], values)
        assert found.states.dtype == np.float32
        np.testing.assert_allclose(found.states, expected.states, rtol=tolerance, atol=0)


def test_states_turn_stale_when_an_event_lands_before_the_last_encoded(store: OnlineStore) -> None:
    rows = [("e1", "ann", T0 - HOUR_US), ("e2", "ann", T0)]
    load(store, rows)
    store.activate(VERSION, MODEL)
    store.apply(columns_of([("e3", "ann", T0)]))
    record = store.read_user(hash_id("ann"))
    assert record.states is not None
    assert (record.states.stale, record.count_since_states()) == (False, 1)
    store.apply(columns_of([("e11", "ann", T0)]))
    record = store.read_user(hash_id("ann"))
    assert record.states is not None
    assert record.states.stale
    require_one_pass(store, [*rows, ("e3", "ann", T0), ("e11", "ann", T0)])


def test_events_too_old_for_the_timeline_leave_states_fresh(store: OnlineStore) -> None:
    rows = [(f"e{step}", "ann", T0 - (9 - step) * HOUR_US) for step in range(KEEP + 1)]
    load(store, rows)
    store.activate(VERSION, MODEL)
    store.apply(columns_of([("early", "ann", T0 - 20 * HOUR_US)]))
    states = store.read_user(hash_id("ann")).states
    assert states is not None
    assert not states.stale


def test_events_of_the_loaded_log_are_duplicates(store: OnlineStore) -> None:
    rows = [(f"e{step}", "ann", T0 - step * HOUR_US) for step in range(KEEP + 5)]
    load(store, rows)
    store.activate(VERSION, MODEL)
    assert store.apply(columns_of(rows)).duplicates == len(rows)
    require_one_pass(store, rows)


def test_live_events_survive_a_new_load_exactly_once(store: OnlineStore) -> None:
    first, live = [("e1", "ann", T0 - HOUR_US)], [("e2", "ann", T0), ("e3", "bob", T0 + HOUR_US)]
    load(store, first)
    store.activate(VERSION, MODEL)
    store.apply(columns_of(live))
    later = replace(VERSION, source="log-2")
    load(store, first + live[:1], later)
    replayed = store.activate(later, MODEL)
    assert (replayed.accepted, replayed.duplicates) == (1, 1)
    require_one_pass(store, first + live)
    last = replace(VERSION, as_of_us=T0 + HOUR_US, source="log-3")
    load(store, first + live, last)
    replayed = store.activate(last, MODEL)
    assert (replayed.accepted, replayed.duplicates) == (0, 1)
    require_one_pass(store, first + live)


def test_loading_again_gives_the_same(store: OnlineStore) -> None:
    rows = [("e1", "ann", T0), ("e2", "bob", T0)]
    for _ in range(3):
        load(store, rows)
        load(store, rows)
        store.activate(VERSION, MODEL)
    require_one_pass(store, rows)


def test_a_broken_off_load_goes_on_and_another_starts_afresh(store: OnlineStore) -> None:
    assert store.begin_load(VERSION, MODEL, KEEP) == LoadProgress(False, frozenset())
    store.load_users(VERSION, timeline_block([("e1", "ann", T0)], T0, DAY_US))
    store.mark_loaded(VERSION, MODEL, ["part-0"])
    assert store.begin_load(VERSION, MODEL, KEEP) == LoadProgress(False, frozenset({"part-0"}))
    other = replace(VERSION, source="log-2")
    assert store.begin_load(other, MODEL, KEEP).done == set()
    with pytest.raises(StoreError, match="replaced"):
        store.mark_loaded(VERSION, MODEL, ["part-1"])
    store.activate(other, MODEL)
    assert len(store.read_user(hash_id("ann")).timeline["time_us"]) == 0


def test_activate_needs_a_load(store: OnlineStore) -> None:
    with pytest.raises(StoreError, match="never began; run `rosa materialize`"):
        store.activate(VERSION, MODEL)


def test_forgotten_users_are_gone_and_stay_gone(store: OnlineStore) -> None:
    rows = [("e1", "ann", T0), ("e2", "bob", T0)]
    load(store, rows)
    store.activate(VERSION, MODEL)
    store.apply(columns_of([("e3", "ann", T0)]))
    assert store.forget_user(hash_id("ann"))
    assert not store.forget_user(hash_id("ann"))
    record = store.read_user(hash_id("ann"))
    assert (len(record.timeline["time_us"]), record.states) == (0, None)
    assert len(record.counters["user_events"].bucket) == 0
    assert store.apply(columns_of([("e1", "ann", T0), ("e3", "ann", T0)])).duplicates == 2
    assert len(store.read_user(hash_id("bob")).timeline["time_us"]) == 1
    again = replace(VERSION, source="log-2")
    load(store, rows[1:], again)
    assert store.activate(again, MODEL).accepted == 0


def test_counters_of_many_entities_come_in_one_call(store: OnlineStore) -> None:
    rng = np.random.default_rng(0)
    expected = Counters.fold(
        rng.integers(-(2**63), 2**63 - 1, 200), rng.integers(470_000, 470_400, 200), rng.integers(0, 2**40, (200, 5))
    )
    states: CounterStates = {"ad_impressions": expected}
    store.begin_load(VERSION, MODEL, KEEP)
    store.load_counters(VERSION, states)
    store.activate(VERSION, MODEL)
    keys = np.r_[expected.entity_key[::2], 12345]
    found = store.read_counters("ad_impressions", keys)["ad_impressions"]
    require_equal_counters(found, entity_part(expected, keys))


def test_an_unknown_view_is_refused(store: OnlineStore) -> None:
    with pytest.raises(StoreError, match="no view 'nothing'; views are user_events"):
        store.read_counters("nothing", np.array([1]))
