"""Training on Ray Train: starts the workers, follows their epochs, and writes the best epoch as a bundle."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import fsspec
import torch
from ray.train.v2.api.result import Result

from rosa_ray.bundle import ADS, Manifest, write_bundle
from rosa_ray.calibration import CalibrationConfig
from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.evaluation.calibrating import calibrate
from rosa_ray.features import FeatureState
from rosa_ray.models import LossConfig
from rosa_ray.run_dir import RunDir
from rosa_ray.settings import Tagged
from rosa_ray.storage import absolute, exists, read_json, remove_tree, write_json
from rosa_ray.tracking import Run, TrackingConfig, start_run
from rosa_ray.training.boosted import reader_of, with_trees
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig
from rosa_ray.training.fit import OnEpoch, best_state, fit, outcome_of
from rosa_ray.training.gate import fit_run_gate
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.lines import epoch_line, off_lines, undefined_monitor_line
from rosa_ray.training.members import joined, mean_of_bests, member_jobs, told_of
from rosa_ray.training.pretrain import run_pretraining
from rosa_ray.training.pretrain_config import PretrainConfig
from rosa_ray.training.pretrained import planned
from rosa_ray.training.schedule import EpochRecord
from rosa_ray.words import counted

Tell = Callable[[str], None]
"""Takes a line for people."""

NO_PRETRAINING = PretrainConfig()

_CALIBRATED = {
    "ctr": "click probabilities",
    "cvr": "conversion probabilities",
    "value": "values of a conversion",
    "population": "the weights of rows",
}


@dataclass(frozen=True)
class TrainResult:
    """What training reached; also in `train.json` of the run directory.

    Attributes:
        seconds: all epochs, validation included, over all restarts.
        samples_per_s: impressions per second of the training passes, all workers together.
        epochs, best_epoch: epochs trained, and the one (from 1) whose weights are in the bundle.
        history: one record per epoch.
        mlflow_run_id: None when tracking is off.
    """

    seconds: float
    samples_per_s: float
    epochs: int
    best_epoch: int
    history: list[dict[str, Any]]
    bundle_dir: str
    model_version: str
    mlflow_run_id: str | None


def train(
    *,
    model: Tagged,
    loss: LossConfig,
    training: TrainingConfig,
    calibration: CalibrationConfig,
    gate: GateTrainingConfig,
    tracking: TrackingConfig,
    seed: int,
    data_dir: str,
    run_dir: str,
    config: Mapping[str, Any],
    pretrain: PretrainConfig = NO_PRETRAINING,
    on_epoch: OnEpoch = lambda record: print(epoch_line(record), flush=True),
    tell: Tell = lambda line: print(line, flush=True),
) -> TrainResult:
    """Train a ranker on preprocessed data and write `bundle/` and `train.json` under the run directory.

    Ray must be initialised. The same call on the same run directory goes on from the last epoch's checkpoint; when
    training had finished, it only calibrates, fits the gate and writes the bundle again.

    Args:
        model: name and settings of the ranker.
        data_dir: what preprocessing wrote.
        calibration: how the best weights' scores are corrected.
        gate: how λ between stored and fresh scores is fitted.
        config: resolved configuration of the run, plain values, recorded in MLflow and in the bundle.
        pretrain: what comes before, on events alone.
        on_epoch: called on the driver with every finished epoch's record.
        tell: takes lines for people: which heads are off, and what calibration fell back to.

    Raises:
        TrainingError: training diverged, kept failing, has no data, or the cluster cannot hold the workers.
        InputError: there is no preprocessed data.
        ConfigError: the model cannot be pre-trained.
    """
    job = TrainingJob(model, loss, training, seed, absolute(data_dir), pretrain=pretrain)
    run_dir, place = absolute(run_dir), RunDir(absolute(run_dir))
    state = read_feature_state(job.layout.features)
    files = list_user_files(job.layout.users)
    users = sum(rows for _, rows in files)
    names = [planned(one, run_dir).digest(state.fingerprint, users) for one in member_jobs(job)]
    run_id = _prepare(place, names, training.resume)
    if users < training.workers:
        tell(f"{counted(users, 'user')} for {counted(training.workers, 'worker')}: {users} train")
    for line in off_lines(loss, state.totals):
        tell(line)
    with start_run(tracking, run_dir, Path(run_dir).name, run_id=run_id) as run:
        write_json({"digest": names[0], "mlflow_run_id": run.run_id}, place.train)
        run.log_params(config)
        results = []
        for number, one in enumerate(member_jobs(job)):
            run_pretraining(one, run_dir, run, tell)
            if training.members > 1:
                tell(f"member {number + 1} of {training.members}, seed {one.seed}")
            begun = planned(one, run_dir)
            results.append(fit(begun, place.checkpoints, names[number], partial(_follow, run, on_epoch, number)))
        return _finish(job, state, results, run, place, names[0], config, calibration, gate, tell)


def _prepare(run_dir: RunDir, names: list[str], resume: bool) -> str | None:
    """Clear checkpoints when starting over; returns the MLflow run to continue."""
    if not resume:
        for name in names:
            remove_tree(f"{run_dir.checkpoints}/{name}")
        return None
    former = read_json(run_dir.train) if exists(run_dir.train) else {}
    return former.get("mlflow_run_id") if former.get("digest") == names[0] else None


def _follow(run: Run, on_epoch: OnEpoch, number: int, record: EpochRecord) -> None:
    prefix = f"member{number + 1}_" if number else ""
    run.log_metrics({f"{prefix}{name}": value for name, value in record.items()}, step=record["epoch"])
    on_epoch(record)


def _finish(
    job: TrainingJob,
    state: FeatureState,
    results: list[Result],
    run: Run,
    run_dir: RunDir,
    name: str,
    config: Mapping[str, Any],
    calibration: CalibrationConfig,
    gate: GateTrainingConfig,
    tell: Tell,
) -> TrainResult:
    histories = [told_of(outcome_of(one)["history"], number, len(results)) for number, one in enumerate(results)]
    history = [record for one in histories for record in one]
    states = [best_state(job.training, one) for one in results]
    best = mean_of_bests([record for _, record in states])
    if line := undefined_monitor_line(job.training, best):
        tell(line)
    manifest = make_bundle(
        run_dir.bundle,
        job=job,
        state=state,
        weights=joined(_with_trees(job, state, [checkpoint["model"] for checkpoint, _ in states], tell)),
        best=best,
        config=config,
        calibration=calibration,
        gate=gate,
        tell=tell,
    )
    run.register_bundle(run_dir.bundle)
    train_seconds = sum(record["train_seconds"] for record in history)
    outcome = TrainResult(
        seconds=round(sum(record["seconds"] for record in history), 3),
        samples_per_s=round(sum(record["samples"] for record in history) / max(train_seconds, 1e-9), 1),
        epochs=len(history),
        best_epoch=best["epoch"],
        history=history,
        bundle_dir=run_dir.bundle,
        model_version=manifest.model_version,
        mlflow_run_id=run.run_id,
    )
    write_json({"digest": name, **asdict(outcome)}, run_dir.train)
    return outcome


def _with_trees(
    job: TrainingJob, state: FeatureState, members: list[dict[str, torch.Tensor]], tell: Tell
) -> list[dict[str, torch.Tensor]]:
    """Weights of the members with their boosted trees, where the model has any."""
    device = "cuda" if job.training.use_gpu and torch.cuda.is_available() else "cpu"
    users = cache(partial(reader_of, job, state))
    found = []
    for number, (one, weights) in enumerate(zip(member_jobs(job), members, strict=True)):
        whole, told = with_trees(one, weights, state, users, device)
        found.append(whole)
        for head in told:
            tell(head.line if len(members) == 1 else f"member {number + 1}: {head.line}")
    return found


def make_bundle(
    bundle_dir: str,
    *,
    job: TrainingJob,
    state: FeatureState,
    weights: Mapping[str, torch.Tensor],
    best: Mapping[str, Any],
    config: Mapping[str, Any],
    calibration: CalibrationConfig,
    gate: GateTrainingConfig,
    tell: Tell = lambda line: None,
) -> Manifest:
    """Calibrate trained weights, fit their gate, and write them as a bundle.

    Ray must be initialised where `calibrate` needs it.

    Args:
        state: features that the job was trained on.
        best: record of the epoch that the weights are of; its validation figures go into the bundle.
        config: resolved configuration of the run, plain values.
        tell: takes a line for people about every part of the calibration that could not be fitted.
    """
    fitted = calibrate(
        calibration,
        description=job.describe_model(state),
        weights=weights,
        state=state,
        layout=job.layout,
        actors=job.training.workers,
        use_gpu=job.training.use_gpu,
    )
    for part, reason in fitted.fallbacks.items():
        tell(f"calibration leaves {_CALIBRATED[part]} as they are: {reason}")
    fitted_gate = fit_run_gate(
        gate,
        description=job.describe_model(state),
        weights=weights,
        calibration=fitted,
        state=state,
        layout=job.layout,
        seed=job.seed,
        use_gpu=job.training.use_gpu,
    )
    with tempfile.TemporaryDirectory() as folder:
        ads = f"{folder}/{ADS}"
        fs, source = fsspec.core.url_to_fs(job.layout.ads)
        fs.get_file(source, ads)
        return write_bundle(
            bundle_dir,
            weights=weights,
            model=job.describe_model(state),
            features_saver=state.save,
            feature_fingerprint=state.fingerprint,
            metrics={key: value for key, value in best.items() if key.startswith("valid_")},
            config=config,
            calibration=fitted,
            gate=None if fitted_gate is None else fitted_gate.to_dict(),
            extra_files={ADS: ads},
        )
