"""Settings of evaluation."""

from dataclasses import dataclass
from typing import Literal

from rosa_ray.errors import ConfigError
from rosa_ray.metrics import ScoreKind


@dataclass(frozen=True)
class EvaluationConfig:
    """How a trained ranker is evaluated.

    Attributes:
        score: what the policy ranks by.
        users_per_batch: users padded to one rectangle.
        actors: scoring processes, each with a GPU where `use_gpu` says so.
        use_gpu: as in training.
        off_policy_clip: largest importance weight of off-policy estimates; None clips nothing.
    """

    score: ScoreKind = "roi"
    users_per_batch: int = 64
    actors: int = 1
    use_gpu: bool | Literal["auto"] = "auto"
    off_policy_clip: float | None = None

    def __post_init__(self) -> None:
        for name in ("users_per_batch", "actors"):
            if getattr(self, name) < 1:
                raise ConfigError(f"evaluation.{name} is {getattr(self, name)}; it must be at least 1")
        if self.off_policy_clip is not None and not self.off_policy_clip > 0:
            raise ConfigError(f"evaluation.off_policy_clip is {self.off_policy_clip}; it must be above 0, or null")
