"""What a pre-training is: the settings and events that decide its outcome, under one digest.

Trainings that differ in what no event touches share one pre-training: another head, loss or learning rate, say.
"""

import hashlib
import importlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fsspec
from torch import nn

from rosa_ray.data.user_rows import list_user_files, read_feature_state, read_spec
from rosa_ray.features import FeatureState
from rosa_ray.models import config_class
from rosa_ray.run_dir import DataDir
from rosa_ray.settings.plain import to_plain
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import OF_TRAINING
from rosa_ray.training.start_weights import find_start, start_digest

FORMAT = 1
"""Raise it when the same settings and events give other weights than before."""


@dataclass(frozen=True)
class PretrainJob:
    """One pre-training, of the ranker of a training job.

    Attributes:
        job: the training that it is for; `job.pretrain` says how.
        code: digest of the code, where a result of other code must not be taken.
    """

    job: TrainingJob
    code: str = ""

    @property
    def layout(self) -> DataDir:
        return self.job.layout

    @property
    def seed(self) -> int:
        return self.job.seed

    @property
    def training(self) -> TrainingConfig:
        """How the loop runs: epochs, rates and batches are those of pre-training."""
        return self.job.pretrain.training(self.job.training)

    def build(self, state: FeatureState) -> nn.Module:
        """The ranker with fresh weights; torch's seed decides them."""
        return self.job.build(state)

    @cached_property
    def until_us(self) -> int:
        """End of the training period, microseconds UTC; no event at or after it is looked at.

        Raises:
            InputError: there is no preprocessed data.
        """
        return int(read_spec(self.layout)["bounds"]["valid_us"])

    @cached_property
    def start(self) -> str:
        """Place of the weights to start from; empty for fresh ones.

        Raises:
            InputError: `pretrain.start_from` names none.
        """
        return find_start(self.job.pretrain.start_from)

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that decide the weights: runs and trials that share them share the result."""
        pretrain = self.job.pretrain
        return _digest([self.checkpoints, pretrain.epochs, pretrain.patience])

    @cached_property
    def checkpoints(self) -> str:
        """Sixteen hex digits without how long: a finished pre-training may be given more epochs."""
        pretrain, training = self.job.pretrain, to_plain(self.job.training)
        content = [
            FORMAT,
            self.job.model.name,
            _event_settings(self.job),
            {name: training[name] for name in OF_TRAINING},
            [pretrain.learning_rate, pretrain.users_per_batch, pretrain.objectives, pretrain.holdout],
            self.job.seed,
            self._data(),
            _weights_of(self.start),
            self.code,
        ]
        return _digest(content)

    def _data(self) -> list[Any]:
        """What tells this data from other: the fitted features, the end of the period, and the files of user rows."""
        state = read_feature_state(self.layout.features)
        files = [[rows, _size(path)] for path, rows in list_user_files(self.layout.users)]
        return [state.fingerprint, self.until_us, files]


def _event_settings(job: TrainingJob) -> dict[str, Any]:
    """Settings of the model without those that no event touches, which a ranker's module names."""
    untouched = getattr(importlib.import_module(config_class(job.model.name).__module__), "NOT_OF_EVENTS", ())
    plain: dict[str, Any] = to_plain(job.model.settings)
    return {name: value for name, value in plain.items() if name not in (*untouched, *job.not_in_digest)}


def _size(path: str) -> int:
    fs, root = fsspec.core.url_to_fs(path)
    return int(fs.size(root))


def _weights_of(start: str) -> str:
    return start_digest(start) if start else ""


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
