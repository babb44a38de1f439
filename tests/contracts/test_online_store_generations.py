"""Several models on one online store: what they share, what each reads, and what is removed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import StoreError
from rosa_ray.features import FeatureConfig, counting_fingerprint
from rosa_ray.schema import hash_id
from rosa_ray.store import OnlineStore
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US
from tests.contracts.stores import (
    FEATURES,
    KEEP,
    MODEL,
    T0,
    VERSION,
    Open,
    columns_of,
    load,
    require_one_pass,
    state_block,
    timeline_block,
)

REFIT = "model-2"
FINER = FeatureConfig(views=("user_events", "item_events"), bucket_minutes=15)
FINER_VERSION = replace(VERSION, counting_fingerprint=counting_fingerprint(FINER), source="log-2")
NEXT = replace(VERSION, as_of_us=T0 + DAY_US, source="next day")
LOG = [("e1", "ann", T0 - HOUR_US), ("e2", "ann", T0), ("e3", "bob", T0)]
LIVE = [("l1", "ann", T0 + HOUR_US), ("l2", "cid", T0 + MINUTE_US)]
ANN = hash_id("ann")


def states_of(store: OnlineStore, user: str = "ann") -> np.ndarray | None:
    found = store.read_user(hash_id(user)).states
    return None if found is None else found.states


def write_twice(store: OnlineStore, model: str = REFIT) -> None:
    """States of a model on the live log, twice those of the first model."""
    progress = store.begin_load(VERSION, model, KEEP)
    assert progress.is_live
    for user in ("ann", "bob"):
        block = state_block(LOG, user)
        store.write_states(VERSION, model, replace(block, states=2 * block.states))


def test_a_refit_adds_its_states_and_shares_the_rest(open_: Open) -> None:
    first, second = open_(), open_(model=REFIT)
    load(first, LOG)
    first.activate(VERSION, MODEL)
    first.apply(columns_of(LIVE))
    write_twice(second)
    assert states_of(second) is None
    assert second.info().model_version == ""
    assert second.activate(VERSION, REFIT).accepted == 0
    for store, model, times in ((first, MODEL, 1), (second, REFIT, 2)):
        record = store.read_user(ANN)
        assert record.states is not None
        assert (record.model_version, record.states.model_version) == (model, model)
        np.testing.assert_array_equal(record.states.states, times * state_block(LOG, "ann").states)
        assert (record.states.stale, record.count_since_states()) == (False, 1)
        require_one_pass(store, LOG + LIVE)
    assert second.apply(columns_of(LIVE)).duplicates == len(LIVE)


def test_states_of_a_refit_are_stale_where_those_of_the_first_model_are(open_: Open) -> None:
    store, second = open_(), open_(model=REFIT)
    load(store, LOG)
    store.activate(VERSION, MODEL)
    store.apply(columns_of([("between", "ann", T0 - MINUTE_US), ("after", "bob", T0 + MINUTE_US)]))
    write_twice(second)
    second.activate(VERSION, REFIT)
    for one in (store, second):
        held = [one.read_user(hash_id(user)).states for user in ("ann", "bob")]
        assert [states and states.stale for states in held] == [True, False]
    store.apply(columns_of([("before", "bob", T0 - MINUTE_US)]))
    assert all((states := one.read_user(hash_id("bob")).states) and states.stale for one in (store, second))


def test_a_load_for_one_model_changes_nothing_for_another(open_: Open) -> None:
    first, second = open_(), open_(features=FINER, model=REFIT)
    load(first, LOG)
    first.activate(VERSION, MODEL)
    first.apply(columns_of(LIVE[:1]))
    before = first.read_user(ANN)
    load(second, LOG[1:], FINER_VERSION, REFIT, FINER)
    with pytest.raises(StoreError, match=r"no version .* computes; run `rosa materialize`"):
        second.read_user(ANN)
    second.activate(FINER_VERSION, REFIT)
    after = first.read_user(ANN)
    assert before.states is not None
    assert after.states is not None
    assert before.states.states.tobytes() == after.states.states.tobytes()
    require_one_pass(first, LOG + LIVE[:1])
    require_one_pass(second, LOG[1:] + LIVE[:1], features=FINER)
    first.apply(columns_of(LIVE))
    require_one_pass(first, LOG + LIVE)
    require_one_pass(second, LOG[1:] + LIVE, features=FINER)
    assert [one.info().version for one in (first, second)] == [VERSION, FINER_VERSION]


_ROW = st.tuples(
    st.integers(0, 30).map(lambda number: f"e{number}"),
    st.sampled_from(["ann", "bob", "cid"]),
    st.integers(0, 60).map(lambda step: T0 + step * 29 * MINUTE_US),
)


@settings(max_examples=20, deadline=None)
@given(
    data=st.data(),
    rows=st.lists(_ROW, max_size=24, unique_by=lambda row: row[0]),
    logged=st.integers(0, 6),
    also_logged=st.integers(0, 6),
    early=st.integers(0, 12),
)
def test_two_live_generations_equal_clean_stores_of_their_own(
    open_empty: Callable[[], list[Open]],
    data: st.DataObject,
    rows: list[tuple[str, str, int]],
    logged: int,
    also_logged: int,
    early: int,
) -> None:
    """Two models count otherwise, from logs of other lengths; records come before and after the second is there."""
    for open_one in open_empty():
        first, second = open_one(FEATURES, MODEL), open_one(FINER, REFIT)
        load(first, rows[:logged])
        first.activate(VERSION, MODEL)
        first.apply(columns_of(data.draw(st.permutations(rows[:early]))))
        load(second, rows[:also_logged], FINER_VERSION, REFIT, FINER)
        second.activate(FINER_VERSION, REFIT)
        sent = data.draw(st.permutations(rows))
        for row in sent:
            data.draw(st.sampled_from([first, second])).apply(columns_of([row]))
        require_one_pass(first, rows)
        require_one_pass(second, rows, features=FINER)
        for one in (first, second):
            assert one.apply(columns_of(rows)).duplicates == len(rows)
            one.close()


def test_a_model_moves_to_the_log_that_it_was_activated_with_last(open_: Open) -> None:
    store, other = open_(), open_(model=REFIT)
    load(store, LOG)
    store.activate(VERSION, MODEL)
    write_twice(other)
    other.activate(VERSION, REFIT)
    load(store, [*LOG, *LIVE], NEXT)
    store.activate(NEXT, MODEL)
    assert [one.info().version for one in (store, other)] == [NEXT, VERSION]
    assert [len(states) for one in (store, other) if (states := states_of(one)) is not None] == [3, 2]


def test_a_model_without_states_reads_the_log_activated_last(open_: Open) -> None:
    store, stranger = open_(), open_(model="unknown")
    load(store, LOG)
    store.activate(VERSION, MODEL)
    record = stranger.read_user(ANN)
    assert (record.states, record.model_version, len(record.timeline["time_us"])) == (None, "", 2)
    load(store, [*LOG, *LIVE], NEXT)
    store.activate(NEXT, MODEL)
    assert (stranger.info().version, stranger.info().model_version) == (NEXT, "")


def test_a_model_that_encodes_nothing_reads_the_log_it_was_activated_with(open_: Open) -> None:
    store, other = open_(), open_(model=REFIT)
    load(store, LOG)
    store.activate(VERSION, MODEL)
    other.begin_load(VERSION, REFIT, KEEP)
    other.activate(VERSION, REFIT)
    load(store, [*LOG, *LIVE], NEXT)
    store.activate(NEXT, MODEL)
    assert (other.info().version, other.info().model_version, states_of(other)) == (VERSION, REFIT, None)


def test_a_repeated_load_of_a_live_log_has_nothing_to_do(store: OnlineStore) -> None:
    load(store, LOG)
    store.mark_loaded(VERSION, MODEL, ["part-0"])
    store.activate(VERSION, MODEL)
    progress = store.begin_load(VERSION, MODEL, KEEP)
    assert (progress.is_live, progress.done) == (True, {"part-0"})
    assert store.begin_load(VERSION, REFIT, KEEP).done == set()
    for call in (
        lambda: store.load_users(VERSION, timeline_block(LOG, T0, DAY_US)),
        lambda: store.load_counters(VERSION, {}),
    ):
        with pytest.raises(StoreError, match="never began; run `rosa materialize` again"):
            call()
    require_one_pass(store, LOG)


def test_a_model_that_needs_longer_timelines_loads_the_log_again(open_: Open) -> None:
    store = open_(max_timeline_events=0)
    load(store, LOG)
    store.activate(VERSION, MODEL)
    assert store.begin_load(VERSION, REFIT, KEEP - 1).is_live
    assert not store.begin_load(VERSION, REFIT, KEEP + 1).is_live
    assert not open_(max_timeline_events=KEEP - 1).begin_load(VERSION, REFIT, KEEP - 1).is_live


def test_a_load_must_be_of_the_features_that_the_store_was_opened_with(store: OnlineStore) -> None:
    with pytest.raises(StoreError, match="load of other features"):
        store.begin_load(FINER_VERSION, MODEL, KEEP)


def test_a_store_of_other_features_is_refused(open_: Open) -> None:
    store, other = open_(), open_(features=FINER)
    with pytest.raises(StoreError, match=r"no version .* computes; run `rosa materialize`"):
        other.info()
    for call in (
        lambda: other.read_user(1),
        lambda: other.apply(columns_of([("e", "u", T0)])),
        lambda: other.read_counters("user_events", np.array([1])),
    ):
        with pytest.raises(StoreError, match=r"no version .* computes"):
            call()
    assert open_(features=None).info().version == store.info().version


def test_other_user_keys_are_other_features(open_: Open) -> None:
    open_(user_key_id="first secret")
    with pytest.raises(StoreError, match=r"no version .* computes"):
        open_(user_key_id="second secret").info()
    open_(user_key_id="first secret").info()


def names_of(store: OnlineStore) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.version.source, one.models) for one in store.info().held]


def test_models_and_logs_beyond_those_kept_are_removed(open_: Open) -> None:
    store = open_(kept_versions=1)
    load(store, LOG)
    store.activate(VERSION, MODEL)
    write_twice(store)
    store.activate(VERSION, REFIT)
    assert names_of(store) == [("log-1", (REFIT, MODEL))]
    load(store, LOG, NEXT, "model-3")
    store.activate(NEXT, "model-3")
    assert names_of(store) == [("next day", ("model-3",)), ("log-1", (REFIT,))]
    load(store, LOG, replace(NEXT, source="third day"), "model-4")
    store.activate(replace(NEXT, source="third day"), "model-4")
    assert names_of(store) == [("third day", ("model-4",)), ("next day", ("model-3",))]
    store.apply(columns_of(LIVE))
    require_one_pass(open_(model="model-3"), LOG + LIVE)
    require_one_pass(open_(model="model-4"), LOG + LIVE)


def test_a_model_activated_again_is_the_newest(open_: Open) -> None:
    store = open_(kept_versions=1)
    load(store, LOG)
    store.activate(VERSION, MODEL)
    write_twice(store)
    store.activate(VERSION, REFIT)
    store.activate(VERSION, MODEL)
    load(store, LOG, NEXT, "model-3")
    store.activate(NEXT, "model-3")
    assert names_of(store) == [("next day", ("model-3",)), ("log-1", (MODEL,))]


def test_what_is_held_can_be_dropped_but_for_what_is_active(open_: Open) -> None:
    store = open_()
    load(store, LOG)
    store.activate(VERSION, MODEL)
    write_twice(store)
    store.activate(VERSION, REFIT)
    load(store, LOG, NEXT, "model-3")
    store.activate(NEXT, "model-3")
    active, former = store.info().held
    assert (active.is_active, former.is_active) == (True, False)
    for name in (str(active.number), "model-3"):
        with pytest.raises(StoreError, match=f"'{name}' is active"):
            store.drop(name)
    with pytest.raises(StoreError, match=r"holds no 'nothing'; it holds .*model-3"):
        store.drop("nothing")
    store.drop(REFIT)
    assert names_of(store) == [("next day", ("model-3",)), ("log-1", (MODEL,))]
    assert states_of(open_(model=REFIT)) is not None or open_(model=REFIT).info().model_version == ""
    store.drop(str(former.number))
    assert names_of(store) == [("next day", ("model-3",))]
    require_one_pass(open_(), LOG)


def test_a_generation_goes_with_its_last_model(open_: Open) -> None:
    store = open_()
    load(store, LOG)
    store.activate(VERSION, MODEL)
    load(store, LOG, NEXT, REFIT)
    store.activate(NEXT, REFIT)
    store.drop(MODEL)
    assert names_of(store) == [("next day", (REFIT,))]


def test_a_user_is_forgotten_in_every_generation(open_: Open) -> None:
    first, second = open_(), open_(features=FINER, model=REFIT)
    load(first, LOG)
    first.activate(VERSION, MODEL)
    load(second, LOG, FINER_VERSION, REFIT, FINER)
    second.activate(FINER_VERSION, REFIT)
    assert first.forget_user(ANN)
    for store in (first, second):
        assert not store.read_user(ANN).known
    assert not second.forget_user(ANN)


def test_ids_are_told_apart_by_their_users(store: OnlineStore) -> None:
    rows = [("same", "ann", T0), ("same", "bob", T0)]
    assert store.apply(columns_of(rows)).accepted == 2
    assert store.apply(columns_of(rows)).duplicates == 2
    require_one_pass(store, rows)


def test_ids_of_a_loaded_log_are_told_apart_by_their_users(store: OnlineStore) -> None:
    load(store, [("same", "ann", T0)])
    store.activate(VERSION, MODEL)
    result = store.apply(columns_of([("same", "ann", T0), ("same", "bob", T0)]))
    assert (result.accepted, result.duplicates) == (1, 1)


def test_the_journal_is_bounded_and_says_what_fell_out(open_: Open) -> None:
    store = open_(journal_days=2)
    rows = [(f"e{day:02d}", "ann", T0 + day * DAY_US) for day in range(6)]
    for row in rows:
        store.apply(columns_of([row]))
    info = store.info()
    assert (info.journal_records, info.journal_dropped) == (3, 3)
    assert info.journal_from_us == T0 + 2 * DAY_US + 1
    version = replace(VERSION, source="an old log")
    load(store, rows[:1], version)
    assert store.activate(version, MODEL).accepted == 3
    require_one_pass(store, [rows[0], *rows[3:]])
