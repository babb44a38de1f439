from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.data.user_rows import list_user_files, plan_shards, read_slices
from rosa_ray.errors import InputError
from rosa_ray.features import Split
from rosa_ray.training.reader import ShardReader
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


def test_a_shard_in_memory_does_not_depend_on_block_order() -> None:
    rows = tiny_rows(users=9)
    state, table = tiny_state(rows), rows.to_table()
    blocks = [table.slice(0, 4), table.slice(4, 5)]
    one, other = (ShardReader(order, state, context=12) for order in (blocks, blocks[::-1]))
    first, second = next(iter(one)), next(iter(other))
    assert one.in_memory
    assert np.array_equal(first.train.user_key, second.train.user_key)
    assert np.array_equal(first.train.dense, second.train.dense)
    assert set(first.valid.impressions["split"].tolist()) == {Split.VALID}


def test_a_shard_beyond_the_limit_is_read_again() -> None:
    rows = tiny_rows(users=9)
    state, table = tiny_state(rows), rows.to_table()
    blocks = [table.slice(0, 4), table.slice(4, 5)]
    whole = next(iter(ShardReader(blocks, state, context=12)))
    reader = ShardReader(blocks, state, context=12, memory_bytes=1)
    for _ in range(2):
        parts = list(reader)
        assert len(parts) == 2
        assert sum(len(part.train.impressions["click"]) for part in parts) == len(whole.train.impressions["click"])
    assert not reader.in_memory


@pytest.mark.parametrize("memory_bytes", [1, float("inf")])
def test_a_share_of_the_users_is_trained_on_and_all_are_validated(memory_bytes: float) -> None:
    rows = tiny_rows(users=40)
    state, blocks = tiny_state(rows), [rows.to_table()]
    whole, half, quarter = (
        next(iter(ShardReader(blocks, state, context=12, memory_bytes=memory_bytes, user_share=share)))
        for share in (1.0, 0.5, 0.25)
    )
    trained = [set(part.train.user_key.tolist()) for part in (quarter, half, whole)]
    assert trained[0] < trained[1] < trained[2]
    assert len(trained[1]) == pytest.approx(len(trained[2]) / 2, abs=8)
    for part in (half, quarter):
        assert np.array_equal(part.valid.impressions["impression_key"], whole.valid.impressions["impression_key"])


def test_no_user_rows_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no user rows; run `rosa preprocess` first"):
        list_user_files(str(tmp_path))
