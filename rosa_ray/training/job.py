"""What a training job is: the settings and data that decide its outcome, under one digest."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from rosa_ray.features import FeatureState
from rosa_ray.models import LossConfig, build_ranker
from rosa_ray.run_dir import DataDir
from rosa_ray.settings import Tagged
from rosa_ray.settings.plain import to_plain
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.pretrain_config import PretrainConfig

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
        model: the ranker's name and settings.
        seed: of weights, shuffling and dropout.
        data_dir: what preprocessing wrote, local absolute or remote.
        not_in_digest: settings of the model that stay at their defaults and tell no two jobs apart.
        pretrain: what comes before, on events alone.
        start: directory of the pre-trained weights, once there are any; empty for fresh weights.
        start_digest: of the pre-training that they come from.
    """

    model: Tagged
    loss: LossConfig
    training: TrainingConfig
    seed: int
    data_dir: str
    not_in_digest: tuple[str, ...] = ()
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    start: str = ""
    start_digest: str = ""

    @property
    def layout(self) -> DataDir:
        return DataDir(self.data_dir)

    def digest(self, feature_fingerprint: str, users: int) -> str:
        """Sixteen hex digits that runs share when one can go on from the other's checkpoints.

        How long to train, on what and how to fail are left out: a finished run may be given more epochs, an
        interrupted one another number of workers.
        """
        training = {name: value for name, value in asdict(self.training).items() if name not in _NOT_IN_DIGEST}
        plain = to_plain(self.model.settings)
        model = {name: value for name, value in plain.items() if name not in self.not_in_digest}
        content = [self.model.name, model, asdict(self.loss), training, self.seed, feature_fingerprint, users]
        content += [self.start_digest] if self.start_digest else []
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def build(self, state: FeatureState) -> nn.Module:
        """The ranker with fresh weights; torch's seed decides them."""
        return build_ranker(**self.describe_model(state))

    def describe_model(self, state: FeatureState) -> dict[str, Any]:
        """What a bundle needs to rebuild the ranker; see `rosa_ray.inference.load_ranker`."""
        return {
            "name": self.model.name,
            "config": to_plain(self.model.settings),
            "sizes": state.table_sizes,
            "base_rates": state.base_rates,
        }
