"""A trial: one training job in one process and without Ray, in a directory of its own.

A trial goes on from its last epoch when it is run again, and what is finished is read; so whatever killed a study or a
sweep, no work is done twice. Under other settings, data or code it is another trial, see `identity.py`. How a trial is
measured is the business of `compare/` (test period) and `sweep/` (validation period).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import torch

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.scoring import Scorer, UserScorer
from rosa_ray.run_dir import PretrainedDir, TrialDir
from rosa_ray.storage import exists, read_json, read_parquet, remove_tree, write_json
from rosa_ray.studies.identity import identify
from rosa_ray.studies.trees.config import TREES
from rosa_ray.studies.trees.model import TreesModel, TreesScorer
from rosa_ray.studies.trees.trainer import TreesTrainer
from rosa_ray.training.in_process import (
    load_tensors,
    pretrain_in_process,
    process_device,
    save_tensors,
)
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.members import InProcessMembers, member_jobs, member_state
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.pretrained import place_of
from rosa_ray.training.schedule import best_record, monitored
from rosa_ray.words import counted

Record = dict[str, Any]
"""What a trial tells of an epoch, of its fit, or of its end: plain values, ready for JSON."""


@dataclass(frozen=True)
class Trial:
    """A training job and the settings of its measurement.

    Attributes:
        job: of one worker.
        log_dir: the log behind the data; its truth, where there is one, values the policy.
        directory: where weights, predictions and records go.
        run_dir: keeps pre-trained weights for all trials; by default the trial's own directory.
    """

    job: TrainingJob
    calibration: CalibrationConfig
    evaluation: EvaluationConfig
    log_dir: str
    directory: str
    run_dir: str = field(default="", kw_only=True)

    @property
    def place(self) -> TrialDir:
        """What lies where in the directory."""
        return TrialDir(self.directory)

    def weights(self) -> dict[str, torch.Tensor]:
        """Weights of the best epoch of a fitted trial."""
        content = load_tensors(self.place.weights)
        return dict(content.get("weights", content))  # sweeps once kept them under a name

    def discard(self) -> None:
        """Remove what a trial that was stopped would go on from."""
        for path in (self.place.state, member_state(self.place.state)):
            remove_tree(path)


class TrialRun:
    """A trial at work in this process, with the threads that its job asks for.

    Attributes:
        state: features that the trial is trained on.
        identity: what decides the fit; what was kept under another one is not of this trial.
        device: where it trains and scores.
    """

    def __init__(self, trial: Trial) -> None:
        torch.set_num_threads(trial.job.training.threads_per_worker)
        self.trial, self.device = trial, process_device()
        self.state = read_feature_state(trial.job.layout.features)
        self._files = list_user_files(trial.job.layout.users)
        self.identity = identify(trial.job, self.state.fingerprint)

    def tables(self) -> list[pa.Table]:
        """User rows, a table per file."""
        return [read_parquet(path) for path, _ in self._files]

    def kept(self, path: str) -> Record | None:
        """Read a record that the same trial kept before, if there is one."""
        record = read_json(path) if exists(path) else {}
        return record if record.get("digest") == self.identity.digest else None

    def keep(self, record: Mapping[str, Any], path: str) -> Record:
        """Write a record under the trial's identity; returns it."""
        kept = {**record, "digest": self.identity.digest, "identity": asdict(self.identity)}
        write_json(kept, path)
        return kept

    def fit(self) -> Record:
        """Train, or read what was trained before.

        Returns:
            digest, identity, seed, learning_rate, epochs, best_epoch, monitor, train_seconds, samples_per_s, history.

        Raises:
            TrainingError: training diverged.
        """
        for _ in self.epochs():
            pass
        return read_json(self.trial.place.fit)

    def epochs(self) -> Iterator[Record]:
        """Train what is left, epoch by epoch, and keep the fit and the best epoch's weights at the end.

        Yields:
            The record of every epoch that another one follows, once the trial could go on from there.
        """
        place = self.trial.place
        if self.kept(place.fit) is not None:
            return
        trainer = self._trainer(self.tables())
        trainer.restore(place.state, self.identity.digest)
        while not trainer.finished:
            record = trainer.run_epoch()
            trainer.save(place.state, self.identity.digest)
            if not trainer.finished:
                yield record
        save_tensors(trainer.best_weights, place.weights)
        self.keep(_fit_record(self.trial.job, trainer.history), place.fit)
        self.trial.discard()

    def _trainer(self, tables: list[pa.Table]) -> InProcessMembers | TreesTrainer:
        if _is_trees(self.trial.job):
            return TreesTrainer(self.trial.job, tables, self.device)
        jobs = [self._pretrained(job, tables) for job in member_jobs(self.trial.job)]
        return InProcessMembers(jobs, tables, self.device)

    def pretrain(self) -> None:
        """Pre-train where the job asks for it, or find that an equal trial of the run has."""
        tables = self.tables()
        for job in member_jobs(self.trial.job):
            self._pretrained(job, tables)

    def _pretrained(self, job: TrainingJob, tables: list[pa.Table]) -> TrainingJob:
        run_dir = self.trial.run_dir or self.trial.directory
        return pretrain_in_process(job, tables, run_dir, self.device, code=self.identity.code)

    def scorer(self) -> Scorer:
        """The fitted model, with the weights of its best epoch."""
        if _is_trees(self.trial.job):
            weights, sizes = self.trial.weights(), self.state.table_sizes
            model = TreesModel.from_state_dict(weights, sizes, self.trial.job.model.settings.transitions)
            return TreesScorer(model, self.state)
        description = self.trial.job.describe_model(self.state)
        users_per_batch = self.trial.evaluation.users_per_batch
        return UserScorer.load(description, self.trial.weights(), self.state, users_per_batch, self.device)


