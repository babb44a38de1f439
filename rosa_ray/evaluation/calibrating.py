"""Calibration after training: the best weights score the validation period, and the correction is fitted on that.

Whoever holds predictions of the validation period already needs only
`fit_calibration(CalibrationSums().update(columns), config)`, with raw scores.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa
import torch

from rosa_ray.calibration import Calibration, CalibrationConfig, CalibrationSums, fit_calibration
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.evaluation.pool import FittedModel, validation_sums
from rosa_ray.evaluation.returns import fit_returns
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import FeatureState, Split, UserRows
from rosa_ray.run_dir import DataDir
from rosa_ray.storage import read_parquet

USERS_PER_BATCH = 64

DRIVER_USERS = 20_000
"""Up to so many users are scored by the driver itself, in less time than a pool takes to start."""

_USERS_PER_BLOCK = 2_000
_BLOCKS_OF_THETA = 10


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
    sums = CalibrationSums()
    if config.method != "none":
        sums = sum_validation(description, weights, state, layout, actors, use_gpu)
    model = dict(description), weights, state
    return with_returns(fit_calibration(sums, config), sums, config, model, layout, use_gpu)


def with_returns(
    calibration: Calibration,
    sums: CalibrationSums,
    config: CalibrationConfig,
    model: FittedModel,
    layout: DataDir,
    use_gpu: bool | Literal["auto"] = "auto",
) -> Calibration:
    """A fitted calibration with what ranking by return needs; see `fit_returns`.

    The driver scores what it asks for, of ten blocks of users at most: theta is one number, and needs no more.
    """
    device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
    scorer = UserScorer.load(*model, USERS_PER_BATCH, device)
    blocks = itertools.islice(_blocks(layout), _BLOCKS_OF_THETA)
    candidates = (
        scorer.score(scorer.encode(block), Split.VALID_POLICY) for block in blocks if _has(block, Split.VALID_POLICY)
    )
    return replace(calibration, returns=fit_returns(calibration, sums, candidates, config))


def sum_validation(
    description: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    state: FeatureState,
    layout: DataDir,
    actors: int = 1,
    use_gpu: bool | Literal["auto"] = "auto",
) -> CalibrationSums:
    """Sums of the validation period's raw scores and labels; arguments as in `calibrate`."""
    total = CalibrationSums()
    model = (dict(description), {name: tensor.cpu() for name, tensor in weights.items()}, state)
    for sums in _sums_of(model, layout, actors, use_gpu):
        total.merge(sums)
    return total


def _sums_of(
    model: FittedModel, layout: DataDir, actors: int, use_gpu: bool | Literal["auto"]
) -> Iterator[CalibrationSums]:
    files = list_user_files(layout.users)
    if sum(users for _, users in files) > DRIVER_USERS:
        yield from validation_sums(model, USERS_PER_BATCH, layout, actors, use_gpu)
        return
    device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
    scorer = UserScorer.load(*model, USERS_PER_BATCH, device)
    for block in _blocks(layout):
        yield CalibrationSums().update(scorer.score(scorer.encode(block), Split.VALID))


def _has(block: pa.Table, split: Split) -> bool:
    """Whether users of a block have impressions of a split, without encoding them."""
    return bool((UserRows.from_table(block).impressions["split"] == split).any())


def _blocks(layout: DataDir) -> Iterator[pa.Table]:
    """User rows, some at a time."""
    for path, users in list_user_files(layout.users):
        table = read_parquet(path)
        for start in range(0, users, _USERS_PER_BLOCK):
            yield table.slice(start, _USERS_PER_BLOCK).combine_chunks()
