"""A pool of Ray actors over all user rows: each scores file after file, for evaluation and for calibration."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal, TypeVar

import pyarrow as pa
import ray
import torch

from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.calibration import CalibrationSums
from rosa_ray.data.actor_pool import map_on_actors
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.predictions import calibrated_columns
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import FeatureState, Split
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import MISSING_KEY
from rosa_ray.storage import read_parquet, write_parquet

Result = TypeVar("Result")
FittedModel = tuple[Mapping[str, Any], Mapping[str, torch.Tensor], FeatureState]
"""Description, weights and features of a ranker; see `UserScorer.load`."""


def write_predictions(bundle: Bundle, layout: DataDir, predictions_dir: str, config: EvaluationConfig) -> list[str]:
    """Score the validation, test and policy impressions of all users with a bundle.

    Every user lies whole in one file, so the files can be evaluated one by one.

    Returns:
        The files that hold any predictions, by name.
    """
    arguments = (bundle.location, predictions_dir, config.users_per_batch)
    written = map_users(layout, _PredictionWriter, arguments, config.actors, config.use_gpu)
    return sorted(path for path, rows in written if rows)


def validation_sums(
    model: FittedModel,
    users_per_batch: int,
    layout: DataDir,
    actors: int,
    use_gpu: bool | Literal["auto"],
) -> Iterator[CalibrationSums]:
    """Yield the sums of the validation period, file by file in their order."""
    yield from map_users(layout, _ValidationSums, (model, users_per_batch), actors, use_gpu)


def map_users(
    layout: DataDir,
    worker: type[Callable[[str], Iterator[Result]]],
    arguments: tuple[Any, ...],
    actors: int,
    use_gpu: bool | Literal["auto"],
) -> list[Result]:
    """What a worker makes of every file of user rows, in the order of the files.

    Args:
        arguments: of the worker's constructor.
        actors: processes.
        use_gpu: a GPU each; `auto` where the cluster has one for each.
    """
    paths = [path for path, _ in list_user_files(layout.users)]
    results = map_items(worker, arguments, paths, actors, "scoring users", use_gpu)
    return [result for _, result in sorted(results, key=lambda found: found[0])]


def map_items(
    worker: type[Callable[[Any], Iterator[Result]]],
    arguments: tuple[Any, ...],
    items: Sequence[Any],
    actors: int,
    doing: str,
    use_gpu: bool | Literal["auto"],
) -> Iterator[tuple[int, Result]]:
    """Yield what a worker makes of every item, with the item's place; see `map_on_actors`."""
    with_gpu = ray.cluster_resources().get("GPU", 0) >= actors if use_gpu == "auto" else use_gpu
    yield from map_on_actors(worker, arguments, items, actors, doing, use_gpu=with_gpu)


class _PredictionWriter:
    """Writes a file of predictions per file of user rows; yields its path and rows."""

    def __init__(self, bundle_dir: str, predictions_dir: str, users_per_batch: int) -> None:
        torch.set_num_threads(1)
        bundle = open_bundle(bundle_dir)
        state = bundle.features(FeatureState.load)
        self._scorer = UserScorer.load(bundle.model, bundle.weights(), state, users_per_batch, actor_device())
        self._calibration, self._predictions_dir = bundle.calibration, predictions_dir

    def __call__(self, path: str) -> Iterator[tuple[str, int]]:
        block = read_parquet(path)
        raw = self._scorer.score(self._scorer.encode(block), Split.VALID, Split.TEST, Split.POLICY)
        columns = calibrated_columns(raw, self._calibration)
        written = f"{self._predictions_dir}/part-{_name_of(block, path)}.parquet"
        write_parquet(pa.table(columns), written)
        yield written, len(columns["user_key"])


class _ValidationSums:
    """Yields the sums of the validation impressions of each file of user rows."""

    def __init__(self, model: FittedModel, users_per_batch: int) -> None:
        torch.set_num_threads(1)
        description, weights, state = model
        self._scorer = UserScorer.load(description, weights, state, users_per_batch, actor_device())

    def __call__(self, path: str) -> Iterator[CalibrationSums]:
        columns = self._scorer.score(self._scorer.encode(read_parquet(path)), Split.VALID)
        yield CalibrationSums().update(columns)


def _name_of(block: pa.Table, path: str) -> str:
    """A name of its own for the predictions of a file: its first user, or without users the file's."""
    first = int(block["user_key"][0].as_py()) if block.num_rows else MISSING_KEY
    return f"{first % 2**64:016x}" if first != MISSING_KEY else PurePath(path).stem


def actor_device() -> str:
    """Where an actor of the pool scores: on the GPU it was given, else on the CPU."""
    return "cuda" if ray.get_gpu_ids() else "cpu"
