"""Settings of a sweep."""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Annotated, Any

from annotated_types import Ge, Gt, MinLen

from rosa_ray.settings import Distinct, OneOf, section, wrong
from rosa_ray.training.config import MONITORS

OBJECTIVES = {"policy_roi": "max", "auc": "max", "ctcvr_auc": "max", "calibration": "min", "label_loss": "min"}
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


_Objectives = tuple[Annotated[str, OneOf(OBJECTIVES.keys)], ...]


@section("tune")
class TuneConfig:
    """What a sweep varies, what it looks for, and how long.

    >>> TuneConfig(metric="valid_loss")
    Traceback (most recent call last):
    rosa_ray.settings.fields.SettingError: tune.metric is 'valid_loss'; it weighs tasks as training does
    """

    space: dict[str, dict[str, tuple[Any, ...]]] = field(default_factory=default_space)
    """Dotted key of the config -> how it is drawn: `{uniform: [low, high]}`, `{log: [low, high]}`, `{integers: [low,
    high]}`, both ends included, or `{choice: [...]}`. It holds the configured value of each key, since the configured
    run is the first trial."""
    trials: Annotated[int, Ge(1)] = 24
    """Trials of the sweep, the configured run among them."""
    trials_at_once: Annotated[int, Ge(1)] | None = None
    """Trials that train at the same time, one process each. null takes the cluster's GPUs, else its CPUs."""
    metric: Annotated[str, OneOf(MONITORS.keys)] = "valid_auc"
    """Validation figure by which hopeless trials are stopped, and which decides the best epoch of a trial. `valid_loss`
    is refused: it weighs the tasks as training does."""
    objectives: Annotated[_Objectives, MinLen(1), Distinct()] = ("policy_roi", "auc", "calibration")
    """What Optuna searches for, a Pareto front of them. Where the validation period has no candidates, no policy can be
    valued. Then `label_loss` takes the place of `policy_roi`: log loss of clicks plus that of conversions."""
    pick: str = "policy_roi"
    """The objective that decides between the trials of the front."""
    max_calibration: Annotated[float, Gt(0)] = 0.5
    """Worst |log PCOC| of a winner before it is calibrated. Where no trial of the front is that good, the best
    calibrated one wins."""
    grace_epochs: Annotated[int, Ge(1)] = 1
    """Epochs before a trial can be stopped."""
    reduction: Annotated[int, Ge(2)] = 3
    """Of so many trials that reach a rung, one goes on. The next rung is so many times as many epochs away."""
    random_trials: Annotated[int, Ge(1)] = 8
    """Trials drawn at random before Optuna's sampler learns from results."""
    storage: str = ""
    """Optuna's database as an SQLAlchemy URL. Empty is a SQLite file in the run directory."""
    resume: bool = True
    """Go on with the sweep of the same settings and data. False starts it over."""

    def __post_init__(self) -> None:
        if not self.space:
            raise wrong(self, "space", "name at least one key, like {loss.beta: {log: [0.1, 5]}}")
        if self.metric in WEIGHTED:
            raise wrong(self, "metric", "it weighs tasks as training does")
        if self.pick not in self.objectives:
            raise wrong(self, "pick", f"it must be one of tune.objectives: {', '.join(self.objectives)}")

    def without_policy_roi(self) -> "TuneConfig":
        """The same with `label_loss` in the place of `policy_roi`.

        >>> TuneConfig().without_policy_roi().objectives
        ('label_loss', 'auc', 'calibration')
        """
        names = ("label_loss" if name == "policy_roi" else name for name in self.objectives)
        pick = "label_loss" if self.pick == "policy_roi" else self.pick
        return replace(self, objectives=tuple(dict.fromkeys(names)), pick=pick)

    @property
    def directions(self) -> Mapping[str, str]:
        """`max` or `min` of each objective, in order."""
        return {name: OBJECTIVES[name] for name in self.objectives}
