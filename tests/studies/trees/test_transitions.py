from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.features import UserRows
from rosa_ray.schema import MISSING_KEY
from rosa_ray.studies.trees.transitions import PRIOR, Pairs, Timelines, Transitions, fold_of
from tests.studies.trees.one_user import one_user
from tests.tiny_users import tiny_rows, tiny_users

A, B, C = 10, 20, 30


def pairs_of(sequences: list[list[int]], folds: list[int], horizon: int) -> Pairs:
    """Pairs of users with these events, in these folds."""
    lengths = [len(sequence) for sequence in sequences]
    user = np.repeat(np.arange(len(sequences)), lengths)
    key = np.concatenate([np.array(sequence, np.int64) for sequence in sequences])
    return Pairs.count(key, user, np.repeat(folds, lengths), horizon)


def lift(pairs: Pairs, first: int, second: int, fold: int) -> float:
    return float(pairs.log_lift(np.array([first]), np.array([second]), np.array([fold]))[0])


def test_a_lift_is_pairs_over_those_expected_of_other_folds() -> None:
    """Fold 0 has no users. Of 5 pairs A is first of 3 and B second of 3: by chance they were 3 · 3 / 5."""
    pairs = pairs_of([[A, B, C], [A, B], [A, B, C]], [1, 2, 3], horizon=1)
    assert lift(pairs, A, B, 0) == pytest.approx(np.log((3 + PRIOR) / (3 * 3 / 5 + PRIOR)))
    assert lift(pairs, A, C, 0) == pytest.approx(np.log((0 + PRIOR) / (3 * 2 / 5 + PRIOR)))
    assert lift(pairs, B, A, 0) == pytest.approx(0)


def test_the_readers_own_fold_does_not_count() -> None:
    pairs = pairs_of([[A, B, C], [A, B], [A, B, C]], [1, 2, 3], horizon=1)
    assert lift(pairs, A, B, 1) == pytest.approx(np.log((2 + PRIOR) / (2 * 2 / 3 + PRIOR)))


def test_a_horizon_reaches_over_events_between_and_not_over_users() -> None:
    pairs = pairs_of([[A, B, C], [A, B, C]], [1, 2], horizon=2)
    assert pairs.counts.sum() == 6
    assert lift(pairs, A, C, 0) == pytest.approx(np.log((2 + PRIOR) / (4 * 4 / 6 + PRIOR)))
    assert lift(pairs, C, A, 0) == pytest.approx(0)


def test_a_pair_that_was_seen_once_is_none_and_missing_or_unknown_things_say_nothing() -> None:
    pairs = pairs_of([[A, B], [MISSING_KEY, MISSING_KEY, MISSING_KEY]], [1, 1], horizon=1)
    assert lift(pairs, A, B, 0) == pytest.approx(np.log(PRIOR / (1 + PRIOR)))
    for first, second in ((MISSING_KEY, MISSING_KEY), (99, A), (A, 99)):
        assert lift(pairs, first, second, 0) == 0


def test_columns_of_an_ad_after_the_last_events() -> None:
    users = one_user([(0, 1, C, 0), (1, 2, B, 0), (2, 3, A, 0), (9, 4, C, 0)], [(3, 5, B)])
    others = pairs_of([[A, B, C], [A, B, C], [A, B, C]], [0, 1, 2], horizon=1)
    far = pairs_of([[A, B, C], [A, B, C], [A, B, C]], [0, 1, 2], horizon=2)
    none = pairs_of([[]], [0], horizon=1)
    transitions = Transitions(
        {("category_key", 1): others, ("category_key", 10): far, ("item_key", 1): none, ("item_key", 10): none}
    )
    found = {name: float(values[0]) for name, values in transitions.columns(users).items()}
    fold = int(fold_of(users.user_key)[0])
    steps = [lift(far, first, B, fold) for first in (A, B, C)]
    assert found["category_next"] == pytest.approx(lift(others, A, B, fold))
    assert [found[f"category_follow_{n}"] for n in (1, 2, 3)] == pytest.approx(steps)
    assert np.isnan(found["category_follow_4"])
    assert found["category_mean_lately"] == found["category_mean_long"] == pytest.approx(np.mean(steps))
    assert found["category_most_long"] == pytest.approx(max(steps))
    assert found["item_next"] == 0


def test_a_user_without_events_has_no_transitions() -> None:
    rows = tiny_rows(users=10)
    transitions = Transitions.count(Timelines.of([rows], 10**18))
    found = transitions.columns(one_user([], [(1, 1, 100)]))
    assert all(np.isnan(values).all() for values in found.values())


def test_later_events_never_count() -> None:
    rows = tiny_rows(users=20)
    until_us = int(np.median(rows.events["time_us"]))
    late = rows.events["time_us"] > until_us
    changed = {**rows.events, "item_key": np.where(late, 1, rows.events["item_key"])}
    one, other = (Transitions.count(Timelines.of([each], until_us)) for each in (rows, replace(rows, events=changed)))
    for place, tensor in one.state_dict().items():
        assert tensor.equal(other.state_dict()[place]), place
    assert late.any()


def test_what_a_user_did_says_nothing_of_its_own_ads() -> None:
    """One user's events are told as others; columns of its ads stay, and those of some others' ads change."""
    rows, (users, _) = tiny_rows(users=30), tiny_users(users=30)
    mine = int(np.argmax(np.diff(rows.event_offsets)))
    owned = slice(rows.event_offsets[mine], rows.event_offsets[mine + 1])
    told = {name: values.copy() for name, values in rows.events.items()}
    told["category_key"][owned], told["item_key"][owned] = 105, 51
    before, after = (
        Transitions.count(Timelines.of([each], 10**18)).columns(users) for each in (rows, replace(rows, events=told))
    )
    own = slice(users.impression_offsets[mine], users.impression_offsets[mine + 1])
    assert all(np.array_equal(before[name][own], after[name][own], equal_nan=True) for name in before)
    assert any(not np.array_equal(before[name], after[name], equal_nan=True) for name in before)


def test_counts_are_those_of_the_kept_users() -> None:
    timelines = Timelines.of([tiny_rows(users=20)], 10**18)
    some = timelines.of_users(timelines.user == timelines.user[0])
    assert set(some.user) == {timelines.user[0]}
    assert len(some.keys["item_key"]) == len(some.fold) == len(some.user)


def test_no_block_is_no_timeline() -> None:
    nothing: list[UserRows] = []
    assert not len(Timelines.of(nothing, 0).user)
