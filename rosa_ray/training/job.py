"""What a training job is: the settings and data that decide its outcome, under one digest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from rosa_ray.features import FeatureState
from rosa_ray.models import LossConfig, build_ranker
from rosa_ray.run_dir import DataDir
from rosa_ray.training.config import TrainingConfig

_NOT_IN_DIGEST = (
    "workers",
    "min_workers",
    "use_gpu",
    "cpus_per_worker",
    "threads_per_worker",
    "epochs",
    "patience",
    "max_failures",
    "keep_checkpoints",
    "memory_gb",
    "collective_timeout_s",
    "resume",
)


@dataclass(frozen=True)
class TrainingJob:
    """One training run.

    Attributes:
        model: name of the ranker.
        settings: its settings, plain values.
        seed: of weights, shuffling and dropout.
        data_dir: what preprocessing wrote, local absolute or remote.
    """

    model: str
    settings: Mapping[str, Any]
    loss: LossConfig
    training: TrainingConfig
    seed: int
    data_dir: str

    @property
    def layout(self) -> DataDir:
        return DataDir(self.data_dir)

    def digest(self, feature_fingerprint: str, users: int) -> str:
        """Sixteen hex digits that runs share when one can go on from the other's checkpoints.

        How long to train, on what and how to fail are left out: a finished run may be given more epochs, an
        interrupted one another number of workers.
        """
        training = {name: value for name, value in asdict(self.training).items() if name not in _NOT_IN_DIGEST}
        content = [self.model, dict(self.settings), asdict(self.loss), training, self.seed, feature_fingerprint, users]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def build(self, state: FeatureState) -> nn.Module:
        """The ranker with fresh weights; torch's seed decides them."""
        return build_ranker(self.model, self.settings, state.table_sizes, state.base_rates)

    def describe_model(self, state: FeatureState) -> dict[str, Any]:
        """What a bundle needs to rebuild the ranker; see `rosa_ray.inference.load_ranker`."""
        return {
            "name": self.model,
            "config": dict(self.settings),
            "sizes": state.table_sizes,
            "base_rates": state.base_rates,
        }
