"""Counters: exact sums over closed event-time buckets, whatever the order and grouping."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features import Buckets, Counters

OBSERVATIONS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 20), st.integers(0, 9)), min_size=1, max_size=60)


def fold(observations: list[tuple[int, int, int]]) -> Counters:
    entity, bucket, amount = (np.array(column, np.int64) for column in zip(*observations, strict=True))
    return Counters.fold(entity, bucket, np.stack([amount, np.ones_like(amount)], axis=1))


def same(left: Counters, right: Counters) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in ("entity_key", "bucket", "sums"))


@settings(max_examples=60, deadline=None)
@given(OBSERVATIONS, st.integers(0, 60), st.randoms(use_true_random=False))
def test_any_order_and_any_split_give_the_same_state(observations, cut, random) -> None:
    whole = fold(observations)
    shuffled = random.sample(observations, len(observations))
    parts = [part for part in (shuffled[:cut], shuffled[cut:]) if part]
    assert same(whole, Counters.empty(2).merge(*(fold(part) for part in parts)))


@settings(max_examples=60, deadline=None)
@given(OBSERVATIONS, st.integers(-4, 4), st.integers(-2, 22), st.sampled_from([None, 1, 3, 50]))
def test_a_read_sums_the_window_that_ends_with_the_last_bucket(observations, entity, last, window) -> None:
    expected = [0, 0]
    for key, bucket, amount in observations:
        if key == entity and bucket <= last and (window is None or bucket > last - window):
            expected[0] += amount
            expected[1] += 1
    read = fold(observations).read(np.array([entity]), np.array([last]), (window,))
    assert read[0, 0].tolist() == expected


def test_an_empty_counter_reads_zero() -> None:
    read = Counters.empty(3).read(np.array([1, 2]), np.array([5, 5]), (1, None))
    assert read.shape == (2, 2, 3)
    assert not read.any()


def test_a_bucket_is_readable_only_after_it_has_closed_and_settled() -> None:
    grid = Buckets(width_us=100, settle_us=10)
    assert grid.of(np.array([199, 200])).tolist() == [1, 2]
    assert grid.last_closed(np.array([200, 209, 210])).tolist() == [0, 0, 1]


def test_tables_round_trip_and_rows_of_two_parts_are_summed() -> None:
    state = fold([(5, 1, 2), (5, 2, 3), (-7, 1, 4)])
    table = state.to_table("view")
    assert same(Counters.from_table(table, 2), state)
    doubled = Counters.from_table(
        Counters.fold(
            np.r_[state.entity_key, state.entity_key],
            np.r_[state.bucket, state.bucket],
            np.r_[state.sums, state.sums],
        ).to_table("view"),
        2,
    )
    assert doubled.sums.tolist() == (2 * state.sums).tolist()
