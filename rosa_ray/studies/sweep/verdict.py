"""One look at the test period: the winner as a bundle, beside the config as it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.evaluation.evaluate import evaluate
from rosa_ray.evaluation.policy_value import CANDIDATE_COLUMNS, join_truth, policy_scores, read_truth
from rosa_ray.evaluation.predictions import list_predictions, read_predictions
from rosa_ray.features import Split
from rosa_ray.metrics import BootstrapConfig, greedy_policy, interval, roi_statistic
from rosa_ray.metrics.bootstrap import Statistic
from rosa_ray.run_dir import RunDir, SweepDir
from rosa_ray.studies.sweep.trial import SweepTrial
from rosa_ray.training.trainer import make_bundle

COMPARED = (
    *("policy_roi", "policy_roi_share", "auc", "cvr_auc", "ctcvr_auc", "logloss", "pcoc", "ctcvr_pcoc"),
    *("true_auc", "true_cvr_auc"),
)


def measure_winner(default: SweepTrial, winner: SweepTrial, sweep: SweepDir) -> dict[str, Any]:
    """Write `bundle` and `evaluation` of the winner, and below `default` those of the configured run.

    Ray must be initialised.

    Returns:
        `default` and `winner`, each the test figures of `COMPARED`; `policy_roi_gap` of the winner above the default,
        with its 95 % interval over users, None without a truth.
    """
    places = {"winner": (winner, sweep.winner), "default": (default, sweep.default)}
    measured = {name: _measure(trial, place) for name, (trial, place) in places.items()}
    return measured | {"policy_roi_gap": _gap(winner, sweep.winner, sweep.default)}


def _measure(trial: SweepTrial, place: RunDir) -> dict[str, Any]:
    job = trial.job
    make_bundle(
        place.bundle,
        job=job,
        state=read_feature_state(job.layout.features),
        weights=trial.weights(),
        best=trial.result()["best"],
        config=trial.config,
        calibration=trial.calibration,
        gate=trial.gate,
    )
    metrics = evaluate(config=trial.evaluation, data_dir=job.data_dir, log_dir=trial.log_dir, run_dir=place.root)
    return {name: metrics["test"].get(name) for name in COMPARED} | {"model_version": metrics["model_version"]}


def _gap(trial: SweepTrial, one: RunDir, other: RunDir) -> dict[str, float] | None:
    truth = read_truth(trial.log_dir)
    if truth is None:
        return None
    (mine, users), (theirs, _) = (_roi_statistic(trial, truth, place) for place in (one, other))

    def gap(drawn: np.ndarray) -> float | None:
        above, below = mine(drawn), theirs(drawn)
        return above - below if above is not None and below is not None else None

    found = interval(gap, users, BootstrapConfig())
    return {"gap": found.estimate, "low": found.low, "high": found.high} if found else None


def _roi_statistic(trial: SweepTrial, truth: Mapping[str, np.ndarray], place: RunDir) -> tuple[Statistic, int]:
    files = list_predictions(place.evaluation.predictions)
    rows = read_predictions(files, Split.POLICY, ("user_key", *CANDIDATE_COLUMNS))
    joined = join_truth(truth, rows["impression_key"], trial.log_dir)
    scores = policy_scores(rows, trial.evaluation.yardstick)
    policy = greedy_policy(scores, rows["request_key"], rows["impression_key"])
    return roi_statistic(policy, joined["expected_revenue"], joined["expected_cost"], rows["user_key"])
