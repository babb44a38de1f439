"""Byte layouts are exact in both directions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features import Counters
from rosa_ray.store.packing import pack_counters, pack_states, unpack_counters, unpack_states


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([-(2**63), -5, 3, 2**63 - 1]),
            st.integers(0, 600_000),
            st.sampled_from([0, 1, 127, 128, 2**15, 2**31, 2**62, -1, -128, -129, -(2**31) - 1]),
        ),
        max_size=30,
        unique_by=lambda row: row[:2],
    )
)
def test_counters_come_back(rows: list[tuple[int, int, int]]) -> None:
    columns = np.array(rows, np.int64).reshape(-1, 3)
    counters = Counters.fold(columns[:, 0], columns[:, 1], columns[:, 1:])
    keys, chunks, packed = pack_counters(counters, 128)
    found = unpack_counters(keys.tolist(), chunks.tolist(), packed, 2, 128)
    for name in ("entity_key", "bucket", "sums"):
        np.testing.assert_array_equal(getattr(found, name), getattr(counters, name))


def test_small_counts_take_one_byte_each() -> None:
    counters = Counters(np.full(3, 7), np.array([128, 130, 255]), np.array([[1, 0], [127, 3], [2, 2]]))
    _, _, packed = pack_counters(counters, 128)
    assert packed == [bytes([0, 0, 1, 0, 2, 127, 3, 127, 2, 2])]


@pytest.mark.parametrize(
    ("dtype", "size"), [("float16", 5 + 50 * (29 + 128 * 2)), ("float32", 5 + 50 * (29 + 128 * 4))]
)
def test_states_take_the_declared_bytes(dtype: str, size: int) -> None:
    states = np.random.default_rng(0).standard_normal((50, 128)).astype(dtype).astype(np.float32)
    keys = np.random.default_rng(1).integers(-(2**63), 2**63, (2, 50))
    events = {
        "time_us": np.arange(50) * 10**15,
        "item_key": keys[0],
        "category_key": keys[1],
        "behavior": np.arange(50, dtype=np.int8) % 4,
        "price": np.arange(50, dtype=np.float32) / 3,
    }
    packed = pack_states(events, states, dtype)
    assert len(packed) == size
    found_events, found_states = unpack_states(packed)
    np.testing.assert_array_equal(found_states, states)
    assert found_states.dtype == np.float32
    for name, expected in events.items():
        assert found_events[name].dtype == expected.dtype
        np.testing.assert_array_equal(found_events[name], expected)


def test_states_of_earlier_versions_have_no_prices() -> None:
    """Header, one event of 25 bytes, and a state of two halves, as they were written."""
    packed = bytes.fromhex("0100020000 0700000000000000 0300000000000000 0500000000000000 02 003c00c0")
    events, states = unpack_states(packed)
    assert {name: values.tolist() for name, values in events.items() if name != "price"} == {
        "time_us": [7], "item_key": [3], "category_key": [5], "behavior": [2],
    }  # fmt: skip
    assert np.isnan(events["price"]).all()
    assert states.tolist() == [[1.0, -2.0]]
