"""A sweep on Ray Tune: as many trials at once as the cluster holds, then a front, a winner, and one look at the test.

Trials are single processes that start nothing else on the cluster, so they cannot wait for each other.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.errors import ConfigError, TrainingError
from rosa_ray.run_dir import RunDir, SweepDir
from rosa_ray.storage import exists, is_remote, read_json, remove_tree, write_json
from rosa_ray.studies.identity import FIT_CODE, MEASURE_CODE, code_digest, data_digest
from rosa_ray.studies.schedule import TellProgress, gpus_per_trial, trials_at_once
from rosa_ray.studies.sweep.config import TuneConfig
from rosa_ray.studies.sweep.document import sweep_document
from rosa_ray.studies.sweep.held_out import policy_value_of
from rosa_ray.studies.sweep.memory import SweepMemory
from rosa_ray.studies.sweep.progress import SweepLog
from rosa_ray.studies.sweep.searcher import TRIAL, SweepAsha, SweepSearcher
from rosa_ray.studies.sweep.space import Settle, Space, TrialSettings
from rosa_ray.studies.sweep.trial import SweepTrial, trial_records
from rosa_ray.studies.sweep.verdict import measure_winner
from rosa_ray.tracking import Run, TrackingConfig, start_run
from rosa_ray.training.in_process import in_one_process
from rosa_ray.training.pretrain_config import pretrain_in_one_process

_ENVIRONMENT = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the sweep as it ends every other command
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # its tables are printed at any verbosity
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that fails reports why, without the metric
}


@dataclass(frozen=True)
class Sweep:
    """What all trials share.

    Attributes:
        settle: lays parameters over the run's config.
        configured: value of each searched key in the run's config.
        command: what repeats the sweep.
        run_dir: local, absolute; everything goes to `run_dir/tune`.
        log_dir: the log behind the data.
    """

    config: TuneConfig
    settle: Settle
    configured: Mapping[str, Any]
    tracking: TrackingConfig
    seed: int
    command: str
    log_dir: str
    run_dir: str

    @property
    def place(self) -> SweepDir:
        """What lies where below the run directory."""
        return RunDir(self.run_dir).sweep

    def check(self) -> Space:
        """Return the search space.

        Raises:
            ConfigError: it does not fit the config.
        """
        space = Space.parse(self.config.space)
        space.check(self.settle, self.configured)
        return space

    def settings(self, params: Mapping[str, Any]) -> TrialSettings:
        """A trial's settings: one process with the batch of all workers, its best epoch by the sweep's metric."""
        settled = self.settle(params)
        job = settled.job
        training = replace(in_one_process(job.training), monitor=self.config.metric)
        pretrain = pretrain_in_one_process(job.pretrain, job.training.workers)
        return replace(settled, job=replace(job, training=training, pretrain=pretrain))

    def trial(self, name: str, number: int, params: Mapping[str, Any]) -> SweepTrial:
        """One trial; equal names and numbers share a directory."""
        settings = self.settings(params)
        return SweepTrial(
            job=settings.job,
            calibration=settings.calibration,
            evaluation=settings.evaluation,
            log_dir=self.log_dir,
            directory=self.place.trial(name, number).root,
            run_dir=self.run_dir,
            number=number,
            params=params,
            gate=settings.gate,
            config=settings.config,
        )


def run_sweep(sweep: Sweep, tell: TellProgress = print) -> dict[str, Any]:
    """Run a sweep, or what is left of it; write the winner's bundle, its test figures and `tune/sweep.json`.

    Ray must be initialised.

    Returns:
        The document; see `sweep_document`.

    Raises:
        ConfigError: the space does not fit the config.
        TrainingError: the config as it is failed.
        InputError: there is no preprocessed data.
    """
    sweep = _measurable(sweep, tell)
    space, name = sweep.check(), _name(sweep)
    if not sweep.config.resume:
        remove_tree(sweep.place.trials(name))
    memory = SweepMemory(sweep.config, space, name, sweep.run_dir, sweep.configured, sweep.seed)
    if memory.replaces:
        tell("the kept trials are run again: they are of other settings, data or code")
    title = f"{Path(sweep.run_dir).name} sweep"
    with start_run(sweep.tracking, sweep.run_dir, title, run_id=memory.run_id, tags={"kind": "sweep"}) as run:
        memory.set_run_id(run.run_id)
        with _children_closed(run):
            _run_trials(sweep, memory, run, tell)
        return _conclude(sweep, memory, run, tell)


def _measurable(sweep: Sweep, tell: TellProgress) -> Sweep:
    """The sweep by objectives that its log can measure."""
    layout = sweep.settings({}).job.layout
    if "policy_roi" not in sweep.config.objectives or policy_value_of(layout, sweep.log_dir):
        return sweep
    tell(
        "policy_roi cannot be measured: the validation period has no candidates with a truth or propensities; trials "
        "are compared by label_loss, the log loss of clicks plus that of conversions"
    )
    return replace(sweep, config=sweep.config.without_policy_roi())


def _run_trials(sweep: Sweep, memory: SweepMemory, run: Run, tell: TellProgress) -> None:
    config, former = sweep.config, memory.trials()
    left = memory.remaining
    if not left:
        return
    cluster = ray.cluster_resources()
    at_once = min(trials_at_once(cluster, config.trials_at_once), left)
    done = sum(trial.state != "running" for trial in former)
    tell(f"{left} of {config.trials} trials to run, {at_once} at once")
    log = SweepLog(sweep.tracking, sweep.run_dir, run, config.trials, done, tell)
    searcher = SweepSearcher(config, memory, lambda number, params: sweep.trial(memory.name, number, params), log)
    training = sweep.settings({}).job.training
    _prepare_environment()
    remove_tree(sweep.place.tune_storage)
    tuner = tune.Tuner(
        tune.with_resources(_train_trial, {"cpu": 1, "gpu": gpus_per_trial(cluster)}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=SweepAsha(config, training.epochs, former),
            num_samples=left,
            max_concurrent_trials=at_once,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"{trial.config[TRIAL].number:04d}",
        ),
        run_config=tune.RunConfig(
            name=sweep.place.TUNE,
            storage_path=sweep.place.root,
            failure_config=tune.FailureConfig(max_failures=training.max_failures),
            verbose=0,
        ),
    )
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)  # misses the loggers' files
    tuner.fit()
    remove_tree(sweep.place.tune_storage)


def _train_trial(config: dict[str, Any]) -> None:
    for record in trial_records(config[TRIAL]):
        tune.report(record)


def _conclude(sweep: Sweep, memory: SweepMemory, run: Run, tell: TellProgress) -> dict[str, Any]:
    document = sweep_document(sweep.config, memory, sweep.seed, sweep.command)
    default = document["trials"][0]
    if default["state"] != "complete":
        raise TrainingError(f"the config as it is, to which every trial is compared, failed: {default['error']}")
    former = read_json(sweep.place.document) if exists(sweep.place.document) else {}
    if all(former.get(key) == document[key] for key in ("study", "winner")):
        document |= {"test": former["test"]}
    else:
        document |= {"test": _measure(sweep, memory, run, document, tell)}
    write_json(document, sweep.place.document)
    return document


def _measure(
    sweep: Sweep, memory: SweepMemory, run: Run, document: Mapping[str, Any], tell: TellProgress
) -> dict[str, Any]:
    """Look at the test period and register the winner: once for each winner."""
    trials = {trial["number"]: trial for trial in document["trials"]}
    number = document["winner"]
    tell(f"trial {number} wins; measuring it and the config as it is on the test period")
    default, winner = (sweep.trial(memory.name, at, trials[at]["params"]) for at in (0, number))
    test = measure_winner(default, winner, sweep.place)
    space = asdict(sweep.config)["space"]
    run.log_params({"tune": {"space": space, "metric": sweep.config.metric}})
    run.set_tags({"winner": str(number)} | {f"winner.{key}": str(value) for key, value in winner.params.items()})
    run.log_metrics({"winner": trials[number]["values"], "test": test["winner"], "default": test["default"]})
    run.register_bundle(sweep.place.winner.bundle)
    return test


def _name(sweep: Sweep) -> str:
    """Equal for sweeps whose trials can be compared: of one config, space, metric, data and code."""
    settled = sweep.settings({})
    state = read_feature_state(settled.job.layout.features)
    config = sweep.config
    content = [
        {key: settled.config[key] for key in ("model", "loss", "training", "evaluation", "seed")},
        *(config.space, config.metric, config.objectives, config.grace_epochs, config.reduction),
        *([settled.config["pretrain"]] if settled.job.pretrain.enabled else []),
        data_digest(settled.job, state.fingerprint),
        code_digest((*FIT_CODE, *MEASURE_CODE), settled.job.model.name),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


@contextmanager
def _children_closed(run: Run) -> Iterator[None]:
    """Leave no trial's MLflow run open, neither a killed session's nor this one's."""
    run.end_children("KILLED")
    try:
        yield
    finally:
        run.end_children("KILLED")


def _prepare_environment() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def require_local(run_dir: str) -> None:
    """Refuse a remote run directory.

    Raises:
        ConfigError: it is one; bundles are written locally.
    """
    if is_remote(run_dir):
        raise ConfigError(f"run_dir is '{run_dir}'; a sweep writes its study and bundles locally, give a directory")
