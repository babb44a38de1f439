"""Boosted trees as a trial: fitted on the rows that rankers train on, stopped by those that stop rankers."""

import time
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.errors import TrainingError
from rosa_ray.evaluation.predictions import prediction_columns
from rosa_ray.features import EncodedUsers, FeatureState, concat_users
from rosa_ray.metrics import evaluate_predictions
from rosa_ray.models.transitions import Transitions
from rosa_ray.studies.trees.config import WINDOW
from rosa_ray.studies.trees.model import TreesModel
from rosa_ray.training.boosting import CLICKS, CONVERSIONS, boost
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.loop import VALID_METRICS
from rosa_ray.training.ranks import Ranks
from rosa_ray.training.reader import ShardReader
from rosa_ray.training.schedule import monitored
from rosa_ray.training.transitions import count_transitions
from rosa_ray.training.tree_rows import rows_of, users_matrix


class TreesTrainer:
    """Fits in one go; what `InProcessTrainer` does in epochs. A stopped fit begins anew.

    Args:
        tables: user rows, block by block.
    """

    def __init__(self, job: TrainingJob, tables: list[pa.Table], device: str = "cpu") -> None:
        self._job, self._tables = job, tables
        self.history: list[dict[str, Any]] = []
        self.best_weights: dict[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        """Whether all is fitted."""
        return bool(self.history)

    def run_epoch(self) -> dict[str, Any]:
        """Fit and validate; returns the one record of the history.

        Raises:
            TrainingError: a period has no impressions.
        """
        began = time.perf_counter()
        state = read_feature_state(self._job.layout.features)
        users, held_out = _periods(self._job, self._tables, state)
        model = self._fit(users, held_out, state)
        seconds = time.perf_counter() - began
        self.best_weights = model.state_dict()
        record = {
            "epoch": 1,
            "samples": len(users.dense),
            "train_seconds": round(seconds, 3),
            "samples_per_s": round(len(users.dense) / seconds, 1),
            "click_trees": model.click.rounds,
            "conversion_trees": model.conversion.rounds,
            **_validate(held_out, model),
            "seconds": round(time.perf_counter() - began, 3),
        }
        self.history.append(record | {"monitor_score": monitored(self._job.training, record)})
        return self.history[-1]

    def save(self, path: str, digest: str) -> None:
        """Keep nothing: a fit takes no longer than an epoch of a ranker."""

    def restore(self, path: str, digest: str) -> None:
        """Begin anew; see `save`."""

    def _fit(self, users: EncodedUsers, held_out: EncodedUsers, state: FeatureState) -> TreesModel:
        sizes, training = state.table_sizes, self._job.training
        told = self._job.model.settings
        transitions = Transitions(sizes, told.within_category, told.prices) if told.transitions else None
        if transitions is not None:
            count_transitions(transitions, [users], Ranks())
        train = users_matrix(users, sizes, WINDOW, transitions)
        if transitions is not None:
            # Trees are stopped by what they are measured on: counts of all users, as rankers read them.
            transitions.eval()
        valid = users_matrix(held_out, sizes, WINDOW, transitions)
        starts = {"click": state.base_rates["ctr"], "conversion": min(state.base_rates["cvr"], 1 - 1e-6)}
        click, conversion = (
            boost(
                rows_of(train, users.impressions, label),
                rows_of(valid, held_out.impressions, label),
                starts[label],
                growth,
                shrinkage=training.learning_rate,
                seed=self._job.seed,
                threads=training.threads_per_worker,
            )
            for label, growth in (("click", CLICKS), ("conversion", CONVERSIONS))
        )
        return TreesModel(click, conversion, sizes, transitions)


def _periods(job: TrainingJob, tables: list[pa.Table], state: FeatureState) -> tuple[EncodedUsers, EncodedUsers]:
    reader = ShardReader(tables, state, WINDOW, user_share=job.training.user_share)
    train = concat_users(list(reader.training(np.random.default_rng(job.seed))))
    valid = concat_users(list(reader.validation()))
    for name, users in (("training", train), ("validation", valid)):
        if not len(users.dense):
            raise TrainingError(f"the {name} period has no impressions; move preprocess.valid_fraction")
    return train, valid


def _validate(users: EncodedUsers, model: TreesModel) -> dict[str, Any]:
    metrics = evaluate_predictions(prediction_columns(users, model.predict(users)))
    # Rankers sum their losses under task weights; trees have the two that are log losses.
    total = metrics["logloss"] + metrics["ctcvr_logloss"]
    return {"valid_loss": total, **{f"valid_{name}": metrics[name] for name in VALID_METRICS}}
