"""Training and evaluation on Ray Train and Ray Data; the settings, the step and the schedule run without Ray."""

from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.training.config import TrainingConfig

__all__ = ["EvaluationConfig", "TrainingConfig"]
