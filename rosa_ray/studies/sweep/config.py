"""Settings of a sweep."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rosa_ray.errors import ConfigError
from rosa_ray.training.config import MONITORS

OBJECTIVES = {"policy_roi": "max", "auc": "max", "ctcvr_auc": "max", "calibration": "min"}
"""What a sweep can search for, on the validation period, and which way is better; see `held_out.py`."""

WEIGHTED = ("valid_loss",)
"""Monitors that weigh the tasks as training does, and so compare nothing between task weights."""


def default_space() -> dict[str, dict[str, tuple[Any, ...]]]:
    """Task weights, decay, learning rate and size of ROSA-Rec; α stays, since only ratios of the weights matter."""
    return {
        "loss.beta": {"log": (0.1, 5.0)},
        "loss.gamma": {"uniform": (0.0, 2.0)},
        "loss.kappa": {"uniform": (0.0, 1.0)},
        "training.learning_rate": {"log": (2e-4, 5e-3)},
        "model.decay": {"choice": (True, False)},
        "model.width": {"choice": (32, 64)},
    }


@dataclass(frozen=True)
class TuneConfig:
    """What a sweep varies, what it looks for, and how long.

    Attributes:
        space: a dotted key of the config -> how it is drawn: `{uniform: [low, high]}`, `{log: [low, high]}`,
            `{integers: [low, high]}`, both ends included, or `{choice: [...]}`. It holds the configured value of each
            key, since the configured run is the first trial.
        trials: how many, the configured run among them.
        trials_at_once: that train at the same time, one process each; None for the cluster's GPUs, else its CPUs.
        metric: validation figure by which hopeless trials are stopped, and which decides the best epoch of a trial.
            `valid_loss` is refused: it weighs the tasks as training does.
        objectives: what Optuna searches for, a Pareto front of them; of `OBJECTIVES`.
        pick: the objective that decides between the trials of the front.
        max_calibration: worst |log PCOC| of a winner before it is calibrated; where no trial of the front is that good,
            the best calibrated one wins.
        grace_epochs: epochs before a trial can be stopped.
        reduction: of so many trials that reach a rung, one goes on; the next rung is so many times as many epochs away.
        random_trials: drawn at random before Optuna's sampler learns from results.
        storage: Optuna's database as an SQLAlchemy URL; empty is a SQLite file in the run directory.
        resume: go on with the sweep of the same settings and data; False starts it over.

    Raises:
        ConfigError: a value is out of range.

    >>> TuneConfig(metric="valid_loss")
    Traceback (most recent call last):
    rosa_ray.errors.ConfigError: tune.metric is 'valid_loss', which weighs tasks as training does; choose another
    """

    space: dict[str, dict[str, tuple[Any, ...]]] = field(default_factory=default_space)
    trials: int = 24
    trials_at_once: int | None = None
    metric: str = "valid_auc"
    objectives: tuple[str, ...] = ("policy_roi", "auc", "calibration")
    pick: str = "policy_roi"
    max_calibration: float = 0.5
    grace_epochs: int = 1
    reduction: int = 3
    random_trials: int = 8
    storage: str = ""
    resume: bool = True

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("grace_epochs", 1), ("reduction", 2), ("random_trials", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"tune.{name} is {getattr(self, name)}; it must be at least {least}")
        if self.trials_at_once is not None and self.trials_at_once < 1:
            raise ConfigError(f"tune.trials_at_once is {self.trials_at_once}; it must be at least 1, or null")
        if not self.max_calibration > 0:
            raise ConfigError(f"tune.max_calibration is {self.max_calibration}; it must be above 0")
        self._check_names()

    def _check_names(self) -> None:
        if not self.space:
            raise ConfigError("tune.space is empty; name at least one key, like {loss.beta: {log: [0.1, 5]}}")
        if self.metric in WEIGHTED:
            raise ConfigError(f"tune.metric is '{self.metric}', which weighs tasks as training does; choose another")
        if self.metric not in MONITORS:
            free = ", ".join(name for name in MONITORS if name not in WEIGHTED)
            raise ConfigError(f"tune.metric is '{self.metric}'; choose one of {free}")
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise ConfigError(f"tune.objectives is {list(self.objectives)}; name at least one, each once")
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise ConfigError(f"tune.objectives names '{name}'; choose from {', '.join(OBJECTIVES)}")
        if self.pick not in self.objectives:
            raise ConfigError(f"tune.pick is '{self.pick}'; choose from tune.objectives: {', '.join(self.objectives)}")

    @property
    def directions(self) -> Mapping[str, str]:
        """`max` or `min` of each objective, in order."""
        return {name: OBJECTIVES[name] for name in self.objectives}
