"""Gradient boosting of one probability, LightGBM (Ke et al. 2017), repeated to the last digit by its seed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from rosa_ray.arrays import Floats
from rosa_ray.metrics import LOGLOSS_EPS
from rosa_ray.models.boosted import Trees
from rosa_ray.models.forest import library
from rosa_ray.models.tree_columns import Matrix

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
        if kept.all():
            return cls(matrix, label, weight)
        return cls(Matrix(matrix.values[kept], matrix.names, matrix.sets), label[kept], weight[kept])

    @property
    def has_both(self) -> bool:
        """Whether both labels are there."""
        return len(np.unique(self.label)) > 1


def boost(
    train: Rows,
    valid: Rows,
    start: float,
    growth: Mapping[str, Any],
    *,
    shrinkage: float,
    seed: int,
    threads: int = 1,
    most: int = MOST_ROUNDS,
) -> Trees:
    """Add trees as long as the log loss of the validation rows falls; the best number of them is kept.

    Args:
        start: rate that all rows start from, in (0, 1).
        growth: LightGBM's parameters of the trees.
        shrinkage: what each tree counts.
        threads: change the time taken, not the trees.
        most: trees at most.

    Returns:
        The start alone where the training rows have one label only, or there is nothing to validate on.

    Raises:
        ConfigError: LightGBM cannot be loaded.
    """
    plain = Trees(math.log(start / (1 - start)))
    if not train.has_both or not len(valid.label):
        return plain
    lgb = lightgbm()
    params = {
        **growth,
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": shrinkage,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    told = _dataset(lgb, train, plain.start, params)
    held_out = told.create_valid(
        valid.matrix.values, valid.label, valid.weight, init_score=np.full(len(valid.label), plain.start)
    )
    stop = lgb.early_stopping(PATIENCE, verbose=False)
    grown = lgb.train(params, told, most, valid_sets=[held_out], callbacks=[stop])
    fitted = Trees(plain.start, grown.model_to_string(num_iteration=grown.best_iteration))
    return fitted if log_loss(fitted, valid) < log_loss(plain, valid) else plain


def log_loss(model: Trees, rows: Rows) -> float:
    """Weighted log loss in nats per row."""
    p = np.clip(model.predict(rows.matrix.values), LOGLOSS_EPS, 1 - LOGLOSS_EPS)
    losses = -np.where(rows.label == 1, np.log(p), np.log1p(-p))
    return float(np.average(losses, weights=rows.weight))


def lightgbm() -> ModuleType:
    """The package, which only training needs.

    Raises:
        ConfigError: it, or the OpenMP library that it needs, is not installed.
    """
    library()
    import lightgbm as package

    module: ModuleType = package
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
