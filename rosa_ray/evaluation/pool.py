"""A pool of Ray actors over all user rows: each scores block after block, for evaluation and for calibration."""

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa
import ray
import torch

from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.calibration import CalibrationSums
from rosa_ray.data.user_rows import READ_CPUS, list_user_files, plan_shards, quiet, slices_dataset
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.predictions import calibrated_columns
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import FeatureState, Split
from rosa_ray.run_dir import DataDir
from rosa_ray.storage import write_parquet

FittedModel = tuple[Mapping[str, Any], Mapping[str, torch.Tensor], FeatureState]
"""Description, weights and features of a ranker; see `UserScorer.load`."""


def write_predictions(bundle: Bundle, layout: DataDir, predictions_dir: str, config: EvaluationConfig) -> list[str]:
    """Score the validation, test and policy impressions of all users with a bundle.

    Every user lies whole in one file, so the files can be evaluated one by one.

    Returns:
        The files that hold any predictions, by name.
    """
    arguments = (bundle.location, predictions_dir, config.users_per_batch)
    rows = _map_users(layout, _PredictionWriter, arguments, config.actors, config.use_gpu)
    return sorted(row["path"] for row in rows if row["rows"])


def validation_sums(
    model: FittedModel,
    users_per_batch: int,
    negative_keep_rate: float,
    layout: DataDir,
    actors: int,
    use_gpu: bool | Literal["auto"],
) -> Iterator[CalibrationSums]:
    """Yield the sums of the validation period, block by block."""
    arguments = (ray.put(model), users_per_batch, negative_keep_rate)
    for row in _map_users(layout, _ValidationSums, arguments, actors, use_gpu):
        yield pickle.loads(row["sums"])


def _map_users(
    layout: DataDir,
    actor: type[Callable[[pa.Table], pa.Table]],
    arguments: tuple[Any, ...],
    actors: int,
    use_gpu: bool | Literal["auto"],
) -> list[dict[str, Any]]:
    """Run every block of user rows through one of the actors; returns the rows of what they answer.

    Args:
        actor: a callable from a block to a table; `arguments` are those of its constructor.
        actors: processes.
        use_gpu: a GPU each; `auto` where the cluster has one for each.
    """
    slices = plan_shards(list_user_files(layout.users), 1)[0]
    with_gpu = ray.cluster_resources().get("GPU", 0) >= actors if use_gpu == "auto" else use_gpu
    answers = quiet(slices_dataset(slices)).map_batches(
        actor,
        fn_constructor_args=arguments,
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1 - READ_CPUS,
        num_gpus=1 if with_gpu else None,
    )
    return answers.take_all()


class _PredictionWriter:
    """Writes a file of predictions per block; answers its path and rows."""

    def __init__(self, bundle_dir: str, predictions_dir: str, users_per_batch: int) -> None:
        torch.set_num_threads(1)
        bundle = open_bundle(bundle_dir)
        state = bundle.features(FeatureState.load)
        self._scorer = UserScorer.load(bundle.model, bundle.weights(), state, users_per_batch, _actor_device())
        self._calibration, self._predictions_dir = bundle.calibration, predictions_dir

    def __call__(self, block: pa.Table) -> pa.Table:
        raw = self._scorer.score(self._scorer.encode(block), Split.VALID, Split.TEST, Split.POLICY)
        columns = calibrated_columns(raw, self._calibration)
        name = f"{int(block['user_key'][0].as_py()) % 2**64:016x}" if block.num_rows else "empty"
        path = f"{self._predictions_dir}/part-{name}.parquet"
        write_parquet(pa.table(columns), path)
        return pa.table({"path": [path], "rows": [len(columns["user_key"])]})


class _ValidationSums:
    """Sums up the validation impressions of each block; answers the sums, pickled, as one row."""

    def __init__(self, model: ray.ObjectRef[Any], users_per_batch: int, negative_keep_rate: float) -> None:
        torch.set_num_threads(1)
        description, weights, state = ray.get(model)
        self._scorer = UserScorer.load(description, weights, state, users_per_batch, _actor_device())
        self._negative_keep_rate = negative_keep_rate

    def __call__(self, block: pa.Table) -> pa.Table:
        columns = self._scorer.score(self._scorer.encode(block), Split.VALID)
        return pa.table({"sums": [pickle.dumps(CalibrationSums(self._negative_keep_rate).update(columns))]})


def _actor_device() -> str:
    return "cuda" if ray.get_gpu_ids() else "cpu"
