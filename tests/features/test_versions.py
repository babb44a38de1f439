"""Declared columns as of a time: from a table and from what a store keeps, in any order, never of the future."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features.changes import change_rows
from rosa_ray.features.held_versions import HeldVersions
from rosa_ray.features.own import ColumnConfig, keyed_columns, missing_columns
from rosa_ray.features.versions import ALWAYS_US, Versions, layout, merge, unpack
from rosa_ray.schema import hash_id, hash_ids
from rosa_ray.schema.contract import TIMESTAMP

CITY, AGE, LIKES, TASTE, FIRST = "user.city", "user.age", "user.likes", "user.taste", "user.first_seen"
CONFIGS = {
    CITY: ColumnConfig(),
    AGE: ColumnConfig(type="number"),
    LIKES: ColumnConfig(type="categories", most=2),
    TASTE: ColumnConfig(type="vector", size=2),
    FIRST: ColumnConfig(clock="static", fill="unknown"),
}
values = st.fixed_dictionaries(
    {
        CITY: st.none() | st.sampled_from(["rome", "oslo", "lima"]),
        AGE: st.none() | st.floats(-1e6, 1e6),
        LIKES: st.none() | st.lists(st.sampled_from(["a", "b", "c"]), max_size=4),
        TASTE: st.none() | st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=2),
        FIRST: st.none() | st.sampled_from(["web", "app"]),
    }
)
rows = st.dictionaries(st.tuples(st.sampled_from("uvw"), st.none() | st.integers(0, 9)), values, max_size=12)
asked = st.lists(st.tuples(st.sampled_from("uvwx"), st.integers(-1, 11)), min_size=1, max_size=12)


def table_of(versions: dict) -> pa.Table:
    columns = {
        "user_id": pa.array([user for user, _ in versions], pa.string()),
        "valid_from": pa.array([at for _, at in versions], pa.int64()).cast(TIMESTAMP),
        CITY: pa.array([one[CITY] for one in versions.values()], pa.string()),
        AGE: pa.array([one[AGE] for one in versions.values()], pa.float64()),
        LIKES: pa.array([one[LIKES] for one in versions.values()], pa.list_(pa.string())),
        TASTE: pa.array([one[TASTE] for one in versions.values()], pa.list_(pa.float32())),
        FIRST: pa.array([one[FIRST] for one in versions.values()], pa.string()),
    }
    return pa.table(columns)


def told_row(time_us: int, values: dict[str, np.ndarray]) -> np.ndarray:
    """One version that tells some columns."""
    columns = missing_columns(1, CONFIGS) | values
    return change_rows(np.array([time_us]), columns, np.array([[name in values for name in CONFIGS]]), CONFIGS)


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert list(one) == list(other)
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert one[name].shape == other[name].shape
        assert one[name].tobytes() == other[name].tobytes(), name


@settings(deadline=None, max_examples=60)
@given(rows, asked, st.randoms())
def test_a_request_reads_the_newest_version_before_it_from_a_table_and_from_a_store(versions, requests, random):
    table = Versions.of(table_of(versions), "user_id", CONFIGS)
    key = hash_ids(pa.array([user for user, _ in requests]))
    time_us = np.array([at for _, at in requests])
    read = table.read(key, time_us)

    for place, (user, at) in enumerate(requests):
        mine = sorted(((since is not None, since or 0), one) for (who, since), one in versions.items() if who == user)
        begun = [one for (dated, since), one in mine if not dated or since <= at]
        expected = dict(begun[-1]) if begun else dict.fromkeys(CONFIGS)
        expected[FIRST] = mine[-1][1][FIRST] if mine else None
        one_row = pa.table({name: pa.array([expected[name]], table_of({}).schema.field(name).type) for name in CONFIGS})
        due = keyed_columns(one_row, CONFIGS)
        same({name: values[place : place + 1] for name, values in read.items()}, due)

    keys, packed = table.packed()
    by_key = dict(zip(keys.tolist(), packed, strict=True))
    live = {}
    order = [*range(len(table)), *range(len(table))]
    random.shuffle(order)
    for row in order:
        one = told_row(int(table.from_us[row]), {name: column[row : row + 1] for name, column in table.columns.items()})
        held = live.get(int(table.key[row]), b"")
        live[int(table.key[row])] = merge(held, one, CONFIGS)
    assert live == by_key
    users = np.unique(key)
    stored = HeldVersions("user.", CONFIGS)
    numbers = stored.add([live.get(int(one), b"") for one in users])
    same(stored.read(numbers[np.searchsorted(users, key)], time_us), read)


def test_a_version_that_tells_some_columns_leaves_the_others_and_an_explicit_nothing_makes_one_missing():
    told = told_row(5, {CITY: np.array([hash_id("rome")]), AGE: np.array([30.0])})
    held = merge(b"", told, CONFIGS)
    held = merge(held, told_row(9, {AGE: np.array([np.nan])}), CONFIGS)
    held = merge(held, told_row(7, {CITY: np.array([hash_id("oslo")])}), CONFIGS)
    stored = HeldVersions("user.", CONFIGS)
    read = stored.read(np.repeat(stored.add([held]), 4), np.array([4, 5, 8, 10]))
    assert read[CITY].tolist() == [0, hash_id("rome"), hash_id("oslo"), hash_id("oslo")]
    np.testing.assert_array_equal(read[AGE], [np.nan, 30.0, 30.0, np.nan])
    assert (read[FIRST] == hash_id("unknown")).all()


def test_versions_that_contradict_each_other_at_one_moment_do_not_depend_on_their_order():
    rome, oslo = (told_row(5, {CITY: np.array([hash_id(city)])}) for city in ("rome", "oslo"))
    age = told_row(5, {AGE: np.array([30.0])})
    one = merge(merge(merge(b"", rome, CONFIGS), oslo, CONFIGS), age, CONFIGS)
    other = merge(merge(merge(b"", age, CONFIGS), oslo, CONFIGS), rome, CONFIGS)
    assert one == other
    assert len(unpack(one, CONFIGS)) == 1


def test_a_version_takes_its_values_its_time_and_a_bit_a_column():
    assert layout({f"user.c{at}": ColumnConfig() for at in range(9)}).itemsize == 8 + 2 + 9 * 8


def test_what_nothing_dates_holds_since_ever():
    table = pa.table({"user_id": ["u"], CITY: ["rome"]})
    versions = Versions.of(table, "user_id", {CITY: ColumnConfig()})
    assert versions.from_us.tolist() == [ALWAYS_US]
    assert versions.read(hash_ids(pa.array(["u"])), np.array([-5]))[CITY].tolist() == [hash_id("rome")]