def pretrained_place(trial: Trial) -> PretrainedDir:
    """Where the pre-trained weights of a trial lie, once there are any."""
    state = read_feature_state(trial.job.layout.features)
    job = PretrainJob(trial.job, identify(trial.job, state.fingerprint).code)
    return place_of(job, trial.run_dir or trial.directory)


def fit_trial(trial: Trial) -> Record:
    """Train a trial, or read what the same trial kept before; see `TrialRun.fit`."""
    return TrialRun(trial).fit()


def stale_trials(trials: Sequence[Trial]) -> str | None:
    """Say in one line how many trials were kept under other settings, data or code; None when none was.

    Raises:
        InputError: there is no preprocessed data.
    """
    changes: list[tuple[str, ...]] = []
    for trial in trials:
        kept = read_json(trial.place.fit) if exists(trial.place.fit) else None
        if kept is not None:
            fingerprint = read_feature_state(trial.job.layout.features).fingerprint
            changes.append(identify(trial.job, fingerprint).changes(kept.get("identity", {})))
    stale = [found for found in changes if found]
    if not stale:
        return None
    names = dict.fromkeys(name for found in stale for name in found)
    return f"{counted(len(stale), 'kept trial')} fitted again: trained under {' and '.join(names)}"


def _is_trees(job: TrainingJob) -> bool:
    return job.model.name == TREES


def _fit_record(job: TrainingJob, history: list[Record]) -> Record:
    best = best_record(job.training, history)
    seconds = sum(record["train_seconds"] for record in history)
    return {
        "seed": job.seed,
        "learning_rate": job.training.learning_rate,
        "epochs": len(history),
        "best_epoch": best["epoch"] if best else None,
        "monitor": best[job.training.monitor] if best else None,
        "monitor_score": monitored(job.training, best) if best else None,
        "train_seconds": round(seconds, 1),
        "samples_per_s": round(sum(record["samples"] for record in history) / max(seconds, 1e-9), 1),
        "history": history,
    }
