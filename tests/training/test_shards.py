from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.data.user_rows import list_user_files, plan_shards, read_slices
from rosa_ray.errors import InputError
from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, collate, encode_users
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.in_process import InProcessTrainer
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.reader import Periods, ShardReader, _nbytes
from tests.tiny_users import tiny_rows, tiny_state, write_data_dir


@settings(max_examples=30)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 6))
def test_shards_cover_every_row_once_and_evenly(rows: list[int], world: int) -> None:
    files = [(f"f{index}", count) for index, count in enumerate(rows)]
    shards = plan_shards(files, world)
    taken = [(part.path, row) for shard in shards for part in shard for row in range(part.start, part.stop)]
    assert taken == [(path, row) for path, count in files for row in range(count)]
    sizes = [sum(part.stop - part.start for part in shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


def test_slices_are_read_back_as_written(tmp_path: Path) -> None:
    rows = tiny_rows(users=11)
    data = write_data_dir(tmp_path / "data", rows, parts=3)
    files = list_user_files(f"{data}/users")
    keys = []
    for shard in plan_shards(files, 2):
        items = pa.table({name: [getattr(part, name) for part in shard] for name in ("path", "start", "stop")})
        keys += [key for table in read_slices(items) for key in table["user_key"].to_pylist()]
    assert keys == rows.user_key.tolist()


Log = tuple[FeatureState, list[pa.Table]]


@pytest.fixture(scope="module")
def log() -> Log:
    """Forty users in ten blocks."""
    rows = tiny_rows(users=40)
    table = rows.to_table()
    return tiny_state(rows), [table.slice(start, 4) for start in range(0, 40, 4)]


def epoch(reader: ShardReader, number: int) -> list[list[int]]:
    """Users of the parts of one epoch."""
    return [part.user_key.tolist() for part in reader.training(np.random.default_rng([7, number]))]


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often the block of a user was encoded, by the first user of the block."""
    times = Counter[int]()

    def encode(rows: UserRows, state: FeatureState, logged_slots: bool) -> EncodedUsers:
        times[int(rows.user_key[0])] += 1
        return encode_users(rows, state, logged_slots)

    monkeypatch.setattr("rosa_ray.training.reader.encode_users", encode)
    return times


def test_a_shard_in_memory_does_not_depend_on_block_order(log: Log) -> None:
    state, blocks = log
    one, other = (ShardReader(order, state, context=12) for order in (blocks, blocks[::-1]))
    assert one.in_memory
    rng = np.random.default_rng(0)
    (first,), (second,) = (list(reader.training(rng)) for reader in (one, other))
    assert np.array_equal(first.user_key, second.user_key)
    assert np.array_equal(first.dense, second.dense)
    (valid,) = one.validation()
    assert set(valid.impressions["split"].tolist()) == {Split.VALID}


def test_a_shard_beyond_the_limit_is_encoded_once_an_epoch_in_another_order(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, blocks = log
    (whole,) = ShardReader(blocks, state, context=12).training(np.random.default_rng(0))
    limit = 0.6 * sum(values.nbytes for values in (*whole.events.values(), *whole.impressions.values(), whole.dense))
    reader = ShardReader(blocks, state, context=12, memory_bytes=limit)
    assert not reader.in_memory
    times, seen = counted(monkeypatch), []
    for number in range(3):
        seen.append(epoch(reader, number))
        valid = np.concatenate([part.user_key for part in reader.validation()])
        assert set(times.values()) == {number + 1}
        assert len(times) == len(blocks)
        assert sorted(key for part in seen[-1] for key in part) == whole.user_key.tolist()
        assert len(seen[-1]) > 2
        assert len(set(valid.tolist())) == len(valid) > 0
    assert seen[0] != seen[1] != seen[2]
    assert epoch(reader, 1) == seen[1]
    again = ShardReader(blocks, state, context=12, memory_bytes=limit)
    assert epoch(again, 1) == seen[1]


def test_a_part_holds_random_blocks_up_to_half_of_the_memory(log: Log) -> None:
    state, blocks = log
    singles = [Periods(*parts) for block in blocks for parts in [whole_periods(block, state)]]
    limit = 2 * 3.5 * max(_nbytes(single.train) for single in singles)
    assert limit < sum(single.nbytes for single in singles)
    reader = ShardReader(blocks, state, context=12, memory_bytes=limit)
    parts = list(reader.training(np.random.default_rng(3)))
    assert all(_nbytes(part) <= limit / 2 for part in parts)
    block_of = {key: number for number, single in enumerate(singles) for key in single.train.user_key.tolist()}
    blocks_of_parts = [{block_of[key] for key in part.user_key.tolist()} for part in parts]
    assert max(map(len, blocks_of_parts)) >= 3
    assert any(max(chosen) - min(chosen) >= len(chosen) for chosen in blocks_of_parts)


def test_validation_does_not_depend_on_the_limit(log: Log) -> None:
    state, blocks = log
    (kept,) = ShardReader(blocks, state, context=12).validation()
    for limit in (1, 20_000):
        reader = ShardReader(blocks, state, context=12, memory_bytes=limit)
        list(reader.training(np.random.default_rng(0)))
        shown = [part.impressions["impression_key"] for part in reader.validation()]
        assert np.array_equal(np.sort(np.concatenate(shown)), np.sort(kept.impressions["impression_key"]))


def whole_periods(block: pa.Table, state: FeatureState) -> tuple[EncodedUsers, EncodedUsers]:
    reader = ShardReader([block], state, context=12)
    return next(reader.training(np.random.default_rng(0))), next(reader.validation())


def test_small_numbers_are_kept_in_bytes_and_batches_are_the_same(log: Log) -> None:
    state, blocks = log
    kept, _ = whole_periods(blocks[0], state)
    wide = encode_users(UserRows.from_table(blocks[0]), state).select(Split.TRAIN).trim(12)
    assert kept.events["hour"].dtype == np.int8
    every = np.arange(len(kept))
    batch, expected = collate(kept, every), collate(wide, every)
    assert batch.keys() == expected.keys()
    for name, values in expected.items():
        assert batch[name].dtype == values.dtype
        np.testing.assert_array_equal(batch[name], values)


def test_a_shard_beyond_the_limit_goes_on_after_an_epoch_as_if_never_stopped(tmp_path: Path) -> None:
    rows = tiny_rows(users=12)
    data = write_data_dir(tmp_path / "data", rows)
    small = {"width": 8, "window": 4, "hidden": (8,)}
    training = TrainingConfig(workers=1, epochs=2, users_per_batch=2, memory_gb=0.0)
    job = TrainingJob(ranker_settings("wide_deep", small), LossConfig(), training, 3, data)
    blocks = [rows.to_table().slice(start, 4) for start in (0, 4, 8)]
    whole, first = (InProcessTrainer(job, blocks) for _ in range(2))
    for _ in range(2):
        whole.run_epoch()
    first.run_epoch()
    first.save(str(tmp_path / "state.pt"), "job")
    second = InProcessTrainer(job, blocks)
    second.restore(str(tmp_path / "state.pt"), "job")
    second.run_epoch()
    losses = [[record["train_loss"], record["valid_loss"]] for record in whole.history]
    assert losses == [[record["train_loss"], record["valid_loss"]] for record in second.history]


@pytest.mark.parametrize("memory_bytes", [1, float("inf")])
def test_a_share_of_the_users_is_trained_on_and_all_are_validated(memory_bytes: float) -> None:
    rows = tiny_rows(users=40)
    state, blocks = tiny_state(rows), [rows.to_table()]
    readers = [
        ShardReader(blocks, state, context=12, memory_bytes=memory_bytes, user_share=share)
        for share in (1.0, 0.5, 0.25)
    ]
    whole, half, quarter = (next(reader.training(np.random.default_rng(0))) for reader in readers)
    trained = [set(part.user_key.tolist()) for part in (quarter, half, whole)]
    assert trained[0] < trained[1] < trained[2]
    assert len(trained[1]) == pytest.approx(len(trained[2]) / 2, abs=8)
    valid = [next(reader.validation()).impressions["impression_key"] for reader in readers]
    assert all(np.array_equal(shown, valid[0]) for shown in valid)


def test_no_user_rows_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no user rows; run `rosa preprocess` first"):
        list_user_files(str(tmp_path))
