"""One trial of a sweep, in one process and without Ray: epochs, then the objectives of its best weights.

A trial goes on from its last epoch when it is run again, and a finished one is read; so whatever killed the sweep, no
work is done twice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.errors import RosaError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.run_dir import TrialDir
from rosa_ray.storage import exists, read_json, read_parquet, remove_tree, write_json
from rosa_ray.studies.sweep.held_out import held_out_figures
from rosa_ray.training.config import GateTrainingConfig
from rosa_ray.training.in_process import LoneWorker, load_tensors, own_device, save_tensors
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.schedule import best_record

Record = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """A run's config with a trial's parameters laid over it.

    Attributes:
        job: what is trained.
        config: all of it, plain values, for the winner's bundle.
    """

    job: TrainingJob
    calibration: CalibrationConfig
    gate: GateTrainingConfig
    evaluation: EvaluationConfig
    config: Mapping[str, Any]


@dataclass(frozen=True)
class SweepTrial:
    """One trial.

    Attributes:
        number: Optuna's; 0 is the configured run.
        params: what is drawn.
        directory: where its weights and result go.
        log_dir: the log behind the data; its truth, where there is one, values the policy.
    """

    number: int
    params: Mapping[str, Any]
    settings: Settings
    directory: str
    log_dir: str

    @property
    def place(self) -> TrialDir:
        """What lies where in the directory."""
        return TrialDir(self.directory)

    def weights(self) -> dict[str, torch.Tensor]:
        """Weights of the best epoch of a finished trial."""
        return dict(load_tensors(self.place.weights)["weights"])

    def result(self) -> Record:
        """Last record of a finished trial."""
        return read_json(self.place.result)

    def discard(self) -> None:
        """Remove what a trial that was stopped would go on from."""
        remove_tree(self.place.state)


def run_trial(trial: SweepTrial) -> Iterator[Record]:
    """Train, and yield a record per epoch.

    Yields:
        epoch, seconds and the validation figures of the epoch. The last record also has `figures`, those of
        `held_out_figures`, best_epoch and the seconds of all epochs as `total_seconds`. Where training cannot go on,
        it is an `error` alone: only a process that dies is worth another try.
    """
    try:
        yield from _epochs(trial)
    except RosaError as error:
        yield {"error": str(error)}
    except Exception as error:
        yield {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def _epochs(trial: SweepTrial) -> Iterator[Record]:
    job = trial.settings.job
    torch.set_num_threads(job.training.threads_per_worker)
    state, files = read_feature_state(job.layout.features), list_user_files(job.layout.users)
    digest = job.digest(state.fingerprint, sum(rows for _, rows in files))
    kept = _kept(trial, digest)
    if kept is not None:
        yield kept
        return
    device = own_device()
    worker = LoneWorker(job, [read_parquet(path) for path, _ in files], device)
    worker.restore(trial.place.state, digest)
    while not worker.finished:
        record = _brief(worker.run_epoch())
        worker.save(trial.place.state, digest)
        if not worker.finished:
            yield record
    figures = held_out_figures(job, worker.best_weights, state, trial.log_dir, trial.settings.evaluation, device)
    yield _finish(trial, worker, figures, digest)


def _finish(trial: SweepTrial, worker: LoneWorker, figures: Mapping[str, Any], digest: str) -> Record:
    best = best_record(trial.settings.job.training, worker.history) or {}
    result = {
        **_brief(worker.history[-1]),
        "digest": digest,
        "best_epoch": best.get("epoch"),
        "best": dict(best),
        "total_seconds": round(sum(record["seconds"] for record in worker.history), 1),
        "figures": dict(figures),
    }
    save_tensors({"weights": worker.best_weights}, trial.place.weights)
    write_json(result, trial.place.result)
    trial.discard()
    return result


def _brief(record: Mapping[str, Any]) -> Record:
    shown = ("epoch", "seconds")
    return {name: value for name, value in record.items() if name in shown or name.startswith("valid_")}


def _kept(trial: SweepTrial, digest: str) -> Record | None:
    kept = trial.result() if exists(trial.place.result) else {}
    return kept if kept.get("digest") == digest else None
