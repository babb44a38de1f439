"""Pairs of rows that follow each other: counted by hand on small worlds."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.models import pairs as module
from rosa_ray.models.pairs import PRIOR_PAIRS, Pairs
from rosa_ray.schema import FOLDS

A, B, C = 1, 2, 3
ROWS = 4
WORLD = [[A, B, C], [A, B], [A, B, C]]


def pairs_of(sequences: Sequence[Sequence[int]], folds: Sequence[int], horizon: int) -> Pairs:
    """Pairs of users with these events, in these folds."""
    offsets = np.cumsum([0, *(len(sequence) for sequence in sequences)])
    row = np.array([row for sequence in sequences for row in sequence], np.int64)
    return Pairs.count(row, offsets, np.array(folds), ROWS, horizon)


def lift(pairs: Pairs, first: int, then: int, fold: int | None) -> float:
    told = None if fold is None else torch.tensor([fold])
    return float(pairs.log_lift(torch.tensor([first]), torch.tensor([then]), told)[0])


def test_a_lift_is_pairs_over_those_expected_of_other_folds() -> None:
    """Fold 0 has no users. Of 5 pairs A is first of 3 and B second of 3: by chance they were 3 · 3 / 5."""
    pairs = pairs_of(WORLD, [1, 2, 3], horizon=1)
    for fold in (0, None):
        assert lift(pairs, A, B, fold) == pytest.approx(math.log((3 + PRIOR_PAIRS) / (3 * 3 / 5 + PRIOR_PAIRS)))
        assert lift(pairs, A, C, fold) == pytest.approx(math.log((0 + PRIOR_PAIRS) / (3 * 2 / 5 + PRIOR_PAIRS)))
        assert lift(pairs, B, A, fold) == pytest.approx(0)


def test_the_readers_own_fold_does_not_count() -> None:
    pairs = pairs_of(WORLD, [1, 2, 3], horizon=1)
    assert lift(pairs, A, B, 1) == pytest.approx(math.log((2 + PRIOR_PAIRS) / (2 * 2 / 3 + PRIOR_PAIRS)))


def test_a_horizon_reaches_over_events_between_and_not_over_users() -> None:
    pairs = pairs_of([[A, B, C], [A, B, C]], [1, 2], horizon=2)
    assert pairs.counts.sum() == 6
    assert lift(pairs, A, C, 0) == pytest.approx(math.log((2 + PRIOR_PAIRS) / (4 * 4 / 6 + PRIOR_PAIRS)))
    assert lift(pairs, C, A, 0) == pytest.approx(0)


def test_a_pair_that_was_seen_once_is_none_and_a_missing_row_says_nothing() -> None:
    pairs = pairs_of([[A, B], [0, 0, 0]], [1, 1], horizon=1)
    assert lift(pairs, A, B, 0) == pytest.approx(math.log(PRIOR_PAIRS / (1 + PRIOR_PAIRS)))
    assert pairs.counts.sum() == 1
    for first, then in ((0, 0), (0, A), (A, 0)):
        assert lift(pairs, first, then, 0) == 0


def test_of_a_pair_that_others_had_once_nothing_is_read_whatever_the_reader_did() -> None:
    once = pairs_of([[A, B], [A, B], [C, B]], [1, 2, 3], horizon=1)
    assert lift(once, A, B, 1) == pytest.approx(math.log(PRIOR_PAIRS / (1 * 2 / 2 + PRIOR_PAIRS)))


def test_the_most_frequent_pairs_are_kept_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAIRS", 2)
    whole = pairs_of([[A, B], [B, C], [C, A]] * 2 + [[B, C], [C, A]], [0] * 8, horizon=1)
    kept = Pairs.none(ROWS).merge(whole)
    assert kept.codes.tolist() == [B * ROWS + C, C * ROWS + A]
    assert kept.before.equal(whole.before)


TIMELINES = st.lists(st.lists(st.integers(0, ROWS - 1), max_size=8), min_size=1, max_size=6)


@given(TIMELINES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_parts_in_any_order_are_the_whole(sequences: list[list[int]], cut: int, order: "np.random.Generator") -> None:
    folds = [number % FOLDS for number in range(len(sequences))]
    users = list(zip(sequences, folds, strict=True))
    whole = pairs_of(sequences, folds, 3)
    parts = [part for part in (users[:cut], users[cut:]) if part]
    order.shuffle(parts)
    merged = Pairs.none(ROWS)
    for some in parts:
        merged = merged.merge(pairs_of([sequence for sequence, _ in some], [fold for _, fold in some], 3))
    for name in ("codes", "counts", "before", "after"):
        assert getattr(merged, name).equal(getattr(whole, name)), name


@given(TIMELINES)
def test_counted_pairs_are_those_of_a_loop(sequences: list[list[int]]) -> None:
    found, horizon = pairs_of(sequences, [0] * len(sequences), 3), 3
    expected: dict[int, int] = {}
    for rows in sequences:
        for at, first in enumerate(rows):
            for then in rows[at + 1 : at + 1 + horizon]:
                if first and then:
                    expected[first * ROWS + then] = expected.get(first * ROWS + then, 0) + 1
    assert dict(zip(found.codes.tolist(), found.counts.sum(1).tolist(), strict=True)) == expected
