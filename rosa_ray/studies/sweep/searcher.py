"""Where Ray Tune meets the memory: the searcher that draws and tells, and ASHA that knows earlier sessions.

Ray's own `OptunaSearch` keeps part of its state in snapshots and has no answer for a trial that is stopped before its
objectives are known; here all of it is in the memory.
"""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from optuna.trial import Trial as OptunaTrial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.utils.util import unflatten_dict

from rosa_ray.errors import ConfigError, TrainingError
from rosa_ray.studies.sweep.config import TuneConfig
from rosa_ray.studies.sweep.held_out import require_objectives
from rosa_ray.studies.sweep.memory import RUN_ID, StoredTrial, SweepMemory
from rosa_ray.studies.sweep.progress import SweepLog
from rosa_ray.studies.sweep.trial import SweepTrial
from rosa_ray.training.config import MONITORS

TRIAL = "trial"
"""Key of a Tune config under which a `SweepTrial` is."""

_MOST_REFUSALS = 100

Make = Callable[[int, Mapping[str, Any]], SweepTrial]
"""Trial of a number and its parameters; raises ConfigError where they together make no config."""


class SweepSearcher(Searcher):
    """Draws trials from the memory, tells it what became of them, and keeps the log of both.

    Not pickled with Ray Tune's snapshots: the memory is what a later session reads.
    """

    def __init__(self, config: TuneConfig, memory: SweepMemory, make: Make, log: SweepLog) -> None:
        super().__init__(metric=config.metric, mode=MONITORS[config.metric])
        self._config, self._memory, self._make, self._log = config, memory, make, log
        self._running: dict[str, tuple[OptunaTrial, SweepTrial]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the next trial for Ray Tune.

        Raises:
            ConfigError: a hundred draws in a row make no config.
        """
        for _ in range(_MOST_REFUSALS):
            drawn, params = self._memory.next()
            try:
                trial = self._make(drawn.number, params)
            except ConfigError as error:
                self._memory.refuse(drawn, str(error))
                reason = error
                continue
            drawn.set_user_attr(RUN_ID, self._log.started(trial, drawn.user_attrs.get(RUN_ID)))
            self._running[trial_id] = drawn, trial
            return {TRIAL: trial}
        raise ConfigError(f"tune.space: {_MOST_REFUSALS} draws in a row make no config; the last: {reason}")

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Remember an epoch; Ray Tune hands results over flattened."""
        result = unflatten_dict(result)
        drawn, trial = self._running[trial_id]
        if self._config.metric in result:
            self._memory.report(drawn, result["epoch"], result[self._config.metric])
            self._log.epoch(trial, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the memory how a trial ended."""
        result = unflatten_dict(result or {})
        if result and not error:
            self.on_trial_result(trial_id, result)
        drawn, trial = self._running.pop(trial_id)
        if error or not result or "error" in result:
            reason = result.get("error") or "its process died"
            self._memory.fail(drawn, reason)
            self._log.failed(trial, reason)
        elif "figures" in result:
            self._complete(drawn, trial, result)
        else:
            self._memory.stop(drawn)
            self._log.stopped(trial, result, self._config.metric)
            trial.discard()

    def _complete(self, drawn: OptunaTrial, trial: SweepTrial, result: dict[str, Any]) -> None:
        try:
            values = require_objectives(result["figures"], self._config.objectives)
        except TrainingError as error:
            self._memory.fail(drawn, str(error))
            self._log.failed(trial, str(error))
            return
        kept = {name: result[name] for name in ("epoch", "best_epoch", "total_seconds", "figures")}
        self._memory.complete(drawn, values, kept)
        self._log.complete(trial, dict(zip(self._config.objectives, values, strict=True)), kept)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the memory is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the memory is the state."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class SweepAsha(ASHAScheduler):
    """ASHA (Li et al. 2020) over epochs, which never stops the configured run and remembers earlier sessions.

    Args:
        former: trials of earlier sessions; those finished take part in the rungs.
    """

    def __init__(self, config: TuneConfig, epochs: int, former: Sequence[StoredTrial] = ()) -> None:
        super().__init__(
            time_attr="epoch",
            metric=config.metric,
            mode=MONITORS[config.metric],
            max_t=epochs,
            grace_period=min(config.grace_epochs, epochs),
            reduction_factor=config.reduction,
        )
        for trial in former:
            if trial.state in ("complete", "stopped"):
                self._replay(trial, config.metric)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        action = super().on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if trial.config[TRIAL].number == 0 else action

    def _replay(self, former: StoredTrial, metric: str) -> None:
        one = SimpleNamespace(trial_id=f"former-{former.number}")
        self.on_trial_add(None, one)  # type: ignore[arg-type]
        for epoch, value in former.history:
            super().on_trial_result(None, one, {"epoch": epoch, metric: value})  # type: ignore[arg-type]
        self.on_trial_remove(None, one)  # type: ignore[arg-type]
