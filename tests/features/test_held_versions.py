"""Versions in a store: whatever order changes come in, they read as the table of all of them does."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features.changes import Changes, change_rows, merge_changes, retold, told_texts
from rosa_ray.features.held_versions import UNKNOWN, HeldVersions
from rosa_ray.features.own import ColumnConfig, keyed_columns, of_prefix
from rosa_ray.features.versions import ALWAYS_US, Versions, layout
from rosa_ray.schema.own_columns import USER

COLUMNS = {
    "user.age": ColumnConfig(type="number", fill=3.0),
    "user.city": ColumnConfig(fill="nowhere"),
    "user.tags": ColumnConfig(type="categories", most=2),
    "user.taste": ColumnConfig(type="vector", size=2),
    "user.plan": ColumnConfig(clock="static"),
    "item.brand": ColumnConfig(),
}
MINE = of_prefix(USER, COLUMNS)
TYPES = {
    "user.age": pa.float64(),
    "user.city": pa.string(),
    "user.tags": pa.list_(pa.string()),
    "user.taste": pa.list_(pa.float32()),
    "user.plan": pa.string(),
}
_VALUES = {
    "user.age": st.none() | st.sampled_from([1.0, 2.5]),
    "user.city": st.none() | st.sampled_from(["rome", "oslo"]),
    "user.tags": st.none() | st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
    "user.taste": st.none() | st.tuples(*[st.sampled_from([0.5, 1.5])] * 2).map(list),
    "user.plan": st.none() | st.sampled_from(["free", "paid"]),
}
_ROWS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.none() | st.integers(0, 9), st.fixed_dictionaries(_VALUES)),
    max_size=8,
    unique_by=lambda row: row[:2],
)


def table_of(rows: list[tuple[str, int | None, dict]]) -> pa.Table:
    said = {name: pa.array([row[2][name] for row in rows], TYPES[name]) for name in TYPES}
    times = pa.array([row[1] for row in rows], pa.timestamp("us", "UTC"))
    return pa.table({"user_id": pa.array([row[0] for row in rows], pa.string()), "valid_from": times, **said})


def changes_of(rows: list[tuple[str, int | None, dict]], said: list[set[str]]) -> np.ndarray:
    columns = keyed_columns(table_of(rows), MINE)
    times = np.array([ALWAYS_US if row[1] is None else row[1] for row in rows], np.int64)
    tells = np.array([[name in one for name in MINE] for one in said], bool).reshape(len(rows), len(MINE))
    return change_rows(times, columns, tells, MINE)


def require_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
        assert found[name].tobytes() == values.tobytes(), name


@settings(deadline=None)
@given(st.data(), _ROWS)
def test_a_store_reads_what_the_table_reads(data, rows):
    versions = Versions.of(table_of(rows), "user_id", MINE)
    keys, packed = versions.packed()
    held, cut = HeldVersions(USER, COLUMNS), data.draw(st.integers(0, len(packed)))
    numbers = np.r_[UNKNOWN, held.add(packed[:cut]), held.add([b""]), held.add(packed[cut:])]
    owner = np.r_[-1, keys[:cut], -1, keys[cut:]]
    assert [held.bytes_of(one) for one in numbers] == [b"", *packed[:cut], b"", *packed[cut:]]
    asked = np.array(data.draw(st.lists(st.integers(0, len(numbers) - 1), max_size=30)), np.int64)
    times = np.array(data.draw(st.lists(st.integers(-1, 11), min_size=len(asked), max_size=len(asked))), np.int64)
    require_same(held.read(numbers[asked], times), versions.read(owner[asked], times))


@settings(deadline=None)
@given(st.data(), _ROWS)
def test_order_repetition_and_cuts_of_changes_do_not_matter(data, rows):
    said = [data.draw(st.sets(st.sampled_from(list(MINE)), min_size=1)) for _ in rows]
    changes = changes_of(rows, said)
    again = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)) if rows else []
    order = data.draw(st.permutations([*range(len(rows)), *again]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    superseded_us = data.draw(st.none() | st.integers(0, 9))
    for user in ("ann", "bob"):
        mine = [at for at, row in enumerate(rows) if row[0] == user]
        at_once = merge_changes(b"", changes[mine], MINE, superseded_us)
        packed = b""
        for low, high in zip([0, *cuts], [*cuts, len(order)], strict=True):
            part = [at for at in order[low:high] if at in mine]
            packed = merge_changes(packed, changes[part], MINE, superseded_us)
        assert packed == at_once
        whole, kept = (HeldVersions(USER, COLUMNS) for _ in range(2))
        all_of, few = whole.add([merge_changes(b"", changes[mine], MINE)]), kept.add([at_once])
        times = np.arange(superseded_us or 0, 11)
        require_same(kept.read(np.repeat(few, len(times)), times), whole.read(np.repeat(all_of, len(times)), times))


@settings(deadline=None)
@given(_ROWS)
def test_changes_that_tell_everything_are_the_rows_of_a_table(rows):
    whole = changes_of(rows, [set(MINE)] * len(rows))
    keys, packed = Versions.of(table_of(rows), "user_id", MINE).packed()
    owner = np.array([keys[0] if row[0] == rows[0][0] else -1 for row in rows], np.int64)
    mine = whole[owner == keys[0]] if rows else whole
    assert not rows or merge_changes(b"", mine, MINE) in packed


def test_a_column_that_a_change_does_not_name_keeps_what_it_had():
    nothing = dict.fromkeys(TYPES)
    rows = [("ann", None, nothing | {"user.age": 1.0, "user.plan": "free"}), ("ann", 5, nothing | {"user.age": 2.5})]
    packed = merge_changes(b"", changes_of(rows, [{"user.age", "user.plan"}, {"user.age", "user.city"}]), MINE)
    held = HeldVersions(USER, COLUMNS)
    read = held.read(np.repeat(held.add([packed]), 2), np.array([4, 5]))
    assert read["user.age"].tolist() == [1.0, 2.5]
    assert read["user.plan"][0] == read["user.plan"][1] != 0
    assert read["user.city"][0] == read["user.city"][1] == keyed_columns(table_of([rows[0]]), MINE)["user.city"][0]


def test_of_one_moment_columns_are_united_and_the_larger_bytes_count():
    nothing = dict.fromkeys(TYPES)
    rows = [("ann", 5, nothing | {"user.city": city, "user.age": 1.0}) for city in ("rome", "oslo")]
    one, two = (changes_of([row], [{"user.city"}]) for row in rows)
    age = changes_of([rows[0]], [{"user.age"}])
    united = {merge_changes(merge_changes(b"", a, MINE), np.r_[b, age], MINE) for a, b in ((one, two), (two, one))}
    assert len(united) == 1
    assert len(united.pop()) == layout(MINE).itemsize


def test_another_store_takes_what_it_knows_of_a_change():
    row = (
        "ann",
        5,
        {"user.age": 2.0, "user.city": "rome", "user.tags": ["a", "b"], "user.taste": [1, 2], "user.plan": None},
    )
    changes = changes_of([row], [set(MINE)])
    texts = told_texts(changes, MINE)
    require_same({"": retold([5], texts, MINE)}, {"": changes})
    other = {
        "user.plan": ColumnConfig(),
        "user.age": ColumnConfig(type="category"),
        "user.tags": ColumnConfig(type="categories", most=3),
        "user.taste": ColumnConfig(type="vector", size=3),
        "user.new": ColumnConfig(),
    }
    taken = retold([5], texts, other)
    assert np.unpackbits(taken["said"][0], bitorder="little")[:5].tolist() == [1, 0, 1, 0, 0]
    assert taken["c2"][0].tolist() == [*changes["c2"][0].tolist(), 0]


def test_rows_of_changes_come_by_key():
    changes = Changes(USER, np.array([7, 3, 7]), np.arange(3))
    assert {key: rows.tolist() for key, rows in changes.by_key().items()} == {3: [1], 7: [0, 2]}
