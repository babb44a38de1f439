"""Settings of training."""

from dataclasses import dataclass
from typing import Literal

from rosa_ray.errors import ConfigError

MONITORS = {
    "valid_loss": "min",
    "valid_logloss": "min",
    "valid_ctcvr_logloss": "min",
    "valid_auc": "max",
    "valid_gauc": "max",
    "valid_ctcvr_auc": "max",
}
"""Validation figures that can decide the best epoch, and which way is better."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a ranker is fitted.

    Attributes:
        workers: data-parallel processes.
        min_workers: with fewer than `workers` free places, start with as few as these, and grow and shrink with the
            cluster, from checkpoint to checkpoint; None waits for all. A step takes `users_per_batch` of each worker,
            so another number of workers is another batch size.
        use_gpu: a GPU per worker (nccl), none (gloo), or `auto`: where the cluster has one for each.
        cpus_per_worker: logical CPUs that a worker reserves; None leaves one of the cluster's to the tasks that read.
        threads_per_worker: torch threads of a worker.
        epochs: passes over the training period, at most.
        users_per_batch: users per step and worker; a user brings all of its impressions.
        learning_rate: of AdamW, after the warm-up.
        weight_decay: of matrices; embeddings, biases and decay rates have none.
        schedule: `constant`; `cosine` falls to zero over `epochs`; `plateau` halves after an epoch that is no best.
        warmup_steps: steps in which the learning rate rises linearly.
        gradient_clip: largest norm of the gradient.
        weight_average: decay per step of the running mean of the weights, which is what is validated and kept; 0 takes
            the last step's weights (Polyak & Juditsky 1992).
        user_share: share of the users that are trained on, above 0 to 1: the same ones in every run, those of a smaller
            share among those of a larger one. All users are validated.
        patience: epochs without a new best after which training stops.
        min_delta: by how much an epoch must beat the best to count as new best for `patience`.
        monitor: validation figure that decides the best epoch, one of `MONITORS`. Clicks are the most frequent label,
            so their log loss says most reliably where overfitting begins. `valid_loss` weighs the tasks as training
            does: it moves with the value of some hundred conversions, and cannot compare task weights.
        precision: of the forward pass; `auto` is bf16, else fp16, on a GPU and fp32 on a CPU.
        max_failures: how often a died worker is replaced and training goes on from the last epoch.
        keep_checkpoints: best epochs kept, beside the last one.
        memory_gb: encoded users a worker keeps in memory; a larger shard is read and encoded again every epoch.
        collective_timeout_s: seconds a worker waits for the others before it gives up.
        resume: go on from the checkpoints of the same settings and data; False starts over.

    Raises:
        ConfigError: a value is out of range.
    """

    workers: int = 2
    min_workers: int | None = None
    use_gpu: bool | Literal["auto"] = "auto"
    cpus_per_worker: float | None = None
    threads_per_worker: int = 1
    epochs: int = 10
    users_per_batch: int = 8
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    warmup_steps: int = 50
    gradient_clip: float = 5.0
    weight_average: float = 0.99
    user_share: float = 1.0
    patience: int = 2
    min_delta: float = 0.0
    monitor: str = "valid_logloss"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    max_failures: int = 2
    keep_checkpoints: int = 2
    memory_gb: float = 4.0
    collective_timeout_s: int = 60
    resume: bool = True

    def __post_init__(self) -> None:
        positive = ("workers", "threads_per_worker", "epochs", "users_per_batch", "learning_rate", "gradient_clip")
        for name in (*positive, "patience", "keep_checkpoints", "collective_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"training.{name} is {getattr(self, name)}; it must be above 0")
        for name in ("weight_decay", "warmup_steps", "min_delta", "max_failures", "memory_gb"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"training.{name} is {getattr(self, name)}; it must be 0 or more")
        if self.min_workers is not None and not 1 <= self.min_workers <= self.workers:
            raise ConfigError(
                f"training.min_workers is {self.min_workers}; it must be from 1 to training.workers ({self.workers})"
            )
        if not 0 <= self.weight_average < 1:
            raise ConfigError(f"training.weight_average is {self.weight_average}; it must be from 0 to below 1")
        if not 0 < self.user_share <= 1:
            raise ConfigError(f"training.user_share is {self.user_share}; it must be above 0, up to 1")
        if self.monitor not in MONITORS:
            raise ConfigError(f"training.monitor is '{self.monitor}'; choose one of {', '.join(MONITORS)}")

    @property
    def monitor_mode(self) -> Literal["min", "max"]:
        """Whether a lower or a higher monitor is better."""
        return "min" if MONITORS[self.monitor] == "min" else "max"


@dataclass(frozen=True)
class GateTrainingConfig:
    """How the gate between offline and online score is fitted, on the validation period.

    Attributes:
        enabled: False writes a bundle without a gate, which cannot be served by the rule `learned`.
        users: users looked at, at most; those with impressions in the validation period count.
        cuts: pairs per impression, each with stored states of another age.
        daily_share: pairs whose states are of the last midnight, as a daily materialisation leaves them; those of the
            others are 10 minutes to 7 days old.
        encode_price: η, the log loss in nats per request that one call of the encoder must gain to be worth it at full
            load. Higher calls less often under load, 0 never minds the load. None takes the mean gain of the pairs, so
            that at full load an average call is just not worth it; the report in `gate.json` says how gains spread.
        label_share: weight of the label in what λ is fitted to; the rest is the online probability. Where that is
            calibrated both say the same in expectation, and it lacks the label's noise. 1 fits to labels alone.
        hidden: hidden units.
        learning_rate: of Adam.
        steps: most steps, each on up to 2,048 pairs, with loads drawn anew.
        patience: checks, one every 20 steps, without a new best on the users held out after which fitting stops.
        holdout: share of users held out; they decide when to stop, the threshold, and the report.

    Raises:
        ConfigError: a value is out of range.
    """

    enabled: bool = True
    users: int = 2000
    cuts: int = 2
    daily_share: float = 0.5
    encode_price: float | None = None
    label_share: float = 0.5
    hidden: int = 8
    learning_rate: float = 0.02
    steps: int = 600
    patience: int = 6
    holdout: float = 0.25

    def __post_init__(self) -> None:
        for name in ("users", "cuts", "hidden", "learning_rate", "steps", "patience"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"gate.{name} is {getattr(self, name)}; it must be above 0")
        for name in ("daily_share", "label_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"gate.{name} is {getattr(self, name)}; it must be from 0 to 1")
        if not 0 < self.holdout < 1:
            raise ConfigError(f"gate.holdout is {self.holdout}; it must be above 0 and below 1")
        if self.encode_price is not None and not self.encode_price >= 0:
            raise ConfigError(f"gate.encode_price is {self.encode_price}; it must be 0 or more, or null")
