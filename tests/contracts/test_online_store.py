"""What every online store must do: one suite, run on each implementation."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import StoreError
from rosa_ray.features import EVENT_COLUMNS, Counters, CounterStates, FeatureConfig, fold_events, keyed_events
from rosa_ray.schema import BEHAVIORS, EVENTS, hash_id, hash_ids
from rosa_ray.store import (
    OnlineStore,
    StateBlock,
    StoreConfig,
    StoreVersion,
    StreamPosition,
    TimelineBlock,
    open_store,
    store_kinds,
)
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US

FEATURES = FeatureConfig()
FINGERPRINT = "f" * 16
T0 = 1_700_000_000_000_000
KEEP = 4
VERSION = StoreVersion("model-1", FINGERPRINT, T0, "log-1")

Open = Callable[..., OnlineStore]


@pytest.fixture(params=store_kinds())
def open_(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store again and again, and closes all at the end."""
    opened: list[OnlineStore] = []

    def open_one(fingerprint: str | None = FINGERPRINT, name: str = "store.db", **settings: object) -> OnlineStore:
        chosen = {"max_timeline_events": KEEP, "states_dtype": "float32", **settings}
        config = StoreConfig(kind=request.param, path=str(tmp_path / name), **chosen)
        opened.append(open_store(config, FEATURES, fingerprint, create=True))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_: Open) -> OnlineStore:
    return open_()


def events_table(rows: list[tuple[str, str, int]]) -> pa.Table:
    """Contract rows from (event id, user, time); the other columns follow from the id."""
    seeds = [sum(event_id.encode()) for event_id, _, _ in rows]
    table = pa.table(
        {
            "event_id": pa.array([event_id for event_id, _, _ in rows], pa.string()),
            "user_id": pa.array([user for _, user, _ in rows], pa.string()),
            "item_id": pa.array([f"item-{seed % 5}" for seed in seeds], pa.string()),
            "behavior": pa.array([BEHAVIORS[seed % 4] for seed in seeds], pa.string()),
            "event_time": pa.array([time for _, _, time in rows], pa.timestamp("us", "UTC")),
            "category": pa.array([None if seed % 7 == 0 else f"category-{seed % 3}" for seed in seeds], pa.string()),
            "price": pa.array([None if seed % 3 == 0 else seed / 8 for seed in seeds], pa.float64()),
        }
    )
    return EVENTS.check(table, "test")[0]


def columns_of(rows: list[tuple[str, str, int]]) -> dict[str, np.ndarray]:
    """The same rows as a store takes them, in the order given."""
    table = events_table(rows)
    return {
        "event_id": np.array(table["event_id"].to_pylist(), dtype=object),
        "user_key": hash_ids(table["user_id"]),
        "time_us": np.array([time for _, _, time in rows], np.int64),
        "item_key": hash_ids(table["item_id"]),
        "category_key": hash_ids(table["category"]),
        "behavior": np.array([BEHAVIORS.index(name) for name in table["behavior"].to_pylist()], np.int8),
        "price": np.array([np.nan if p is None else p for p in table["price"].to_pylist()], np.float32),
    }


def require_equal_counters(found: Counters, expected: Counters) -> None:
    for name in ("entity_key", "bucket", "sums"):
        values = getattr(found, name)
        assert values.dtype == np.int64
        np.testing.assert_array_equal(values, getattr(expected, name))


def entity_part(counters: Counters, keys: np.ndarray) -> Counters:
    chosen = np.isin(counters.entity_key, keys)
    return Counters(counters.entity_key[chosen], counters.bucket[chosen], counters.sums[chosen])


def require_one_pass(store: OnlineStore, rows: list[tuple[str, str, int]], keep: int = KEEP) -> None:
    """The store holds, bit for bit, what one sorted pass over the rows gives."""
    whole = keyed_events(events_table(rows))
    for view, expected in fold_events(whole, FEATURES).items():
        keys = np.unique(expected.entity_key)
        require_equal_counters(store.read_counters(view, keys)[view], expected)
    ids = {(hash_id(user), time, event_id) for event_id, user, time in rows}
    for user in np.unique(whole["user_key"]):
        mine = np.flatnonzero(whole["user_key"] == user)[-(keep + 1) :]
        record = store.read_user(int(user))
        for name, type_ in EVENT_COLUMNS.items():
            assert record.timeline[name].dtype == type_.to_pandas_dtype()
            assert record.timeline[name].tobytes() == whole[name][mine].tobytes(), name
        expected_ids = [event_id for _, _, event_id in sorted(row for row in ids if row[0] == user)][-(keep + 1) :]
        assert record.timeline["event_id"].tolist() == expected_ids


