"""The memory of a sweep: an Optuna study in a database of its own, from which a killed sweep goes on.

Ray Tune's snapshots lag behind what happened and know nothing of Optuna's trials; so the study is the truth. Each step
is one transaction there, and the next session asks it which trials are finished, which were under way, and what is
left to draw.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from rosa_ray.errors import ConfigError
from rosa_ray.run_dir import RunDir
from rosa_ray.settings.secrets import redact_text, resolve
from rosa_ray.storage import is_remote
from rosa_ray.studies.sweep.config import TuneConfig
from rosa_ray.studies.sweep.space import Space

REFUSED, ERROR, HISTORY, RESULT, RUN_ID, SESSIONS = "refused", "error", "history", "result", "mlflow_run_id", "sessions"
_DIRECTIONS = {
    "max": optuna.study.StudyDirection.MAXIMIZE,
    "min": optuna.study.StudyDirection.MINIMIZE,
}
_DONE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class StoredTrial:
    """One trial as the memory knows it.

    Attributes:
        state: `complete`, `stopped` (by ASHA), `failed`, or `running`, which a killed sweep leaves behind.
        params: as the config takes them.
        values: objectives by name, empty unless complete.
        history: (epoch, metric) of every epoch reported.
        result: last record, empty unless complete.
        error: why it failed.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    values: Mapping[str, float]
    history: Sequence[tuple[int, float]]
    result: Mapping[str, Any]
    error: str | None
    mlflow_run_id: str | None


class SweepMemory:
    """Trials of one sweep.

    Args:
        name: equal for sweeps of equal settings and data.
        run_dir: local; the database is below it unless `tune.storage` names another.
        configured: value of every key in the run's config: the first trial.
        seed: of Optuna's sampler.

    Attributes:
        replaces: whether the run has kept sweeps, but only under other names.

    Raises:
        ConfigError: the database cannot be opened.
    """

    def __init__(
        self, config: TuneConfig, space: Space, name: str, run_dir: str, configured: Mapping[str, Any], seed: int
    ) -> None:
        self.name, self._config, self._space = name, config, space
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = _open_storage(
            resolve(config.storage, "tune.storage") or f"sqlite:///{RunDir(run_dir).sweep.database}", run_dir
        )
        names = optuna.study.get_all_study_names(storage)
        if not config.resume and name in names:
            optuna.delete_study(study_name=name, storage=storage)
        self.replaces = not config.storage and bool(names) and name not in names
        directions = [_DIRECTIONS[way] for way in config.directions.values()]
        self._study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        if not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(space.encode(configured))
        self._study.sampler = _sampler(config, seed + len(self._study.get_trials(deepcopy=False)))
        self._interrupted = [trial for trial in self._frozen() if trial.state == TrialState.RUNNING]
        self._began_s = time.monotonic()
        self._sessions = [*self._study.user_attrs.get(SESSIONS, []), 0.0]

    @property
    def remaining(self) -> int:
        """Trials that are not finished yet, those under way among them."""
        return max(self._config.trials - sum(trial.state in _DONE for trial in self._frozen()), 0)

    @property
    def sessions(self) -> list[float]:
        """Seconds of each session, from its start to the last trial that changed its state."""
        return [seconds for seconds in self._study.user_attrs.get(SESSIONS, []) if seconds]

    def next(self) -> tuple[Trial, dict[str, Any]]:
        """Return a trial and its parameters: first those a killed session left behind, then new ones."""
        while self._interrupted:
            left = self._interrupted.pop(0)
            trial = Trial(self._study, left._trial_id)
            if left.params.keys() == self._space.distributions.keys():
                return trial, self._space.decode(left.params)
            self.refuse(trial, "killed while it was drawn")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            trial = self._study.ask(fixed_distributions=dict(self._space.distributions))
        return trial, self._space.decode(trial.params)

    def refuse(self, trial: Trial, reason: str) -> None:
        """Set aside a trial that is none: its parameters together make no config. It does not count."""
        trial.set_user_attr(REFUSED, reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def report(self, trial: Trial, epoch: int, metric: float) -> None:
        """Remember an epoch's metric, for the scheduler of a later session."""
        former = [entry for entry in trial.user_attrs.get(HISTORY, []) if entry[0] < epoch]
        trial.set_user_attr(HISTORY, [*former, [epoch, metric]])

    def complete(self, trial: Trial, values: Sequence[float], result: Mapping[str, Any]) -> None:
        """Finish a trial with its objectives and its last record."""
        trial.set_user_attr(RESULT, dict(result))
        self._end(trial, TrialState.COMPLETE, list(values))

    def stop(self, trial: Trial) -> None:
        """Finish a trial that the scheduler stopped: it has no objectives."""
        self._end(trial, TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """Finish a trial that went wrong."""
        trial.set_user_attr(ERROR, reason)
        self._end(trial, TrialState.FAIL)

    def trials(self) -> list[StoredTrial]:
        """All trials by number, without those refused."""
        return [self._stored(trial) for trial in self._frozen()]

    def set_run_id(self, run_id: str | None) -> None:
        """Remember the MLflow run of the sweep."""
        self._study.set_user_attr(RUN_ID, run_id)

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the sweep, if an earlier session had one."""
        return self._study.user_attrs.get(RUN_ID)

    def importance(self, seed: int) -> dict[str, dict[str, float]]:
        """Share of each objective's variance that each parameter explains (fANOVA, Hutter et al. 2014).

        Empty for an objective that fewer than two finished trials tell apart.
        """
        return {name: self._importance(at, seed) for at, name in enumerate(self._config.objectives)}

    def _importance(self, at: int, seed: int) -> dict[str, float]:
        complete = [trial for trial in self._frozen() if trial.state == TrialState.COMPLETE]
        if len({trial.values[at] for trial in complete}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        found = optuna.importance.get_param_importances(
            self._study, evaluator=evaluator, target=lambda trial: trial.values[at]
        )
        return {name: round(float(found[name]), 4) for name in self._space.given if name in found}

    def _frozen(self) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if REFUSED not in trial.user_attrs]

    def _end(self, trial: Trial, state: TrialState, values: list[float] | None = None) -> None:
        self._study.tell(trial, values, state=state)
        self._sessions[-1] = round(time.monotonic() - self._began_s, 1)
        self._study.set_user_attr(SESSIONS, self._sessions)

    def _stored(self, trial: FrozenTrial) -> StoredTrial:
        names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "stopped", TrialState.FAIL: "failed"}
        values = dict(zip(self._config.objectives, trial.values or (), strict=False))
        return StoredTrial(
            number=trial.number,
            state=names.get(trial.state, "running"),
            params=self._space.decode(trial.params),
            values=values,
            history=[(int(epoch), float(metric)) for epoch, metric in trial.user_attrs.get(HISTORY, [])],
            result=trial.user_attrs.get(RESULT, {}),
            error=trial.user_attrs.get(ERROR),
            mlflow_run_id=trial.user_attrs.get(RUN_ID),
        )


def _sampler(config: TuneConfig, seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=config.random_trials, constant_liar=True)


def _open_storage(url: str, run_dir: str) -> optuna.storages.RDBStorage:
    try:
        if not is_remote(run_dir):
            Path(run_dir, "tune").mkdir(parents=True, exist_ok=True)
        return optuna.storages.RDBStorage(url)
    except Exception as error:
        reason = redact_text(" ".join(str(error).split()))
        raise ConfigError(f"tune.storage '{redact_text(url)}': no database to keep the sweep in: {reason}") from error
