"""Each worker's users: a deterministic, exact split of the user rows, read through Ray Data and encoded.

`streaming_split` hands blocks to whoever asks first and drops rows to make shards equal. Here the shard of a rank is
a fixed range of user rows, equal within one user, so a run is repeatable, a resumed worker finds its users again, and
none is lost.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
from ray.data import DataIterator, Dataset, ExecutionOptions
from ray.train import DataConfig

from rosa_ray.data.user_rows import Slice, plan_shards, quiet, read_slice, slices_dataset


class UserShards(DataConfig):
    """Gives every rank the dataset of its own slices.

    Args:
        files: from `list_user_files`.
    """

    def __init__(self, files: Sequence[tuple[str, int]]) -> None:
        super().__init__(execution_options=ExecutionOptions(preserve_order=True))
        self._files = list(files)

    def configure(
        self, datasets: Mapping[str, Dataset], world_size: int, *args: Any, **kwargs: Any
    ) -> list[dict[str, DataIterator]]:
        """Called by Ray Train whenever a group of workers starts."""
        shards = []
        for slices in plan_shards(self._files, world_size):
            dataset = quiet(slices_dataset(slices))
            dataset.context.execution_options = self._resolve_execution_options("users")
            shards.append({name: dataset.iterator() for name in datasets})
        return shards


class ShardTables:
    """Blocks of user rows of a worker: all in order through Ray Data, or one straight from its file.

    Args:
        iterator: of the worker's shard.
        plan: gives the slices that the shard consists of, in order; asked when the shard does not fit in memory.
    """

    def __init__(self, iterator: DataIterator, plan: Callable[[], Sequence[Slice]]) -> None:
        self._iterator, self._plan = iterator, plan

    def __len__(self) -> int:
        return len(self._slices)

    def __iter__(self) -> Iterator[pa.Table]:
        yield from self._iterator.iter_batches(batch_size=None, batch_format="pyarrow")  # type: ignore[arg-type]

    def __getitem__(self, number: int, /) -> pa.Table:
        return read_slice(self._slices[number])

    @cached_property
    def _slices(self) -> Sequence[Slice]:
        return self._plan()
