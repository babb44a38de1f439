"""Calibration after training: the best weights score the validation period, and the correction is fitted on that.

Whoever holds predictions of the validation period already needs only
`fit_calibration(CalibrationSums(config.negative_keep_rate).update(columns), config)`, with raw scores.
"""

import pickle
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa
import ray
import torch

from rosa_ray.calibration import Calibration, CalibrationConfig, CalibrationSums, fit_calibration
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.evaluation.pool import map_users
from rosa_ray.evaluation.predictions import prediction_columns
from rosa_ray.features import FeatureState, Split, UserRows, encode_users
from rosa_ray.inference import context_events, load_ranker, predict
from rosa_ray.run_dir import DataDir
from rosa_ray.storage import read_parquet

USERS_PER_BATCH = 64

DRIVER_USERS = 20_000
"""Up to so many users are scored by the driver itself, in less time than a pool takes to start."""

_USERS_PER_BLOCK = 2_000

Model = tuple[dict[str, Any], dict[str, torch.Tensor], FeatureState]
"""Description, weights and features of a ranker."""


class ValidationScorer:
    """Scores the validation impressions of blocks of user rows and sums them up."""

    def __init__(self, model: Model, negative_keep_rate: float, device: str) -> None:
        description, weights, self._state = model
        self._device = torch.device(device)
        self._ranker = load_ranker(description, weights).to(self._device)
        self._negative_keep_rate = negative_keep_rate

    def sums(self, block: pa.Table) -> CalibrationSums:
        """Return the sums of a block's validation impressions."""
        users = encode_users(UserRows.from_table(block), self._state).select(Split.VALID)
        users = users.trim(context_events(self._ranker))
        columns = prediction_columns(users, predict(self._ranker, users, USERS_PER_BATCH, self._device))
        return CalibrationSums(self._negative_keep_rate).update(columns)


class PoolScorer(ValidationScorer):
    """The same as an actor of the pool, with a reference to the model."""

    def __init__(self, model: ray.ObjectRef, negative_keep_rate: float) -> None:
        torch.set_num_threads(1)
        super().__init__(ray.get(model), negative_keep_rate, "cuda" if ray.get_gpu_ids() else "cpu")

    def __call__(self, block: pa.Table) -> pa.Table:
        """Return the block's sums, pickled, as one row."""
        return pa.table({"sums": [pickle.dumps(self.sums(block))]})


def calibrate(
    config: CalibrationConfig,
    *,
    description: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    state: FeatureState,
    layout: DataDir,
    actors: int = 1,
    use_gpu: bool | Literal["auto"] = "auto",
) -> Calibration:
    """Fit the calibration of a trained ranker on the validation period.

    Ray must be initialised where there are more than `DRIVER_USERS` users: a pool scores them.

    Args:
        description, weights: of the ranker; see `rosa_ray.inference.load_ranker`.
        layout: where the preprocessed data is.
        actors, use_gpu: scoring processes of the pool, and whether each has a GPU.

    Raises:
        InputError: there is no preprocessed data.
    """
    total = CalibrationSums(config.negative_keep_rate)
    if config.method != "none":
        model = (dict(description), {name: tensor.cpu() for name, tensor in weights.items()}, state)
        for sums in _validation_sums(model, config.negative_keep_rate, layout, actors, use_gpu):
            total.merge(sums)
    return fit_calibration(total, config)


def _validation_sums(
    model: Model, negative_keep_rate: float, layout: DataDir, actors: int, use_gpu: bool | Literal["auto"]
) -> Iterator[CalibrationSums]:
    files = list_user_files(layout.users)
    if sum(users for _, users in files) > DRIVER_USERS:
        rows = map_users(layout, PoolScorer, (ray.put(model), negative_keep_rate), actors, use_gpu)
        yield from (pickle.loads(row["sums"]) for row in rows)
        return
    device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
    scorer = ValidationScorer(model, negative_keep_rate, device)
    for path, users in files:
        table = read_parquet(path)
        for start in range(0, users, _USERS_PER_BLOCK):
            yield scorer.sums(table.slice(start, _USERS_PER_BLOCK).combine_chunks())
