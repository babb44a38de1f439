"""Declared columns: from contract rows to model input, the same from a log and from a request."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import ConfigError
from rosa_ray.features import FeatureConfig, FeatureState, FitSums, UserRows, encode_users
from rosa_ray.features.own import ColumnConfig, column_type, given_columns, keyed_columns, on_scale, token_keys
from rosa_ray.schema import MISSING_KEY, hash_id
from tests.synthetic import BOUNDS, CONFIG, user_rows_of

PLACE, FLOOR = "request.place", "request.floor"
COLUMNS = {PLACE: ColumnConfig(), FLOOR: ColumnConfig(type="number")}
DECLARED = FeatureConfig(item_oov_buckets=8, oov_buckets=4, columns=COLUMNS)

texts = st.none() | st.text(min_size=1, max_size=5)
numbers = st.none() | st.floats(-1e9, 1e9)


def rows_and_state() -> tuple[UserRows, FeatureState]:
    rng = np.random.default_rng(3)
    own = {
        PLACE: pa.array([("top", "side", None)[at] for at in rng.integers(0, 3, 400)]),
        FLOOR: pa.array(rng.lognormal(size=400), mask=rng.random(400) < 0.2),
    }
    rows = user_rows_of(DECLARED, own)
    return rows, FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, DECLARED)], DECLARED)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, numbers), min_size=1, max_size=20))
def test_a_request_and_a_log_give_the_same_columns(values):
    table = pa.table(
        {
            PLACE: pa.array([place for place, _ in values], pa.string()),
            FLOOR: pa.array([floor for _, floor in values], pa.float64()),
        }
    )
    logged = keyed_columns(table, COLUMNS)
    for at, (place, floor) in enumerate(values):
        asked = given_columns({PLACE: place, FLOOR: floor}, 2, COLUMNS)
        for name in COLUMNS:
            assert asked[name].tobytes() == np.repeat(logged[name][at], 2).tobytes()


LISTS = {
    "request.tags": ColumnConfig(type="categories", most=2),
    "request.filled": ColumnConfig(type="categories", most=3, fill="none"),
    "request.query": ColumnConfig(type="vector", size=2),
    "request.kind": ColumnConfig(fill="unknown"),
    "request.bid": ColumnConfig(type="number", fill=1.5),
}
tags = st.none() | st.lists(st.none() | st.sampled_from(["a", "b", "c", "d"]), max_size=5)
vectors = st.none() | st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=2)


@settings(deadline=None)
@given(tags, tags, vectors, texts, numbers)
def test_lists_and_filled_values_of_a_request_are_those_of_a_log(first, second, query, kind, bid):
    values = dict(zip(LISTS, (first, second, query, kind, bid), strict=True))
    table = pa.table({name: pa.array([values[name]], column_type(config)) for name, config in LISTS.items()})
    logged, asked = keyed_columns(table, LISTS), given_columns(values, 3, LISTS)
    for name in LISTS:
        assert asked[name].dtype == logged[name].dtype
        assert asked[name].tobytes() == np.repeat(logged[name], 3, axis=0).tobytes(), name


def test_what_a_request_does_not_say_is_missing():
    asked = given_columns({}, 3, COLUMNS)
    assert asked[PLACE].tolist() == [MISSING_KEY] * 3
    assert np.isnan(asked[FLOOR]).all()


def test_tokens_of_numbers_tell_small_counts_apart_and_gather_large_ones():
    config = COLUMNS[FLOOR]
    counts = np.array([np.nan, 0, 1, 2, 3, 1000, 1001, -1])
    tokens = token_keys(counts, config)
    assert tokens[0] == MISSING_KEY
    assert len(set(tokens[:5].tolist())) == 5
    assert tokens[5] == tokens[6]
    assert tokens[7] != tokens[2]
    assert on_scale(counts, ColumnConfig(type="number", scale="linear"))[5] == 1000


def test_user_rows_keep_declared_columns_through_a_file():
    rows, _ = rows_and_state()
    again = UserRows.from_table(rows.to_table())
    for name in COLUMNS:
        np.testing.assert_array_equal(again.impressions[name], rows.impressions[name])


def test_encoding_gives_a_row_per_column_in_a_common_table_and_numbers_beside_the_counters():
    rows, state = rows_and_state()
    encoded = encode_users(rows, state)
    own = encoded.impressions["own"]
    first = state.vocabularies[PLACE].size
    assert own.shape == (400, 2)
    assert (own[:, 0] < first).all()
    assert (own[:, 1] >= first).all()
    assert own.max() < state.table_sizes["own"] == first + state.vocabularies[FLOOR].size
    assert own[rows.impressions[PLACE] == hash_id("top"), 0].std() == 0
    plain = user_rows_of(CONFIG, {})
    width = encode_users(plain, FeatureState.fit([FitSums.of(plain, BOUNDS.valid_us)], CONFIG)).dense.shape[1]
    assert encoded.dense.shape == (400, width + 2)
    known = ~np.isnan(rows.impressions[FLOOR])
    np.testing.assert_array_equal(encoded.dense[:, -1], known)
    train = known & (rows.impressions["split"] == 0)
    assert abs(encoded.dense[train, -2].mean()) < 1e-6
    assert abs(encoded.dense[train, -2].std() - 1) < 1e-6


def test_a_fit_of_parts_is_that_of_the_whole():
    rows, state = rows_and_state()
    table = rows.to_table()
    parts = [
        FitSums.of(UserRows.from_table(table.slice(at, 4)), BOUNDS.valid_us, DECLARED) for at in range(0, len(rows), 4)
    ]
    merged = FeatureState.fit(parts, DECLARED)
    np.testing.assert_allclose(merged.number_mean, state.number_mean)
    np.testing.assert_allclose(merged.number_scale, state.number_scale)
    assert merged.vocabularies[FLOOR].keys.tolist() == state.vocabularies[FLOOR].keys.tolist()


def test_a_saved_state_has_its_columns_and_another_declaration_another_fingerprint(tmp_path):
    _, state = rows_and_state()
    state.save(tmp_path)
    loaded = FeatureState.load(tmp_path)
    assert loaded.config == DECLARED
    assert loaded.fingerprint == state.fingerprint
    plain = user_rows_of(CONFIG, {})
    without = FeatureState.fit([FitSums.of(plain, BOUNDS.valid_us)], CONFIG)
    assert without.fingerprint != state.fingerprint
    assert "own" not in without.table_sizes


def test_a_column_without_a_known_prefix_is_refused():
    with pytest.raises(ConfigError, match=r"'place' must begin with request\., user\., item\., ad\. and a name"):
        FeatureConfig(columns={"place": ColumnConfig()})


def test_a_request_column_that_is_called_as_another_table_s_is_refused():
    with pytest.raises(ConfigError, match=r"'request\.user\.age' would be called as a column of another table"):
        FeatureConfig(columns={"request.user.age": ColumnConfig()})
