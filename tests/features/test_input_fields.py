"""Inputs one by one: each is in exactly one field, and a permuted one moves alone."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.features import EncodedUsers, FeatureState, FitSums, encode_users
from rosa_ray.features.batching import IMPRESSION_INPUTS
from rosa_ray.features.encoding import OWN, owners
from rosa_ray.features.input_fields import HISTORY, OTHER, Field, input_fields
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.views import VIEWS
from tests.tiny_users import BOUNDS, FEATURES, tiny_rows, tiny_users

COLUMNS = {
    "request.slot": ColumnConfig(),
    "request.floor": ColumnConfig(type="number"),
    "request.page": ColumnConfig(type="number", scale="linear"),
}


@pytest.fixture(scope="module")
def declared() -> tuple[EncodedUsers, FeatureState]:
    """Users with declared columns of random values, some numbers missing."""
    rows, rng = tiny_rows(users=20, per_user=12), np.random.default_rng(1)
    count = len(rows.impressions["time_us"])
    values = {
        "request.slot": rng.integers(1, 5, count),
        "request.floor": np.where(rng.random(count) < 0.3, np.nan, rng.exponential(3.0, count)),
        "request.page": rng.normal(0, 2, count),
    }
    rows = replace(rows, impressions={**rows.impressions, **values})
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, COLUMNS)], replace(FEATURES, columns=COLUMNS))
    return encode_users(rows, state), state


def permuted(name: str, users: EncodedUsers, state: FeatureState, seed: int = 0) -> EncodedUsers:
    return named(state)[name].permute(users, np.random.default_rng(seed))


def named(state: FeatureState) -> dict[str, Field]:
    return {field.name: field for field in input_fields(state)}


def test_every_input_of_a_model_is_in_exactly_one_field(declared: tuple[EncodedUsers, FeatureState]) -> None:
    users, state = declared
    fields = input_fields(state)
    assert OTHER not in named(state)
    read = {*IMPRESSION_INPUTS, "price"} - {"time_us", "visible"}  # these two say where in the history a request is
    assert sorted(column for field in fields for column in field.columns) == sorted(read)
    assert sorted(at for field in fields for at in field.dense) == list(range(users.dense.shape[1]))
    assert sorted(at for field in fields for at in field.own) == list(range(users.impressions[OWN].shape[1]))
    assert [field.name for field in fields if field.moves_timelines] == [HISTORY]


def test_every_view_and_every_declared_column_is_a_field_under_its_name(
    declared: tuple[EncodedUsers, FeatureState],
) -> None:
    _, state = declared
    every = replace(state, config=replace(state.config, views=tuple(VIEWS)))
    assert {*VIEWS, *COLUMNS} <= {field.name for field in input_fields(every)}


def test_an_input_that_no_field_names_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = tiny_users(users=10, per_user=8)
    sizes = {**state.table_sizes, "dense": state.table_sizes["dense"] + 2, "own_fields": 1}
    monkeypatch.setattr(FeatureState, "table_sizes", property(lambda self: sizes))
    other = named(state)[OTHER]
    assert (other.own, other.dense) == ((0,), (sizes["dense"] - 2, sizes["dense"] - 1))


@pytest.mark.parametrize("name", ["item", "price", "time", "ad_impressions", "request.slot", "request.floor"])
def test_a_permuted_field_moves_together_and_alone(name: str, declared: tuple[EncodedUsers, FeatureState]) -> None:
    users, state = declared
    field, moved = named(state)[name], permuted(name, users, state)
    before, after = (_cells(field, one) for one in (users, moved))
    assert not np.array_equal(before, after)
    assert np.array_equal(_sorted_rows(before), _sorted_rows(after))
    for column, values in users.impressions.items():
        if column not in (*field.columns, OWN):
            assert np.array_equal(values, moved.impressions[column], equal_nan=True)
    others = np.setdiff1d(np.arange(users.dense.shape[1]), field.dense)
    assert np.array_equal(users.dense[:, others], moved.dense[:, others])
    tokens = np.setdiff1d(np.arange(len(COLUMNS)), field.own)
    assert np.array_equal(users.impressions[OWN][:, tokens], moved.impressions[OWN][:, tokens])


def _cells(field: Field, users: EncodedUsers) -> np.ndarray:
    columns = [users.impressions[name] for name in field.columns]
    columns += [users.impressions[OWN][:, at] for at in field.own] + [users.dense[:, at] for at in field.dense]
    return np.stack(columns, axis=1).astype(np.float64)


def _sorted_rows(cells: np.ndarray) -> np.ndarray:
    return cells[np.lexsort(cells.T)]


def test_a_permuted_history_is_another_users_and_nothing_of_it_is_from_the_future() -> None:
    users, state = tiny_users(users=30, per_user=9)
    moved = permuted(HISTORY, users, state)
    before, after = ([_timeline(one, user) for user in range(len(one))] for one in (users, moved))
    assert before != after
    assert sorted(before) == sorted(after)
    owner = owners(moved.impression_offsets)
    for row, (time_us, visible) in enumerate(
        zip(moved.impressions["time_us"].tolist(), moved.impressions["visible"].tolist(), strict=True)
    ):
        assert visible == sum(event[0] < time_us for event in after[owner[row]])
    for column, values in users.impressions.items():
        if column != "visible":
            assert np.array_equal(values, moved.impressions[column], equal_nan=True)
    assert np.array_equal(users.dense, moved.dense)


def _timeline(users: EncodedUsers, user: int) -> list[tuple[int, ...]]:
    low, high = users.event_offsets[user : user + 2]
    names = ("time_us", "item", "category_key", "behavior", "gap")
    return list(zip(*(users.events[name][low:high].tolist() for name in names), strict=True))
