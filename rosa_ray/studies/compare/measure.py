"""What a comparison measures of a trial: calibrated on the validation period, scored and valued on the test period."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa

from rosa_ray.calibration import Calibration, CalibrationConfig, CalibrationSums, fit_calibration
from rosa_ray.evaluation.evaluate import period_metrics, policy_metrics
from rosa_ray.evaluation.predictions import calibrated_columns
from rosa_ray.evaluation.returns import fit_returns
from rosa_ray.evaluation.scoring import Scorer
from rosa_ray.features import EncodedUsers, Split
from rosa_ray.storage import remove_tree, write_parquet
from rosa_ray.studies.compare.latency import measure_scoring
from rosa_ray.studies.identity import MEASURE_CODE, code_digest
from rosa_ray.studies.trial import Record, Trial, TrialRun


def measure_trial(trial: Trial, latency_requests: int, candidates: int) -> Record:
    """Fit a trial, score the test period and measure; or read the result of the same trial.

    Args:
        latency_requests, candidates: see `StudyConfig`.

    Returns:
        The figures of `TrialRun.fit`, and measured (under which settings), valid, test and latency.

    Raises:
        TrainingError: training diverged.
    """
    run, place = TrialRun(trial), trial.place
    fitted = run.fit()
    measured = {
        "calibration": asdict(trial.calibration),
        "evaluation": asdict(trial.evaluation),
        "log_dir": trial.log_dir,
        "latency": [latency_requests, candidates],
        "code": code_digest(MEASURE_CODE, trial.job.model.name),
    }
    kept = run.kept(place.result)
    if kept is not None and kept.get("measured") == measured:
        return kept
    figures = _measure(run, latency_requests, candidates)
    return run.keep({**fitted, "measured": measured, **figures}, place.result)


def _measure(run: TrialRun, latency_requests: int, candidates: int) -> dict[str, Any]:
    trial, scorer = run.trial, run.scorer()
    users = [scorer.encode(table) for table in run.tables()]
    calibration = _calibrate(trial.calibration, scorer, users)
    files = _write_predictions(trial, scorer, users, calibration)
    config = trial.evaluation
    policy = policy_metrics(files, trial.log_dir, config.yardstick, calibration.returns, config.off_policy_clip)
    return {
        "test": period_metrics(files, Split.TEST, trial.log_dir) | policy,
        "valid": period_metrics(files, Split.VALID, trial.log_dir),
        "latency": measure_scoring(scorer, users[0], latency_requests, candidates),
    }


def _write_predictions(
    trial: Trial, scorer: Scorer, users: Sequence[EncodedUsers], calibration: Calibration
) -> list[str]:
    remove_tree(trial.place.predictions_dir)
    files = [trial.place.predictions(part) for part in range(len(users))]
    for path, part in zip(files, users, strict=True):
        raw = scorer.score(part, Split.VALID, Split.TEST, Split.POLICY)
        write_parquet(pa.table(calibrated_columns(raw, calibration)), path)
    return files


def _calibrate(config: CalibrationConfig, scorer: Scorer, users: Sequence[EncodedUsers]) -> Calibration:
    sums = CalibrationSums()
    for part in users:
        sums.update(scorer.score(part, Split.VALID))
    calibration = fit_calibration(sums, config)
    candidates = (scorer.score(part, Split.VALID_POLICY) for part in users)
    return replace(calibration, returns=fit_returns(calibration, sums, candidates, config))
