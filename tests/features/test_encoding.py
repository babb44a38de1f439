"""Encoding: rows of tables, gaps, visibility, scaling, selection and padding."""

import numpy as np
import pytest

from rosa_ray.features import FeatureState, FitSums, Split, collate, encode_users
from rosa_ray.features.batching import batch_users
from rosa_ray.features.encoding import concat_users, gap_buckets
from rosa_ray.features.vocabulary import KeyCounts, Vocabulary
from rosa_ray.units import HOUR_US, SECOND_US
from tests.synthetic import BOUNDS, CONFIG, encoded_users, user_rows


def test_visible_counts_the_events_strictly_before() -> None:
    rows = user_rows()
    users, _ = encoded_users()
    for user in range(len(rows)):
        times = rows.events["time_us"][rows.event_offsets[user] : rows.event_offsets[user + 1]]
        for row in range(rows.impression_offsets[user], rows.impression_offsets[user + 1]):
            strictly_before = int((times < rows.impressions["time_us"][row]).sum())
            assert users.impressions["visible"][row] == strictly_before
    ties = np.isin(rows.impressions["time_us"], rows.events["time_us"])
    assert ties.any()


def test_gap_buckets_by_hand() -> None:
    time_us = np.array([0, 0, 1, 3, 3 + 3600, 100, 101]) * SECOND_US
    assert gap_buckets(time_us, np.array([0, 5, 5, 7])).tolist() == [0, 1, 2, 2, 12, 0, 2]


def test_hour_and_weekday_are_local() -> None:
    rows = user_rows()
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], CONFIG)
    users = encode_users(rows, state)
    assert users.events["hour"][0] == rows.events["time_us"][0] // HOUR_US % 24
    import datetime

    moment = datetime.datetime.fromtimestamp(rows.events["time_us"][0] / 1e6, datetime.UTC)
    assert users.events["weekday"][0] == moment.weekday()


def test_vocabulary_keeps_unseen_items_apart_and_missing_is_row_zero() -> None:
    vocabulary = Vocabulary.fit(KeyCounts.of(np.array([7, 7, 9, 9, 5])), min_count=2, oov_buckets=100)
    assert vocabulary.keys.tolist() == [7, 9]
    assert vocabulary.lookup(np.array([0, 7, 9])).tolist() == [0, 101, 102]
    unseen = vocabulary.lookup(np.array([5, -3, 123456789]))
    assert len(set(unseen.tolist())) == 3
    assert ((unseen >= 1) & (unseen <= 100)).all()


def test_dense_is_scaled_on_the_training_period_and_missing_is_flagged() -> None:
    rows = user_rows()
    users, state = encoded_users()
    width = rows.dense.shape[1]
    train = rows.impressions["split"] == Split.TRAIN
    scaled, present = users.dense[:, :width], users.dense[:, width : 2 * width]
    np.testing.assert_array_equal(present == 1, np.isfinite(rows.dense))
    assert not scaled[~np.isfinite(rows.dense)].any()
    column = 0
    assert scaled[train, column].mean() == pytest.approx(0, abs=1e-4)
    assert scaled[train, column].std() == pytest.approx(1, abs=1e-3)
    assert users.dense.shape[1] == state.table_sizes["dense"]


def test_fitting_in_parts_equals_fitting_at_once() -> None:
    from rosa_ray.features import UserRows

    rows = user_rows()
    table = rows.to_table()
    parts = [FitSums.of(UserRows.from_table(table.slice(at, 4)), BOUNDS.valid_us) for at in range(0, len(rows), 4)]
    at_once = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], CONFIG)
    in_parts = FeatureState.fit(parts, CONFIG)
    for name, vocabulary in at_once.vocabularies.items():
        np.testing.assert_array_equal(vocabulary.keys, in_parts.vocabularies[name].keys)
    np.testing.assert_allclose(at_once.dense_mean, in_parts.dense_mean, rtol=1e-12)
    np.testing.assert_allclose(at_once.dense_scale, in_parts.dense_scale, rtol=1e-9)


def test_selecting_a_split_keeps_its_impressions_and_their_users() -> None:
    users, _ = encoded_users()
    test = users.select(Split.TEST)
    assert set(test.impressions["split"]) == {Split.TEST}
    assert len(test.dense) == (users.impressions["split"] == Split.TEST).sum()
    assert (np.diff(test.impression_offsets) > 0).all()


def test_every_cell_of_a_batch_comes_from_its_row() -> None:
    users, _ = encoded_users()
    batch = collate(users, np.array([3, 0, 5]))
    rows = batch["row"][batch["impression_mask"]]
    np.testing.assert_array_equal(batch["impression_item"][batch["impression_mask"]], users.impressions["item"][rows])
    np.testing.assert_array_equal(batch["dense"][batch["impression_mask"]], users.dense[rows])
    assert (batch["row"][~batch["impression_mask"]] == -1).all()
    assert batch["event_mask"].sum() == sum(np.diff(users.event_offsets)[[3, 0, 5]])


@pytest.mark.parametrize("rng", [None, 1])
def test_batches_hold_every_user_once(rng: int | None) -> None:
    users, _ = encoded_users()
    generator = None if rng is None else np.random.default_rng(rng)
    seen = np.concatenate(list(batch_users(users, 5, generator)))
    assert sorted(seen) == list(range(len(users)))


def test_concatenated_blocks_equal_the_whole() -> None:
    users, _ = encoded_users()
    joined = concat_users([users.take(np.arange(0, 4)), users.take(np.arange(4, len(users)))])
    np.testing.assert_array_equal(joined.event_offsets, users.event_offsets)
    np.testing.assert_array_equal(joined.impressions["visible"], users.impressions["visible"])