def timeline_block(rows: list[tuple[str, str, int]], newest_us: int, horizon_us: int) -> TimelineBlock:
    columns = columns_of(sorted(rows, key=lambda row: (hash_id(row[1]), row[2], row[0])))
    users, counts = np.unique(columns["user_key"], return_counts=True)
    recent = columns["time_us"] >= newest_us - horizon_us
    return TimelineBlock(
        user_key=users,
        event_offsets=np.r_[0, np.cumsum(counts)],
        events=columns,
        seen_event_key=hash_ids(pa.array(columns["event_id"][recent], pa.string())),
        seen_time_us=columns["time_us"][recent],
    )


def state_block(rows: list[tuple[str, str, int]], user: str, width: int = 3) -> StateBlock:
    mine = sorted((time, event_id) for event_id, owner, time in rows if owner == user)
    count = len(mine)
    return StateBlock(
        user_key=np.array([hash_id(user)]),
        state_offsets=np.array([0, count]),
        event_id=np.array([mine[-1][1]], dtype=object),
        events={
            "time_us": np.array([time for time, _ in mine]),
            "item_key": np.arange(count) * 3,
            "category_key": -np.arange(count),
            "behavior": np.arange(count, dtype=np.int8) % 4,
        },
        states=np.arange(count * width, dtype=np.float32).reshape(count, width) / 7,
    )


def load(store: OnlineStore, rows: list[tuple[str, str, int]], version: StoreVersion = VERSION) -> None:
    store.begin_load(version, KEEP)
    store.load_users(version, timeline_block(rows, version.as_of_us, 7 * DAY_US))
    store.load_counters(version, fold_events(keyed_events(events_table(rows)), FEATURES))
    for user in sorted({user for _, user, _ in rows}):
        store.write_states(version, state_block(rows, user))


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
    first, again = store.apply_events(columns_of(row)), store.apply_events(columns_of(row))
    assert (first.accepted, first.duplicates, first.late) == (1, 0, 0)
    assert (again.accepted, again.duplicates, again.late) == (0, 1, 0)
    assert first.user_keys.tolist() == [hash_id("ann")]
    assert again.user_keys.tolist() == []
    assert store.read_user(hash_id("ann")).counters["user_events"].sums.sum() == 1
    require_one_pass(store, row)


def test_an_empty_batch_changes_nothing(store: OnlineStore) -> None:
    result = store.apply_events(columns_of([]))
    assert (result.accepted, result.duplicates, result.late) == (0, 0, 0)


def test_odd_event_ids_survive(store: OnlineStore) -> None:
    rows = [('a"b', "ann", T0), ("c\x00d,", "ann", T0), ("日本", "ann", T0), ("zz", "ann", T0)]
    store.apply_events(columns_of(rows))
    require_one_pass(store, rows)


_ROW = st.tuples(
    st.integers(0, 40).map(lambda number: f"e{number}"),
    st.sampled_from(["ann", "bob", "cid"]),
    st.integers(0, 150).map(lambda step: T0 + step * 59 * MINUTE_US),
)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), rows=st.lists(_ROW, max_size=30, unique_by=lambda row: row[0]))
def test_order_batches_and_repetitions_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, rows: list[tuple[str, str, int]]
) -> None:
    sent = data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows), max_size=20)) if rows else []))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    for kind in store_kinds():
        path = tmp_path_factory.mktemp("fold") / "store.db"
        config = StoreConfig(kind=kind, path=str(path), max_timeline_events=KEEP)
        store = open_store(config, FEATURES, FINGERPRINT, create=True)
        results = [
            store.apply_events(columns_of(sent[low:high]))
            for low, high in zip([0, *cuts], [*cuts, len(sent)], strict=True)
        ]
        assert sum(result.accepted for result in results) == len(rows)
        assert sum(result.duplicates for result in results) == len(sent) - len(rows)
        require_one_pass(store, rows)
        store.close()


def test_many_buckets_of_one_entity_are_read_in_order(store: OnlineStore) -> None:
    rows = [(f"e{hour:04d}", "ann", T0 + hour * HOUR_US) for hour in range(0, 600, 7)]
    for start in range(0, len(rows), 10):
        store.apply_events(columns_of(rows[start : start + 10]))
    require_one_pass(store, rows)


def test_an_event_before_a_full_timeline_is_counted_but_not_appended(store: OnlineStore) -> None:
    rows = [(f"e{step}", "ann", T0 + step * HOUR_US) for step in range(KEEP + 1)]
    store.apply_events(columns_of(rows))
    early = [("early", "ann", T0 - HOUR_US)]
    assert store.apply_events(columns_of(early)).accepted == 1
    record = store.read_user(hash_id("ann"))
    assert record.timeline["event_id"].tolist() == [f"e{step}" for step in range(KEEP + 1)]
    assert record.counters["user_events"].sums.sum() == KEEP + 2
    require_one_pass(store, rows + early)


