"""Each worker's users: a deterministic, exact split of the user rows, read through Ray Data and encoded.

`streaming_split` hands blocks to whoever asks first and drops rows to make shards equal. Here the shard of a rank is
a fixed range of user rows, equal within one user, so a run is repeatable, a resumed worker finds its users again, and
none is lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from ray.data import DataIterator, Dataset, ExecutionOptions
from ray.train import DataConfig

from rosa_ray.data.user_rows import plan_shards, quiet, slices_dataset


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
    """Blocks of user rows of a Ray Data iterator, from the beginning on every iteration."""

    def __init__(self, iterator: DataIterator) -> None:
        self._iterator = iterator

    def __iter__(self) -> Iterator[pa.Table]:
        yield from self._iterator.iter_batches(batch_size=None, batch_format="pyarrow")  # type: ignore[arg-type]
