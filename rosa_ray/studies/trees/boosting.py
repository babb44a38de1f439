"""One probability by gradient boosting, LightGBM (Ke et al. 2017), repeated to the last digit by its seed.

LightGBM needs the OpenMP library of GCC, which its wheel does not bring. Torch's build for CPUs does, so torch must be
imported first: the import below stands in a function.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rosa_ray.arrays import Floats
from rosa_ray.errors import TrainingError
from rosa_ray.metrics import LOGLOSS_EPS
from rosa_ray.studies.trees.columns import Matrix
from rosa_ray.training.config import TrainingConfig

MOST_ROUNDS, PATIENCE = 2000, 100
"""Trees at most, and trees without a lower validation loss after which boosting stops."""

CLICKS = {
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "lambda_l2": 10.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
}
"""Growth of trees for a label with thousands of positives."""

CONVERSIONS = CLICKS | {"num_leaves": 4, "min_data_in_leaf": 200, "lambda_l2": 50.0, "feature_fraction": 0.3}
"""The same for clicked rows, of which there are few: small trees, held back.

Trees for a click with a conversion, on all rows and divided by those for a click, had a higher validation log loss."""


@dataclass(frozen=True)
class Rows:
    """What trees are fitted on.

    Attributes:
        matrix: of n rows.
        label: 0 or 1, (n,).
        weight: what a row stands for, above 0, (n,).
    """

    matrix: Matrix
    label: Floats
    weight: Floats

    @classmethod
    def of(cls, matrix: Matrix, label: Floats, weight: Floats) -> "Rows":
        """The rows that stand for something."""
        kept = weight > 0
        return cls(Matrix(matrix.values[kept], matrix.names, matrix.sets), label[kept], weight[kept])

    @property
    def has_both(self) -> bool:
        """Whether both labels are there."""
        return len(np.unique(self.label)) > 1


@dataclass(frozen=True)
class Boosted:
    """A fitted probability: the logit that all rows start from, and trees that add to it.

    Attributes:
        start: logit.
        model: LightGBM's text; empty where no tree lowers the validation loss.
    """

    start: float
    model: str = ""

    def predict(self, values: npt.NDArray[np.float32]) -> Floats:
        """Probability of every row, float64 (n,)."""
        logit = np.full(len(values), self.start)
        if self.model and len(values):
            logit = logit + self._booster.predict(values, raw_score=True, num_threads=1)
        chances: Floats = 1 / (1 + np.exp(-logit))
        return chances

    @property
    def rounds(self) -> int:
        """Number of trees."""
        return int(self._booster.num_trees()) if self.model else 0

    def state_dict(self, name: str) -> dict[str, Tensor]:
        """All of it as tensors, under a name."""
        text = np.frombuffer(self.model.encode(), np.uint8).copy()
        return {f"{name}.start": torch.tensor(self.start, dtype=torch.float64), f"{name}.model": torch.from_numpy(text)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], name: str) -> "Boosted":
        """Inverse of `state_dict`."""
        return cls(float(state[f"{name}.start"]), state[f"{name}.model"].numpy().tobytes().decode())

    @cached_property
    def _booster(self) -> Any:
        return lightgbm().Booster(model_str=self.model)


def boost(
    train: Rows, valid: Rows, start: float, growth: Mapping[str, Any], training: TrainingConfig, seed: int
) -> Boosted:
    """Add trees as long as the log loss of the validation rows falls; the best number of them is kept.

    Args:
        start: rate that all rows start from, in (0, 1).
        growth: LightGBM's parameters of the trees.
        training: its learning rate is the shrinkage of each tree.

    Returns:
        The start alone where the training rows have one label only, or there is nothing to validate on.
    """
    plain = Boosted(math.log(start / (1 - start)))
    if not train.has_both or not len(valid.label):
        return plain
    lgb = lightgbm()
    params = {
        **growth,
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": training.learning_rate,
        "seed": seed,
        "num_threads": training.threads_per_worker,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    told = _dataset(lgb, train, plain.start, params)
    held_out = told.create_valid(
        valid.matrix.values, valid.label, valid.weight, init_score=np.full(len(valid.label), plain.start)
    )
    stop = lgb.early_stopping(PATIENCE, verbose=False)
    grown = lgb.train(params, told, MOST_ROUNDS, valid_sets=[held_out], callbacks=[stop])
    fitted = Boosted(plain.start, grown.model_to_string(num_iteration=grown.best_iteration))
    return fitted if log_loss(fitted, valid) < log_loss(plain, valid) else plain


def log_loss(model: Boosted, rows: Rows) -> float:
    """Weighted log loss in nats per row."""
    p = np.clip(model.predict(rows.matrix.values), LOGLOSS_EPS, 1 - LOGLOSS_EPS)
    losses = -np.where(rows.label == 1, np.log(p), np.log1p(-p))
    return float(np.average(losses, weights=rows.weight))


def lightgbm() -> ModuleType:
    """The library.

    Raises:
        TrainingError: it, or the OpenMP library that it needs, is not installed.
    """
    try:
        import lightgbm as library
    except (ImportError, OSError) as error:
        raise TrainingError(
            f"boosted trees need lightgbm, which cannot be loaded: {error}; install lightgbm and libgomp1, or leave "
            "trees out of study.models"
        ) from error
    module: ModuleType = library
    return module


def _dataset(lgb: ModuleType, rows: Rows, start: float, params: dict[str, Any]) -> Any:
    return lgb.Dataset(
        rows.matrix.values,
        rows.label,
        weight=rows.weight,
        init_score=np.full(len(rows.label), start),
        feature_name=list(rows.matrix.names),
        categorical_feature=list(rows.matrix.sets),
        params=params,
    )
