"""What every online store must do with own counters: hold them, journal what they count by, forget a user's."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.features import (
    CounterStates,
    RecordKind,
    concat_records,
    counting_fingerprint,
    event_records,
    fold_records,
    impression_records,
    keyed_events,
)
from rosa_ray.features.counting import counted_views
from rosa_ray.features.own_counters import part_columns
from rosa_ray.features.records import take_records
from rosa_ray.store import OnlineStore, StoreConfig, StoreVersion, open_store, store_kinds
from rosa_ray.units import DAY_US
from tests.contracts.stores import require_equal_counters
from tests.own_counters import FEATURES, own_world
from tests.synthetic import DAYS, START_US

Records = dict[str, np.ndarray]
OWN = [view for view in counted_views(FEATURES) if view.parts]
END_US = START_US + DAYS * DAY_US
MODEL = "m"
VERSION = StoreVersion(counting_fingerprint(FEATURES), END_US, "log")


@pytest.fixture(params=store_kinds())
def own_store(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Iterator[OnlineStore]:
    where = {"path": str(tmp_path / "s.db"), "url": redis_url, "namespace": uuid.uuid4().hex}
    config = StoreConfig(kind=request.param, dedup_horizon_days=20, **where)
    store = open_store(config, FEATURES, MODEL, create=True)
    yield store
    store.close()


@pytest.fixture(scope="module")
def records() -> Records:
    world = own_world()
    shown = {**world.shown, "impression_id": np.array([f"m{row}" for row in range(len(world.shown["bid"]))], object)}
    return concat_records(
        [event_records(keyed_events(world.events)), impression_records(shown, part_columns(OWN))]
    )  # fmt: skip


def require_counters(store: OnlineStore, expected: CounterStates) -> None:
    for view in OWN:
        counters = expected[view.name]
        keys = np.unique(counters.entity_key)
        require_equal_counters(store.read_counters(view.name, keys)[view.name], counters)


def without_user(records: Records, user: int) -> Records:
    return take_records(records, np.flatnonzero(records["user_key"] != user))


def of_users(states: CounterStates) -> CounterStates:
    return {view.name: states[view.name] for view in OWN if view.of_users}


def test_records_are_counted_by_all_their_parts(own_store: OnlineStore, records: Records) -> None:
    order = np.random.default_rng(1).permutation(len(records["kind"]))
    for rows in np.array_split(np.r_[order, order[:100]], 5):
        own_store.apply(take_records(records, rows))
    require_counters(own_store, fold_records(records, FEATURES))


def test_a_user_s_own_counters_are_read_with_the_user(own_store: OnlineStore, records: Records) -> None:
    own_store.apply(records)
    user = int(records["user_key"][0])
    found = own_store.read_user(user).counters
    assert {"events(user_id)", "impressions(user_id)"} <= set(found)
    assert found["events(user_id)"].sums.sum() == np.count_nonzero(
        (records["user_key"] == user) & (records["kind"] == 0)
    )


def test_what_came_live_is_counted_in_a_loaded_version(own_store: OnlineStore, records: Records) -> None:
    """The loaded log holds the first half; the journal has the rest, with what own counters count by."""
    half = len(records["kind"]) // 2
    log, rest = take_records(records, slice(half)), take_records(records, slice(half, None))
    own_store.apply(rest)
    own_store.begin_load(VERSION, MODEL, 8)
    own_store.load_counters(VERSION, fold_records(log, FEATURES))
    result = own_store.activate(VERSION, MODEL)
    assert (result.accepted, result.late) == (len(rest["kind"]), 0)
    require_counters(own_store, fold_records(records, FEATURES))


@pytest.mark.parametrize("loaded", [True, False])
def test_a_forgotten_user_s_own_counters_are_gone(own_store: OnlineStore, records: Records, loaded: bool) -> None:
    user = int(records["user_key"][-1])
    whole, rest = fold_records(records, FEATURES), fold_records(without_user(records, user), FEATURES)
    if loaded:
        own_store.begin_load(VERSION, MODEL, 8)
        own_store.load_counters(VERSION, whole)
        own_store.activate(VERSION, MODEL)
    else:
        own_store.apply(records)
    assert own_store.forget_user(user)
    for name, counters in of_users(whole).items():
        keys = np.unique(counters.entity_key)
        require_equal_counters(own_store.read_counters(name, keys)[name], rest[name])
        assert len(counters.bucket) > len(rest[name].bucket)
    shared = "impressions(ad_id,request.place)"
    keys = np.unique(whole[shared].entity_key)
    require_equal_counters(own_store.read_counters(shared, keys)[shared], whole[shared])
    assert not own_store.forget_user(user)


@pytest.mark.parametrize("kind", store_kinds())
def test_a_silent_user_s_own_counters_expire_with_the_user(
    records: Records, kind: str, redis_url: str, tmp_path: Path
) -> None:
    where = {"path": str(tmp_path / "s.db"), "url": redis_url, "namespace": uuid.uuid4().hex}
    config = StoreConfig(kind=kind, dedup_horizon_days=20, user_ttl_days=9, **where)
    silent, other = np.unique(records["user_key"][records["kind"] == RecordKind.IMPRESSION])[:2]
    late = take_records(records, np.flatnonzero((records["user_key"] == other) & (records["kind"] == RecordKind.EVENT)))
    late |= {
        "time_us": late["time_us"] + 15 * DAY_US,
        "record_id": np.array([f"l{x}" for x in late["record_id"]], object),
    }
    name = "impressions(user_id,item_id)"
    keys = np.unique(fold_records(take_records(records, records["user_key"] == silent), FEATURES)[name].entity_key)
    with open_store(config, FEATURES, MODEL, create=True) as store:
        store.apply(records)
        assert len(store.read_counters(name, keys)[name].bucket)
        store.apply(late)
        assert not len(store.read_counters(name, keys)[name].bucket)
