"""Each worker's users: a deterministic, exact split of the user rows, read through Ray Data and encoded.

`streaming_split` hands blocks to whoever asks first and drops rows to make shards equal. Here the shard of a rank is
a fixed range of user rows, equal within one user, so a run is repeatable, a resumed worker finds its users again, and
none is lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.data import DataIterator, Dataset, ExecutionOptions
from ray.train import DataConfig

from rosa_ray.data.parquet import read_parquet
from rosa_ray.errors import InputError
from rosa_ray.sources.paths import readable

READ_CPUS = 0.25
"""Logical CPUs of a read task: it mostly waits, and must find room beside the workers on a small machine."""


@dataclass(frozen=True)
class Slice:
    """User rows `start` to `stop` of one file."""

    path: str
    start: int
    stop: int


def list_user_files(users_dir: str) -> list[tuple[str, int]]:
    """Files of user rows by name, each with its number of rows.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    fs, root = fsspec.core.url_to_fs(users_dir)
    names = sorted(fs.glob(f"{root}/*.parquet"))
    if not names:
        raise InputError(f"{users_dir}: holds no user rows; run `rosa preprocess` first")
    return [(path, _count_rows(path)) for path in map(fs.unstrip_protocol, names)]


def plan_shards(files: Sequence[tuple[str, int]], world: int) -> list[list[Slice]]:
    """Cut the rows of all files, in order, into `world` ranges of equal length, give or take one row.

    >>> plan_shards([("a", 3), ("b", 2)], 2)[1]
    [Slice(path='a', start=2, stop=3), Slice(path='b', start=0, stop=2)]
    """
    starts = [0, *accumulate(rows for _, rows in files)]
    bounds = [starts[-1] * rank // world for rank in range(world + 1)]
    return [
        [
            Slice(path, max(low, begin) - begin, min(high, begin + rows) - begin)
            for (path, rows), begin in zip(files, starts[:-1], strict=True)
            if max(low, begin) < min(high, begin + rows)
        ]
        for low, high in pairwise(bounds)
    ]


def slices_dataset(slices: Sequence[Slice]) -> Dataset:
    """A Ray dataset of the user rows of some slices, one block each, in order."""
    items = [{"path": part.path, "start": part.start, "stop": part.stop} for part in slices]
    dataset = ray.data.from_items(items, override_num_blocks=len(items))
    return dataset.map_batches(read_slices, batch_size=None, batch_format="pyarrow", num_cpus=READ_CPUS)


def quiet(dataset: Dataset) -> Dataset:
    """The dataset without Ray's progress bars: workers would each draw their own over the epochs' lines."""
    dataset.context.enable_progress_bars = False
    dataset.context.print_on_execution_start = False
    return dataset


def read_slices(items: pa.Table) -> Iterator[pa.Table]:
    """Yield the user rows of each (path, start, stop) row."""
    for item in items.to_pylist():
        yield read_parquet(item["path"]).slice(item["start"], item["stop"] - item["start"]).combine_chunks()


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


class TableSource:
    """Blocks of user rows of a Ray Data iterator, from the beginning on every iteration."""

    def __init__(self, iterator: DataIterator) -> None:
        self._iterator = iterator

    def __iter__(self) -> Iterator[pa.Table]:
        yield from self._iterator.iter_batches(batch_size=None, batch_format="pyarrow")  # type: ignore[arg-type]


def _count_rows(path: str) -> int:
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        return int(pq.ParquetFile(handle).metadata.num_rows)