def test_events_beyond_the_horizon_are_set_aside_and_counted(store: OnlineStore) -> None:
    store.apply_events(columns_of([("new", "ann", T0)]))
    batch = [("edge", "ann", T0 - 7 * DAY_US), ("old", "ann", T0 - 7 * DAY_US - 1)]
    result = store.apply_events(columns_of(batch))
    assert (result.accepted, result.late, result.late_rows.tolist()) == (1, 1, [1])
    assert store.info().late == 1
    require_one_pass(store, [("new", "ann", T0), batch[0]])


def test_lateness_does_not_depend_on_how_batches_are_cut(open_: Open) -> None:
    batch = [("old", "ann", T0 - 8 * DAY_US), ("new", "ann", T0), ("late", "ann", T0 - 8 * DAY_US)]
    at_once, one_by_one = open_(name="1.db"), open_(name="2.db")
    whole = at_once.apply_events(columns_of(batch))
    parts = [one_by_one.apply_events(columns_of([row])) for row in batch]
    assert (whole.accepted, whole.late) == (2, 1) == (sum(p.accepted for p in parts), sum(p.late for p in parts))


def test_ids_are_forgotten_only_beyond_the_horizon(store: OnlineStore) -> None:
    rows = [(f"e{day:02d}", "ann", T0 + day * DAY_US) for day in range(20)]
    for row in rows:
        store.apply_events(columns_of([row]))
    result = store.apply_events(columns_of(rows))
    assert (result.accepted, result.duplicates, result.late) == (0, 8, 12)


def test_the_stream_position_moves_with_the_events(store: OnlineStore, open_: Open) -> None:
    assert store.read_position("events-0") is None
    store.apply_events(columns_of([("e1", "ann", T0)]), StreamPosition("events-0", 17))
    assert open_().read_position("events-0") == 17


def test_a_failed_update_leaves_nothing_behind(store: OnlineStore) -> None:
    broken = columns_of([("e1", "ann", T0), ("e2", "ann", T0)])
    broken["behavior"] = np.array([0, 9], np.int8)
    with pytest.raises(IndexError):
        store.apply_events(broken, StreamPosition("events-0", 3))
    assert store.read_position("events-0") is None
    assert store.apply_events(columns_of([("e1", "ann", T0)])).accepted == 1


def test_a_loaded_version_is_seen_only_once_active(store: OnlineStore) -> None:
    rows = [("e1", "ann", T0 - HOUR_US), ("e2", "ann", T0), ("e3", "bob", T0)]
    load(store, rows)
    assert store.info().version.model_version == ""
    assert len(store.read_user(hash_id("ann")).timeline["time_us"]) == 0
    store.activate(VERSION)
    info = store.info()
    assert (info.version, info.newest_us, info.max_timeline_events) == (VERSION, T0, KEEP)
    require_one_pass(store, rows)


def test_states_are_read_as_written(open_: Open) -> None:
    rows = [("e1", "ann", T0 - HOUR_US), ("e2", "ann", T0)]
    for dtype, tolerance in (("float32", 0.0), ("float16", 1e-3)):
        store = open_(name=f"{dtype}.db", states_dtype=dtype)
        load(store, rows)
        store.activate(VERSION)
        found, expected = store.read_user(hash_id("ann")).states, state_block(rows, "ann")
        assert found is not None
        assert (found.model_version, found.event_id, found.stale) == ("model-1", "e2", False)
        for name, values in expected.events.items():
            np.testing.assert_array_equal(found.events[name], values)
        assert found.states.dtype == np.float32
        np.testing.assert_allclose(found.states, expected.states, rtol=tolerance, atol=0)


def test_states_turn_stale_when_an_event_lands_before_the_last_encoded(store: OnlineStore) -> None:
    rows = [("e1", "ann", T0 - HOUR_US), ("e2", "ann", T0)]
    load(store, rows)
    store.activate(VERSION)
    store.apply_events(columns_of([("e3", "ann", T0)]))
    record = store.read_user(hash_id("ann"))
    assert record.states is not None
    assert (record.states.stale, record.count_since_states()) == (False, 1)
    store.apply_events(columns_of([("e11", "ann", T0)]))
    record = store.read_user(hash_id("ann"))
    assert record.states is not None
    assert record.states.stale
    require_one_pass(store, [*rows, ("e3", "ann", T0), ("e11", "ann", T0)])


def test_events_too_old_for_the_timeline_leave_states_fresh(store: OnlineStore) -> None:
    rows = [(f"e{step}", "ann", T0 - (9 - step) * HOUR_US) for step in range(KEEP + 1)]
    load(store, rows)
    store.activate(VERSION)
    store.apply_events(columns_of([("early", "ann", T0 - 20 * HOUR_US)]))
    states = store.read_user(hash_id("ann")).states
    assert states is not None
    assert not states.stale


