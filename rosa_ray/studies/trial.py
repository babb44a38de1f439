"""One trial of a study, in one process and without Ray: train, calibrate, score the test period, measure."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from rosa_ray.calibration import Calibration, CalibrationConfig, CalibrationSums, fit_calibration
from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.evaluate import labelled_metrics, policy_metrics
from rosa_ray.evaluation.predictions import RAW_SCORES, prediction_columns
from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, encode_users
from rosa_ray.inference import context_events, load_ranker, predict
from rosa_ray.run_dir import TrialDir
from rosa_ray.storage import exists, read_json, read_parquet, remove_tree, write_json, write_parquet
from rosa_ray.studies.latency import measure_scoring
from rosa_ray.training.in_process import own_device, train_alone
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.schedule import best_record


@dataclass(frozen=True)
class Trial:
    """A training job and what is measured of it.

    Attributes:
        directory: where predictions and the result go.
        log_dir: the log behind the data; its truth, where there is one, values the policy.
        latency_requests, candidates: see `StudyConfig`.
    """

    job: TrainingJob
    calibration: CalibrationConfig
    evaluation: EvaluationConfig
    log_dir: str
    directory: str
    latency_requests: int
    candidates: int

    @property
    def place(self) -> TrialDir:
        """What lies where in the directory."""
        return TrialDir(self.directory)


def fit_trial(trial: Trial) -> dict[str, Any]:
    """Train, and keep the best epoch's weights; or read what the same trial kept before.

    Returns:
        digest, seed, learning_rate, epochs, best_epoch, monitor, train_seconds, samples_per_s and history.

    Raises:
        TrainingError: training diverged.
    """
    torch.set_num_threads(trial.job.training.threads_per_worker)
    state, files = read_feature_state(trial.job.layout.features), list_user_files(trial.job.layout.users)
    digest = trial.job.digest(state.fingerprint, sum(rows for _, rows in files))
    kept = _read(trial.place.fit, digest)
    if kept is not None:
        return kept
    weights, history = train_alone(trial.job, [read_parquet(name) for name, _ in files], own_device())
    Path(trial.directory).mkdir(parents=True, exist_ok=True)
    torch.save(weights, trial.place.weights)
    fitted = {"digest": digest, **_figures(trial, history), "history": history}
    write_json(fitted, trial.place.fit)
    return fitted


def run_trial(trial: Trial) -> dict[str, Any]:
    """Fit, calibrate, score the test period and measure; or read the result of the same trial.

    Returns:
        The figures of `fit_trial`, and valid, test and latency.

    Raises:
        TrainingError: training diverged.
    """
    fitted = fit_trial(trial)
    measured = {"calibration": asdict(trial.calibration), "evaluation": asdict(trial.evaluation)}
    kept = _read(trial.place.result, fitted["digest"])
    if kept is not None and kept.get("measured") == measured:
        return kept
    state = read_feature_state(trial.job.layout.features)
    weights = torch.load(trial.place.weights, map_location="cpu", weights_only=True)
    ranker = load_ranker(trial.job.describe_model(state), weights).to(own_device())
    tables = [read_parquet(name) for name, _ in list_user_files(trial.job.layout.users)]
    result = fitted | {"measured": measured} | _measure(trial, tables, state, ranker, own_device())
    write_json(result, trial.place.result)
    return result


def _read(path: str, digest: str) -> dict[str, Any] | None:
    kept = dict(read_json(path)) if exists(path) else {}
    return kept if kept.get("digest") == digest else None


def _figures(trial: Trial, history: list[dict[str, Any]]) -> dict[str, Any]:
    best = best_record(trial.job.training, history)
    seconds = sum(record["train_seconds"] for record in history)
    return {
        "seed": trial.job.seed,
        "learning_rate": trial.job.training.learning_rate,
        "epochs": len(history),
        "best_epoch": best["epoch"] if best else None,
        "monitor": best[trial.job.training.monitor] if best else None,
        "train_seconds": round(seconds, 1),
        "samples_per_s": round(sum(record["samples"] for record in history) / max(seconds, 1e-9), 1),
    }


def _measure(
    trial: Trial, tables: list[pa.Table], state: FeatureState, ranker: nn.Module, device: str
) -> dict[str, Any]:
    users = [encode_users(UserRows.from_table(table), state) for table in tables]
    calibration = _calibrate(trial, users, ranker, device)
    remove_tree(trial.place.predictions_dir)
    files = [trial.place.predictions(part) for part in range(len(users))]
    for path, part in zip(files, users, strict=True):
        write_parquet(pa.table(_score(part, ranker, calibration, trial, device)), path)
    policy = policy_metrics(files, trial.log_dir, trial.evaluation)
    return {
        "test": labelled_metrics(files, Split.TEST) | policy,
        "valid": labelled_metrics(files, Split.VALID),
        "latency": measure_scoring(ranker, users[0], trial.latency_requests, trial.candidates, device),
    }


def _calibrate(trial: Trial, users: list[EncodedUsers], ranker: nn.Module, device: str) -> Calibration:
    sums = CalibrationSums(trial.calibration.negative_keep_rate)
    for part in users:
        valid = part.select(Split.VALID).trim(context_events(ranker))
        sums.update(prediction_columns(valid, predict(ranker, valid, trial.evaluation.users_per_batch, device)))
    return fit_calibration(sums, trial.calibration)


def _score(
    users: EncodedUsers, ranker: nn.Module, calibration: Calibration, trial: Trial, device: str
) -> dict[str, Any]:
    chosen = users.select(Split.VALID, Split.TEST, Split.POLICY).trim(context_events(ranker))
    scores = predict(ranker, chosen, trial.evaluation.users_per_batch, device)
    raw = {f"raw_{name}": scores[name] for name in RAW_SCORES}
    return prediction_columns(chosen, calibration.apply(scores)) | raw
