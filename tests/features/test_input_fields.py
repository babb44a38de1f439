"""Inputs one by one: each is in exactly one field, and a permuted one moves alone."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.features import EncodedUsers, FeatureState, FitSums, encode_users
from rosa_ray.features.batching import IMPRESSION_INPUTS
from rosa_ray.features.encoding import owners
from rosa_ray.features.frozen import FrozenVectors
from rosa_ray.features.input_fields import DENSE, HISTORY, OTHER, Field, input_fields
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.own_counters import CounterConfig, own_views
from rosa_ray.features.own_inputs import GIVEN_VECTORS, OWN, OWN_SETS, SHARED, VECTOR_ROWS
from rosa_ray.features.views import VIEWS
from tests.tiny_users import BOUNDS, FEATURES, tiny_rows, tiny_users

COLUMNS = {
    "request.slot": ColumnConfig(),
    "request.floor": ColumnConfig(type="number"),
    "request.page": ColumnConfig(type="number", scale="linear"),
    "item.brand": ColumnConfig(shared=True),
    "item.shop": ColumnConfig(shared=True),
    "user.interests": ColumnConfig(type="categories", most=2),
    "user.text": ColumnConfig(type="vector", size=3),
    "ad.image": ColumnConfig(type="vector", size=2),
    "item.image": ColumnConfig(type="vector", size=4),
    "request.told": ColumnConfig(type="vector", size=2),
}
VECTORS = ("item.image", "ad.image")
MATRICES = (OWN, OWN_SETS, SHARED, VECTOR_ROWS, GIVEN_VECTORS)


@pytest.fixture(scope="module")
def declared() -> tuple[EncodedUsers, FeatureState]:
    """Users with declared columns of random values of every type, some missing."""
    rows, rng = tiny_rows(users=20, per_user=12), np.random.default_rng(1)
    count, events = len(rows.impressions["time_us"]), len(rows.events["time_us"])
    values = {
        "request.slot": rng.integers(1, 5, count),
        "request.floor": np.where(rng.random(count) < 0.3, np.nan, rng.exponential(3.0, count)),
        "request.page": rng.normal(0, 2, count),
        "item.brand": rng.integers(0, 4, count),
        "item.shop": rng.integers(0, 4, count),
        "user.interests": rng.integers(1, 9, (count, 2)),
        "user.text": rng.normal(0, 1, (count, 3)).astype(np.float32),
        "request.told": rng.normal(0, 1, (count, 2)).astype(np.float32),
    }
    of_events = {"item.brand": rng.integers(0, 4, events), "item.shop": rng.integers(0, 4, events)}
    rows = replace(rows, impressions={**rows.impressions, **values}, events={**rows.events, **of_events})
    ids = np.unique(rows.impressions["item_key"])
    frozen = {
        name: FrozenVectors(ids, rng.normal(0, 1, (len(ids), COLUMNS[name].size)).astype(np.float32))
        for name in VECTORS
    }
    config = replace(FEATURES, columns=COLUMNS, crosses=(("request.slot", "hour"),), ad_id=True)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config, vectors=frozen)
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
    wide = {DENSE: users.dense, **{name: users.impressions[name] for name in MATRICES}}
    for part, values in wide.items():
        named_places = sorted(at for field in fields for at in field.within.get(part, ()))
        assert named_places == list(range(values.shape[1])), part
    others = {name for name, values in users.impressions.items() if values.ndim > 1} - {*MATRICES}
    assert not others
    assert [field.name for field in fields if field.moves_timelines] == [HISTORY]


def test_every_view_and_every_declared_column_is_a_field_under_its_name(
    declared: tuple[EncodedUsers, FeatureState],
) -> None:
    _, state = declared
    counters = (CounterConfig(by=("ad_id", "request.slot"), windows_h=(24, 168)), CounterConfig("events", ("item_id",)))
    config = replace(state.config, views=tuple(VIEWS), counters=counters, position=True)
    vocabularies = {**state.vocabularies, "position": state.vocabularies["device"]}
    fields = named(replace(state, config=config, vocabularies=vocabularies))
    own = [view.name for view in own_views(counters)]
    assert {*VIEWS, *own, *COLUMNS, "request.slot*hour", "ad_id", "position"} <= set(fields)
    assert OTHER not in fields
    assert len(fields[own[0]].within[DENSE]) == 2 * 2 * 3, "two windows of three figures, each with its presence"


def test_an_input_that_no_field_names_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = tiny_users(users=10, per_user=8)
    sizes = {**state.table_sizes, "dense": state.table_sizes["dense"] + 2, "own_fields": 1}
    monkeypatch.setattr(FeatureState, "table_sizes", property(lambda self: sizes))
    other = named(state)[OTHER]
    assert other.within == {OWN: (0,), DENSE: (sizes["dense"] - 2, sizes["dense"] - 1)}


@pytest.mark.parametrize("name", ["item", "price", "time", "ad_impressions", *COLUMNS, "request.slot*hour", "ad_id"])
def test_a_permuted_field_moves_together_and_alone(name: str, declared: tuple[EncodedUsers, FeatureState]) -> None:
    users, state = declared
    field, moved = named(state)[name], permuted(name, users, state)
    before, after = (_cells(field, one) for one in (users, moved))
    assert not np.array_equal(before, after)
    assert np.array_equal(_sorted_rows(before), _sorted_rows(after))
    for column, values in users.impressions.items():
        if column not in (*field.columns, *MATRICES):
            assert np.array_equal(values, moved.impressions[column], equal_nan=True)
    for part in (DENSE, *MATRICES):
        was, now = (one.dense if part == DENSE else one.impressions[part] for one in (users, moved))
        others = np.setdiff1d(np.arange(was.shape[1]), field.within.get(part, ()))
        assert np.array_equal(was[:, others], now[:, others])
    assert all(np.array_equal(values, moved.events[name]) for name, values in users.events.items())


def _cells(field: Field, users: EncodedUsers) -> np.ndarray:
    """All that a field holds, a row per impression."""
    columns = [users.impressions[name] for name in field.columns]
    for part, places in field.within.items():
        values = users.dense if part == DENSE else users.impressions[part]
        columns += list(values[:, list(places)].reshape(len(values), -1).T)
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
