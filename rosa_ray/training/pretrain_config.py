"""Settings of pre-training on events, and what they make of those of training."""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from rosa_ray.models.objectives import objective_names
from rosa_ray.settings import section, wrong
from rosa_ray.training.config import TrainingConfig

OF_TRAINING = (
    *("weight_decay", "schedule", "warmup_steps", "gradient_clip", "weight_average", "precision", "user_share"),
)
"""Settings of training that decide what pre-training learns."""

_MACHINES = (
    *("workers", "min_workers", "use_gpu", "cpus_per_worker", "threads_per_worker", "max_failures"),
    *("keep_checkpoints", "memory_gb", "collective_timeout_s", "resume"),
)
"""Settings of training that say where it runs."""

HELD_OUT = "valid_loss"
"""What decides the best epoch: the weighted loss on the events of held-out users."""


@section("pretrain")
class PretrainConfig:
    """What users do teaches the encoder and the tables, before any click is looked at.

    Weight decay, warm-up, schedule, clipping, averaging, precision and share of users are those of `training`.
    """

    epochs: Annotated[int, Ge(0)] = 0
    """Passes over the events of the training period, at most. 0 is off, or takes the weights of `start_from` as they
    are."""
    patience: Annotated[int, Ge(1)] = 3
    """Epochs without a new best on held-out users after which pre-training stops."""
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    """Learning rate of AdamW after the warm-up."""
    users_per_batch: Annotated[int, Ge(1)] = 8
    """Users per step and worker. Each brings its whole timeline."""
    objective: Mapping[str, Annotated[float, Ge(0)]] = field(default_factory=lambda: {"next_event": 1.0})
    """Weight of each objective; 0 is off. Each is a file of `rosa_ray/models/objectives`, found by name."""
    holdout: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Share of the users whose events are held out: the same ones in every run. They decide the best epoch."""
    start_from: str = ""
    """Weights to start from: a run directory, a bundle, or a directory below a run's `pretrained`. Rows of ids that
    both logs know are taken along, so that a new day begins where yesterday's ended."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.objective if name not in objective_names()]
        if unknown or not self.objectives:
            raise wrong(self, "objective", f"it must give weights to some of {', '.join(objective_names())}")

    @property
    def objectives(self) -> dict[str, float]:
        """Weight of each objective that is on."""
        return {name: weight for name, weight in self.objective.items() if weight > 0}

    @property
    def enabled(self) -> bool:
        """Whether training starts from other weights than fresh ones."""
        return self.epochs > 0 or bool(self.start_from)

    def training(self, of: TrainingConfig) -> TrainingConfig:
        """The settings of training under which the events are learned.

        >>> found = PretrainConfig(epochs=20).training(TrainingConfig(weight_decay=0.5, learning_rate=9.0))
        >>> found.epochs, found.weight_decay, found.learning_rate
        (20, 0.5, 0.001)
        """
        shared: dict[str, Any] = {name: getattr(of, name) for name in (*OF_TRAINING, *_MACHINES)}
        return TrainingConfig(
            epochs=max(self.epochs, 1),
            patience=self.patience,
            learning_rate=self.learning_rate,
            users_per_batch=self.users_per_batch,
            monitor=HELD_OUT,
            **shared,
        )


def pretrain_in_one_process(pretrain: PretrainConfig, workers: int) -> PretrainConfig:
    """The same pre-training for one process, which takes the batches of all workers together.

    >>> pretrain_in_one_process(PretrainConfig(users_per_batch=8), workers=4).users_per_batch
    32
    """
    return replace(pretrain, users_per_batch=pretrain.users_per_batch * workers)
