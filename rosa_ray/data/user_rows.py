"""User rows as later stages read them: their files, ranges of rows, Ray datasets; and the features fitted on them."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.data import Dataset

from rosa_ray.errors import InputError
from rosa_ray.features import FeatureConfig, FeatureState
from rosa_ray.features.config import behaviors_of, same_behaviors
from rosa_ray.run_dir import DataDir
from rosa_ray.storage import exists, read_json, read_parquet, readable

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
        yield read_slice(Slice(**item))


def read_slice(part: Slice) -> pa.Table:
    """Read the user rows of one slice."""
    return read_parquet(part.path).slice(part.start, part.stop - part.start).combine_chunks()


def read_spec(layout: DataDir) -> dict[str, Any]:
    """Periods and settings of preprocessed data.

    Raises:
        InputError: there is none, perhaps since `rosa preprocess` failed.
    """
    if not exists(layout.spec):
        raise InputError(f"{layout.root}: holds no preprocessed data, or only a part; run `rosa preprocess` first")
    return read_json(layout.spec)


def require_keep_rate(layout: DataDir, negative_keep_rate: float) -> None:
    """Refuse data that was preprocessed as of a log thinned otherwise than the config says.

    Args:
        negative_keep_rate: `preprocess.negative_keep_rate` of the config.

    Raises:
        InputError: the rows have other weights, or there is no preprocessed data.
    """
    found = float(read_spec(layout).get("negative_keep_rate", 1.0))
    if found != negative_keep_rate:
        raise InputError(
            f"{layout.root}: was preprocessed with preprocess.negative_keep_rate {found:g}, the config says "
            f"{negative_keep_rate:g}; run `rosa preprocess` again"
        )


def require_behaviors(layout: DataDir, features: FeatureConfig) -> None:
    """Refuse data that was preprocessed with other behaviours than the config names.

    Raises:
        ConfigError: their names or their order differ.
        InputError: there is no preprocessed data.
    """
    stored = behaviors_of(read_spec(layout).get("feature_config", {}))
    same_behaviors(features.behavior_names, stored, f"{layout.root} was preprocessed with")


def read_feature_state(directory: str) -> FeatureState:
    """Read fitted features from a local or remote directory.

    Raises:
        InputError: there are none.
        BundleError: they were written for other features than this code's.
    """
    with readable(directory, "fitted features"), tempfile.TemporaryDirectory() as folder:
        fs, root = fsspec.core.url_to_fs(directory)
        if not fs.isdir(root):
            raise InputError(f"{directory}: no fitted features there; run `rosa preprocess` first")
        for path in fs.find(root):
            fs.get_file(path, f"{folder}/{Path(path).name}")
        return FeatureState.load(Path(folder))


def _count_rows(path: str) -> int:
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        return int(pq.ParquetFile(handle).metadata.num_rows)