def test_events_of_the_loaded_log_are_duplicates(store: OnlineStore) -> None:
    rows = [(f"e{step}", "ann", T0 - step * HOUR_US) for step in range(KEEP + 5)]
    load(store, rows)
    store.activate(VERSION)
    assert store.apply_events(columns_of(rows)).duplicates == len(rows)
    require_one_pass(store, rows)


def test_live_events_survive_a_new_load_exactly_once(store: OnlineStore) -> None:
    first, live = [("e1", "ann", T0 - HOUR_US)], [("e2", "ann", T0), ("e3", "bob", T0 + HOUR_US)]
    load(store, first)
    store.activate(VERSION)
    store.apply_events(columns_of(live))
    later = StoreVersion("model-2", FINGERPRINT, T0, "log-2")
    load(store, first + live[:1], later)
    replayed = store.activate(later)
    assert (replayed.accepted, replayed.duplicates) == (1, 1)
    require_one_pass(store, first + live)
    last = StoreVersion("model-3", FINGERPRINT, T0 + HOUR_US, "log-3")
    load(store, first + live, last)
    replayed = store.activate(last)
    assert (replayed.accepted, replayed.duplicates) == (0, 1)
    require_one_pass(store, first + live)


def test_loading_again_gives_the_same(store: OnlineStore) -> None:
    rows = [("e1", "ann", T0), ("e2", "bob", T0)]
    for _ in range(3):
        load(store, rows)
        load(store, rows)
        store.activate(VERSION)
    require_one_pass(store, rows)


def test_a_broken_off_load_goes_on_and_another_starts_afresh(store: OnlineStore) -> None:
    assert store.begin_load(VERSION, KEEP) == set()
    store.load_users(VERSION, timeline_block([("e1", "ann", T0)], T0, DAY_US))
    store.mark_loaded(VERSION, ["part-0"])
    assert store.begin_load(VERSION, KEEP) == {"part-0"}
    other = StoreVersion("model-2", FINGERPRINT, T0, "log-1")
    assert store.begin_load(other, KEEP) == set()
    with pytest.raises(StoreError, match="replaced"):
        store.mark_loaded(VERSION, ["part-1"])
    store.activate(other)
    assert len(store.read_user(hash_id("ann")).timeline["time_us"]) == 0


def test_activate_needs_a_load(store: OnlineStore) -> None:
    with pytest.raises(StoreError, match="never began; run `rosa materialize`"):
        store.activate(VERSION)


def test_forgotten_users_are_gone_and_stay_gone(store: OnlineStore) -> None:
    rows = [("e1", "ann", T0), ("e2", "bob", T0)]
    load(store, rows)
    store.activate(VERSION)
    store.apply_events(columns_of([("e3", "ann", T0)]))
    assert store.forget_user(hash_id("ann"))
    assert not store.forget_user(hash_id("ann"))
    record = store.read_user(hash_id("ann"))
    assert (len(record.timeline["time_us"]), record.states) == (0, None)
    assert len(record.counters["user_events"].bucket) == 0
    assert store.apply_events(columns_of([("e1", "ann", T0), ("e3", "ann", T0)])).duplicates == 2
    assert len(store.read_user(hash_id("bob")).timeline["time_us"]) == 1
    again = StoreVersion("model-2", FINGERPRINT, T0)
    load(store, rows[1:], again)
    assert store.activate(again).accepted == 0


def test_counters_of_many_entities_come_in_one_call(store: OnlineStore) -> None:
    rng = np.random.default_rng(0)
    expected = Counters.fold(
        rng.integers(-(2**63), 2**63 - 1, 200), rng.integers(470_000, 470_400, 200), rng.integers(0, 2**40, (200, 5))
    )
    states: CounterStates = {"ad_impressions": expected}
    store.begin_load(VERSION, KEEP)
    store.load_counters(VERSION, states)
    store.activate(VERSION)
    keys = np.r_[expected.entity_key[::2], 12345]
    found = store.read_counters("ad_impressions", keys)["ad_impressions"]
    require_equal_counters(found, entity_part(expected, keys))


def test_a_store_of_other_features_is_refused(open_: Open) -> None:
    store = open_()
    with pytest.raises(StoreError, match=r"features 'ffff.*computes 'other'; run `rosa materialize`"):
        open_(fingerprint="other")
    assert open_(fingerprint=None).info().version.feature_fingerprint == FINGERPRINT
    other = StoreVersion("model-2", "other", T0)
    store.begin_load(other, KEEP)
    store.activate(other)
    for call in (lambda: store.read_user(1), lambda: store.apply_events(columns_of([("e", "u", T0)]))):
        with pytest.raises(StoreError, match="was filled for features 'other'"):
            call()


def test_an_unknown_view_is_refused(store: OnlineStore) -> None:
    with pytest.raises(StoreError, match="no view 'nothing'; views are user_events"):
        store.read_counters("nothing", np.array([1]))
