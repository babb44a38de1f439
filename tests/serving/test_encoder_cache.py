"""What of a user's encoding is used again, and what it takes."""

import numpy as np
import pytest
import torch

from rosa_ray.features import EVENT_COLUMNS
from rosa_ray.models.encoder import EncoderCache
from rosa_ray.serving.encoder import OBJECT_BYTES, CachedUser, count_new, ends_before

CONTEXT = 5


def timeline(text: str) -> dict[str, np.ndarray]:
    """One event per letter, each a second after the one before; an upper-case letter comes at the same time."""
    time_us = np.cumsum([not letter.isupper() for letter in text]) * 1_000_000
    known = {"time_us": time_us, "item_key": np.array([ord(letter) for letter in text])}
    types = {name: kind.to_pandas_dtype() for name, kind in EVENT_COLUMNS.items()}
    return {name: np.asarray(known.get(name, np.zeros(len(text))), types[name]) for name in EVENT_COLUMNS}


def later(columns: dict[str, np.ndarray], seconds: int) -> dict[str, np.ndarray]:
    return {**columns, "time_us": columns["time_us"] + seconds * 1_000_000}


@pytest.mark.parametrize(
    ("now", "known", "new"),
    [
        ("abc", "abc", 0),
        ("abcd", "abc", 1),
        ("abcDE", "abc", 2),
        ("abC", "ab", 1),
        ("xbc", "abc", None),
        ("xabc", "abc", None),
        ("abxc", "abc", None),
        ("ab", "abc", None),
        ("abX", "abC", None),
        ("aBc", "abc", None),
    ],
)
def test_a_timeline_that_was_not_cut_continues_only_all_of_the_known_one(now: str, known: str, new: int | None) -> None:
    assert count_new(timeline(now), timeline(known), CONTEXT) == new


@pytest.mark.parametrize(
    ("now", "shift_s", "known", "new"),
    [
        ("bcdef", 1, "abcde", 1),
        ("efghi", 4, "abcde", 4),
        ("fghij", 5, "abcde", None),
        ("bcdef", 1, "abcd", 2),
        ("bcxef", 1, "abcde", None),
        ("bcde", 1, "abcde", None),
        ("bcDEF", 1, "abcDE", 1),
        ("bcDFE", 1, "abcDE", None),
    ],
)
def test_a_timeline_that_was_cut_continues_the_last_events_of_the_known_one(
    now: str, shift_s: int, known: str, new: int | None
) -> None:
    assert count_new(later(timeline(now), shift_s), timeline(known), CONTEXT) == new


def test_among_equal_times_the_place_of_a_new_event_is_found() -> None:
    assert count_new(timeline("aBCD"), timeline("aBC"), CONTEXT) == 1
    assert count_new(timeline("aBDC"), timeline("aBC"), CONTEXT) is None
    assert count_new(timeline("aAAAB"), timeline("aAAA"), CONTEXT) == 1
    assert count_new(timeline("aAAAA"), timeline("aAAAA"), CONTEXT) == 0


@pytest.mark.parametrize("name", EVENT_COLUMNS)
def test_every_column_of_an_event_counts(name: str) -> None:
    known, other = timeline("abc"), timeline("abc")
    other[name][1] += 1
    assert count_new(timeline("abcd"), known, CONTEXT) == 1
    assert count_new({**timeline("abcd"), name: np.append(other[name], timeline("abcd")[name][-1])}, known, 5) is None


def test_a_missing_price_equals_a_missing_price() -> None:
    one, two = timeline("abc"), timeline("abc")
    one["price"][:] = two["price"][:] = np.nan
    assert count_new(one, two, CONTEXT) == 0
    two["price"][0] = 1
    assert count_new(one, two, CONTEXT) is None


def test_an_earlier_moment_is_known_by_its_last_event() -> None:
    assert ends_before(timeline("ab"), timeline("abc"))
    assert not ends_before(timeline("xbc"), timeline("abc"))


def encoding(events: int) -> CachedUser:
    layers = EncoderCache(
        (torch.zeros(1, 2, events, 4),),
        (torch.zeros(1, 2, events, 4),),
        torch.zeros(1, events, dtype=torch.int64),
        torch.zeros(1, events, dtype=torch.int64),
    )
    return CachedUser(timeline("a" * events), layers, np.zeros((events, 8), np.float32))


SIZE = encoding(4).nbytes


def test_the_bytes_of_an_entry_are_those_of_its_arrays() -> None:
    layers, states, columns = 2 * (2 * 4 * 4 * 4) + 2 * 4 * 8, 4 * 8 * 4, 4 * (8 + 8 + 8 + 1 + 4)
    assert layers + states + columns + OBJECT_BYTES == SIZE


def test_what_is_kept_keeps_no_larger_array_alive() -> None:
    whole = encoding(50)
    narrow = EncoderCache(
        tuple(key[:, :, -3:] for key in whole.layers.key_LBHCE),
        tuple(value[:, :, -3:] for value in whole.layers.value_LBHCE),
        whole.layers.time_us_BC[:, -3:],
        whole.layers.behavior_BC[:, -3:],
    )
    kept = CachedUser(timeline("abc"), narrow, whole.states[-3:]).compact()
    tensors = (*kept.layers.key_LBHCE, *kept.layers.value_LBHCE, kept.layers.time_us_BC, kept.layers.behavior_BC)
    held = sum(tensor.untyped_storage().nbytes() for tensor in tensors)
    assert held == kept.layers.nbytes
    assert kept.states.base is None
