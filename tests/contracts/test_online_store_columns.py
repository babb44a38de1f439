"""Declared columns of users, items and ads in every online store: one suite, run on each implementation."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import StoreError
from rosa_ray.features import AdTable, FeatureConfig, counting_fingerprint
from rosa_ray.features.changes import merge_changes
from rosa_ray.features.held_versions import HeldVersions
from rosa_ray.features.own import ColumnConfig, of_prefix
from rosa_ray.features.versions import layout
from rosa_ray.records import Parsed, RecordParser
from rosa_ray.schema import hash_id
from rosa_ray.schema.own_columns import AD, ITEM, USER
from rosa_ray.store import OnlineStore, StoreVersion, StreamPosition
from rosa_ray.units import DAY_US, HOUR_US
from tests.contracts.stores import MODEL, T0, Open, columns_of, load
from tests.synthetic import ads_table

COLUMNS = {
    "user.age": ColumnConfig(type="number"),
    "user.tags": ColumnConfig(type="categories", most=2),
    "item.brand": ColumnConfig(),
    "request.place": ColumnConfig(),
}
FEATURES = FeatureConfig(columns=COLUMNS)
OTHER = FeatureConfig(columns={"user.tags": COLUMNS["user.tags"], "ad.margin": ColumnConfig(type="number")})
VERSION = StoreVersion(counting_fingerprint(FEATURES), T0, "log-1")
LATER = replace(VERSION, as_of_us=T0 + HOUR_US, source="log-2")
PARSER = RecordParser(AdTable.from_table(ads_table()), now_us=lambda: T0 + 365 * DAY_US, features=FEATURES)


def profile(user: str, time_us: int | None, **columns: object) -> dict[str, object]:
    since = None if time_us is None else str(np.datetime64(time_us, "us")) + "Z"
    return {"type": "profile", "user_id": user, "valid_from": since, "columns": columns}


def item(name: str, time_us: int | None, **columns: object) -> dict[str, object]:
    told = profile(name, time_us, **columns)
    return {"type": "item", "item_id": told.pop("user_id"), **{k: v for k, v in told.items() if k != "type"}}


def parsed_of(*records: dict[str, object]) -> Parsed:
    parsed = PARSER.parse_lines([json.dumps(record).encode() for record in records])
    assert parsed.refusals == ()
    return parsed


def tell(store: OnlineStore, *records: dict[str, object], positions: Sequence[StreamPosition] = ()) -> None:
    parsed = parsed_of(*records)
    store.apply(parsed.columns, positions, parsed.changes)


def ages(store: OnlineStore, user: str, *times_us: int) -> list[float]:
    held = HeldVersions(USER, FEATURES.columns)
    number = held.add([store.read_user(hash_id(user)).columns])
    read = held.read(np.repeat(number, len(times_us)), np.array(times_us))["user.age"]
    return [None if np.isnan(age) else age for age in read.tolist()]


def table_row(user: str, time_us: int, age: float) -> tuple[np.ndarray, list[bytes]]:
    """One row of a users table, which says all columns."""
    (change,) = parsed_of(profile(user, time_us, age=age, tags=[])).changes
    return change.key, [change.rows.tobytes()]


@pytest.fixture
def store(open_: Open) -> OnlineStore:
    return open_(features=FEATURES)


def test_of_an_unknown_thing_nothing_is_known(store: OnlineStore) -> None:
    assert store.read_user(5).columns == b""
    assert store.read_columns(ITEM, np.array([5, 6])) == [b"", b""]
    assert store.read_columns(AD, np.array([5])) == [b""]


def test_what_a_change_tells_holds_from_its_time_on(store: OnlineStore) -> None:
    tell(store, profile("ann", None, age=30), profile("ann", T0, age="31"), profile("ann", T0 + HOUR_US, age=None))
    assert ages(store, "ann", 0, T0 - 1, T0, T0 + HOUR_US - 1, T0 + HOUR_US) == [30, 30, 31, 31, None]
    assert ages(store, "bob", T0) == [None]


def test_many_things_are_read_in_the_order_asked(store: OnlineStore) -> None:
    tell(store, *(item(f"i{number}", None, brand=f"b{number}") for number in range(50)))
    keys = np.array([hash_id(f"i{number}") for number in range(60)])[::-1]
    held = HeldVersions(ITEM, COLUMNS)
    brands = held.read(held.add(store.read_columns(ITEM, keys)), np.full(60, T0))["item.brand"]
    assert brands.tolist() == [hash_id(f"b{number}") if number < 50 else 0 for number in range(59, -1, -1)]


_TELLS = st.builds(
    profile,
    st.sampled_from(["ann", "bob"]),
    st.none() | st.integers(0, 40).map(lambda step: T0 - step * DAY_US),
    age=st.none() | st.integers(0, 3),
) | st.builds(profile, st.just("ann"), st.integers(0, 3).map(lambda hour: T0 + hour * HOUR_US), tags=st.just(["a"]))


@settings(max_examples=25, deadline=None)
@given(data=st.data(), records=st.lists(_TELLS, max_size=12))
def test_order_batches_and_repetitions_do_not_matter(
    open_fresh: Callable[..., list[OnlineStore]], data: st.DataObject, records: list[dict[str, object]]
) -> None:
    again = data.draw(st.lists(st.sampled_from(records), max_size=8)) if records else []
    sent = data.draw(st.permutations(records + again))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    mine = of_prefix(USER, COLUMNS)
    whole = {key: rows for change in parsed_of(*records).changes for key, rows in change.by_key().items()}
    for store in open_fresh(FEATURES):
        store.apply(columns_of([("e", "cid", T0)]))
        for low, high in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            tell(store, *sent[low:high])
        for user in ("ann", "bob"):
            rows = whole.get(hash_id(user), np.zeros(0, layout(mine)))
            assert store.read_user(hash_id(user)).columns == merge_changes(b"", rows, mine, T0 - 7 * DAY_US)
        store.close()


def test_what_no_request_can_ask_for_any_more_is_let_go(store: OnlineStore) -> None:
    store.apply(columns_of([("e", "cid", T0)]))
    for day in range(30, -1, -1):
        tell(store, profile("ann", T0 - day * DAY_US, age=day), item("i", T0 - day * DAY_US, brand=f"b{day}"))
    size = layout(of_prefix(USER, COLUMNS)).itemsize
    assert len(store.read_user(hash_id("ann")).columns) == 8 * size
    assert ages(store, "ann", T0 - 7 * DAY_US, T0) == [7, 0]
    (brands,) = store.read_columns(ITEM, np.array([hash_id("i")]))
    assert len(brands) == 31 * layout(of_prefix(ITEM, COLUMNS)).itemsize


def test_changes_are_never_late_and_move_no_clock(store: OnlineStore) -> None:
    store.apply(columns_of([("e", "ann", T0)]))
    tell(store, profile("ann", T0 - 900 * DAY_US, age=1), profile("bob", T0 + 100 * DAY_US, age=2))
    assert ages(store, "ann", T0) == [1]
    assert store.info().newest_us == T0
    assert store.info().late == 0


def test_positions_move_with_changes(store: OnlineStore) -> None:
    tell(store, profile("ann", None, age=1), positions=[StreamPosition("p", 7)])
    assert store.read_position("p") == 7


def test_loaded_columns_are_seen_once_active(store: OnlineStore) -> None:
    load(store, [("e1", "ann", T0)], VERSION)
    store.load_columns(VERSION, USER, *table_row("ann", T0 - DAY_US, 40))
    store.load_columns(VERSION, USER, *table_row("ann", T0 - HOUR_US, 41))
    assert ages(store, "ann", T0) == [None]
    store.activate(VERSION, MODEL)
    assert ages(store, "ann", T0 - DAY_US, T0) == [None, 41]
    with pytest.raises(StoreError, match="replaced"):
        store.load_columns(LATER, USER, *table_row("ann", T0, 1))


def test_live_changes_survive_loads_until_one_says_them(store: OnlineStore) -> None:
    tell(store, profile("ann", T0, age=30), profile("ann", T0 + 1, age=31), item("i", None, brand="b"))
    load(store, [("e1", "ann", T0)], VERSION)
    store.load_columns(VERSION, USER, *table_row("ann", T0, 30))
    store.activate(VERSION, MODEL)
    assert ages(store, "ann", T0, T0 + 1) == [30, 31]
    assert len(store.read_columns(ITEM, np.array([hash_id("i")]))[0]) == layout(of_prefix(ITEM, COLUMNS)).itemsize
    load(store, [("e1", "ann", T0)], LATER)
    store.activate(LATER, MODEL)
    # The first change was in the table before, so that a table without it takes it back.
    assert ages(store, "ann", T0, T0 + 1) == [None, 31]


def test_an_activation_that_is_repeated_gives_the_same(store: OnlineStore) -> None:
    tell(store, profile("ann", T0, age=30))
    for version in (VERSION, LATER, VERSION):
        load(store, [("e1", "ann", T0)], version)
        store.activate(version, MODEL)
        assert ages(store, "ann", T0) == [30]


def test_a_version_of_other_columns_takes_what_it_knows(open_: Open) -> None:
    store = open_(features=FEATURES)
    tell(store, profile("ann", T0, age=30, tags=["a", "b"]), item("i", None, brand="b"))
    store.close()
    other, version = open_(features=OTHER), replace(VERSION, counting_fingerprint=counting_fingerprint(OTHER))
    load(other, [("e1", "ann", T0)], version)
    other.activate(version, MODEL)
    held = HeldVersions(USER, OTHER.columns)
    tags = held.read(held.add([other.read_user(hash_id("ann")).columns]), np.array([T0]))["user.tags"]
    assert tags.tolist() == [[hash_id("a"), hash_id("b")]]
    assert other.read_columns(ITEM, np.array([hash_id("i")])) == [b""]
    other.close()
    back = open_(features=FEATURES)
    load(back, [("e1", "ann", T0)], LATER)
    back.activate(LATER, MODEL)
    assert ages(back, "ann", T0) == [30]
    assert back.read_columns(ITEM, np.array([hash_id("i")]))[0]


def test_forgotten_users_lose_their_columns_for_good(store: OnlineStore) -> None:
    tell(store, profile("ann", T0, age=30), profile("bob", T0, age=31))
    load(store, [("e1", "bob", T0)], VERSION)
    store.load_columns(VERSION, USER, *table_row("ann", T0, 30))
    assert store.forget_user(hash_id("ann"))
    assert not store.forget_user(hash_id("ann"))
    assert ages(store, "ann", T0) == [None]
    store.activate(VERSION, MODEL)
    assert (ages(store, "ann", T0), ages(store, "bob", T0)) == ([None], [31])


def test_users_who_are_silent_for_too_long_lose_their_columns(open_: Open) -> None:
    store = open_(features=FEATURES, user_ttl_days=30)
    store.apply(columns_of([("e0", "cid", T0)]))
    tell(store, profile("ann", T0 - 900 * DAY_US, age=30), profile("bob", T0 + 20 * DAY_US, age=31))
    store.apply(columns_of([("e1", "cid", T0 + 29 * DAY_US)]))
    assert ages(store, "ann", T0) == [30]
    store.apply(columns_of([("e2", "cid", T0 + 31 * DAY_US)]))
    assert (ages(store, "ann", T0), ages(store, "bob", T0 + 31 * DAY_US)) == ([None], [31])
    load(store, [("e2", "cid", T0 + 31 * DAY_US)], LATER)
    store.activate(LATER, MODEL)
    assert (ages(store, "ann", T0), ages(store, "bob", T0 + 31 * DAY_US)) == ([None], [31])


def test_without_declared_columns_nothing_is_kept(open_: Open) -> None:
    store = open_()
    store.apply(columns_of([("e1", "ann", T0)]), (), ())
    assert store.read_user(hash_id("ann")).columns == b""
    assert store.read_columns(USER, np.array([hash_id("ann")])) == [b""]


def test_a_former_writer_s_changes_reach_a_model_of_other_columns(open_: Open) -> None:
    """What both know is told to both; what the writer's model does not know is missing for the other."""
    first, second = open_(features=FEATURES), open_(features=OTHER, model="model-2")
    version = replace(VERSION, counting_fingerprint=counting_fingerprint(OTHER))
    load(first, [("e1", "ann", T0)], VERSION)
    first.activate(VERSION, MODEL)
    load(second, [("e1", "ann", T0)], version, "model-2")
    second.activate(version, "model-2")
    tell(first, profile("ann", T0, age=30, tags=["a", "b"]), item("i", None, brand="b"))
    assert ages(first, "ann", T0) == [30]
    held = HeldVersions(USER, OTHER.columns)
    tags = held.read(held.add([second.read_user(hash_id("ann")).columns]), np.array([T0]))["user.tags"]
    assert tags.tolist() == [[hash_id("a"), hash_id("b")]]
    load(second, [("e1", "ann", T0)], replace(version, source="log-3"), "model-2")
    second.activate(replace(version, source="log-3"), "model-2")
    tags = held.read(held.add([second.read_user(hash_id("ann")).columns]), np.array([T0]))["user.tags"]
    assert tags.tolist() == [[hash_id("a"), hash_id("b")]]
