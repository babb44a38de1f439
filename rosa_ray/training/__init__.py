"""Training and evaluation on Ray Train and Ray Data; the settings, the step and the schedule run without Ray."""

from rosa_ray.training.config import EvaluationConfig, TrainingConfig

__all__ = ["EvaluationConfig", "TrainingConfig"]
