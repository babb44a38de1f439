"""Long users are cut so that no batch outgrows its bounds, and nothing else changes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features import EncodedUsers, batch_users, collate, cut_long_users
from rosa_ray.features.batching import IMPRESSION_INPUTS, LABELS
from rosa_ray.features.encoding import owners
from rosa_ray.features.pieces import PIECE_CELLS, PIECE_ROWS, WHOLE_CELLS, WHOLE_ROWS

CONTEXT = 150


def users_of(lengths: list[tuple[int, int]], seed: int = 0) -> EncodedUsers:
    """Users with so many events and impressions; event j is at time j, `visible` is anything from 0 to all."""
    rng = np.random.default_rng(seed)
    event_offsets, impression_offsets = (np.r_[0, np.cumsum(column)] for column in zip(*lengths, strict=True))
    events, shown = int(event_offsets[-1]), int(impression_offsets[-1])
    most = np.diff(event_offsets)[owners(impression_offsets)]
    time_us = np.arange(events) - event_offsets[owners(event_offsets)]
    return EncodedUsers(
        user_key=np.arange(len(lengths)) + 1,
        event_offsets=event_offsets,
        events={"time_us": time_us},
        impression_offsets=impression_offsets,
        impressions={"visible": np.sort(rng.integers(0, most + 1)) if len(lengths) == 1 else rng.integers(0, most + 1)},
        dense=np.zeros((shown, 1), np.float32),
    )


def sizes(users: EncodedUsers) -> tuple[np.ndarray, np.ndarray]:
    return np.diff(users.event_offsets), np.diff(users.impression_offsets)


def seen(users: EncodedUsers, context: int) -> list[list[int]]:
    """Times of the last `context` events that each impression sees."""
    start = users.event_offsets[owners(users.impression_offsets)]
    stop = start + users.impressions["visible"]
    pairs = zip(np.maximum(start, stop - context).tolist(), stop.tolist(), strict=True)
    return [users.events["time_us"][low:high].tolist() for low, high in pairs]


def test_ordinary_users_are_left_as_they_are() -> None:
    users = users_of([(WHOLE_ROWS, 64), (0, WHOLE_ROWS), (512, 512), (300, 0)])
    assert cut_long_users(users, CONTEXT) is users


@pytest.mark.parametrize("lengths", [(6000, 6000), (WHOLE_ROWS + 1, 40), (3, WHOLE_ROWS + 1), (1000, 300)])
@pytest.mark.parametrize("context", [1, CONTEXT, 700])
def test_every_impression_sees_what_it_saw(lengths: tuple[int, int], context: int) -> None:
    users = users_of([(5, 2), lengths, (0, 1)])
    cut = cut_long_users(users, context)
    assert len(cut) > len(users)
    assert cut.user_key[[0, -1]].tolist() == [1, 3]
    assert set(cut.user_key[1:-1].tolist()) == {2}
    assert cut.dense is users.dense
    assert seen(cut, context) == seen(users, context)
    assert sizes(cut)[1][[0, -1]].tolist() == [2, 1]
    assert (cut.impressions["visible"] <= np.diff(cut.event_offsets)[owners(cut.impression_offsets)]).all()


def test_a_long_user_without_impressions_needs_no_event() -> None:
    cut = cut_long_users(users_of([(2, 1), (WHOLE_ROWS + 1, 0)]), CONTEXT)
    assert [column.tolist() for column in sizes(cut)] == [[2, 0], [1, 0]]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 6000)), min_size=1, max_size=6),
    st.sampled_from([1, CONTEXT, 700]),
    st.integers(1, 8),
)
def test_no_piece_and_no_batch_outgrows_its_bounds(
    lengths: list[tuple[int, int]], context: int, users_per_batch: int
) -> None:
    users = users_of(lengths)
    cut = cut_long_users(users, context)
    events, shown = sizes(cut)
    assert events.max() <= max(WHOLE_ROWS, 2 * context)
    assert shown.max() <= WHOLE_ROWS
    assert (events * shown).max() <= WHOLE_CELLS
    batches = list(batch_users(cut, users_per_batch, np.random.default_rng(0)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(cut)))
    for batch in batches:
        assert len(batch) <= users_per_batch
        assert len(batch) * events[batch].max() * shown[batch].max() <= users_per_batch * WHOLE_CELLS


@pytest.mark.parametrize("lengths", [(20_000, 20_000), (20_000, 2000), (2000, 20_000)])
def test_work_is_linear_in_the_length_of_a_user(lengths: tuple[int, int]) -> None:
    def work(share: int) -> tuple[int, int, int]:
        events, shown = sizes(cut_long_users(users_of([(lengths[0] // share, lengths[1] // share)]), CONTEXT))
        assert events.max() <= PIECE_ROWS
        assert (events * shown).max() <= PIECE_CELLS
        return int(events.sum()), int(shown.sum()), int((events * shown).sum())

    whole, quarter = work(1), work(4)
    assert all(one <= 4.5 * other for one, other in zip(whole, quarter, strict=True))


def test_rows_of_a_batch_know_which_user_they_are_a_piece_of() -> None:
    users = users_of([(WHOLE_ROWS + 1, 9), (5, 3)])
    columns = {name: np.zeros(len(users.dense)) for name in set(LABELS) - {"expected_cost"}}
    names = ("item", "category", "behavior", "gap", "hour", "weekday", "item_key", "category_key", "log_price")
    others = {name: np.zeros(len(users.events["time_us"]), np.int64) for name in names}
    shown = {name: np.zeros(len(users.dense), np.int64) for name in set(IMPRESSION_INPUTS) - {"visible"}}
    impressions = {**users.impressions, **shown, **columns, "expected_cost": columns["cost"]}
    cut = cut_long_users(
        dataclasses.replace(users, events={**users.events, **others}, impressions=impressions), CONTEXT
    )
    user = collate(cut, np.arange(len(cut)))["user"]
    assert len(set(user[:-1].tolist())) == 1
    assert user[-1] not in user[:-1]
