"""Evaluation on Ray Data: an actor pool scores every user of the test period, the driver merges the metrics' sums."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from rosa_ray.bundle import open_bundle
from rosa_ray.errors import InputError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.policy_value import CANDIDATE_COLUMNS, SHOWN_COLUMNS, join_truth, policy_value, read_truth
from rosa_ray.evaluation.pool import write_predictions
from rosa_ray.evaluation.predictions import RAW_COLUMNS, as_logged, raw_columns, read_predictions
from rosa_ray.evaluation.segments import PeriodSegments, SegmentNames
from rosa_ray.features import Split
from rosa_ray.metrics import Evaluation, evaluate_policy
from rosa_ray.run_dir import DataDir, RunDir
from rosa_ray.storage import absolute, remove_tree, write_json

FIRST_FIGURES = (
    "n",
    "clicks",
    "conversions",
    "auc",
    "gauc",
    "logloss",
    "pcoc",
    "cvr_auc",
    "cvr_pcoc",
    "ctcvr_auc",
    "revenue_pcoc",
    "policy_roi",
    "oracle_policy_roi",
    "random_policy_roi",
)
"""What a person wants to know first: how much was measured, ranking, calibration, return."""

_COMPARED = tuple(f"{head}{name}" for head in ("", "cvr_", "ctcvr_") for name in ("pcoc", "ece", "logloss"))
_RAW_FIGURES = (*_COMPARED, "revenue_pcoc")


def evaluate(*, config: EvaluationConfig, data_dir: str, log_dir: str, run_dir: str) -> dict[str, Any]:
    """Score the validation and test periods with the run's bundle and measure it.

    Ray must be initialised. Writes `evaluation/predictions/*.parquet` and `evaluation/metrics.json`.

    Args:
        data_dir: what preprocessing wrote.
        log_dir: the log it was made from; its `truth/`, where there is one, gives the exact value of the policy.

    Returns:
        `test` and `valid`, each the metrics of `Evaluation.compute` with calibrated scores and, as `raw_…`, what
        calibration changes; in `test` those of `policy_value`, `raw_policy_roi` and `segments` as well;
        `model_version`.

    Raises:
        BundleError: the bundle is missing, damaged, or of other features than the data's.
        InputError: there is no preprocessed data, or it has no test impressions.
    """
    layout, place = DataDir(absolute(data_dir)), RunDir(absolute(run_dir))
    bundle = open_bundle(place.bundle)
    remove_tree(place.evaluation.predictions)
    files = write_predictions(bundle, layout, place.evaluation.predictions, config)
    keep_rate = bundle.calibration.negative_keep_rate
    metrics: dict[str, Any] = {
        "model_version": bundle.model_version,
        "test": labelled_metrics(files, Split.TEST, keep_rate)
        | policy_metrics(files, log_dir, config)
        | {"segments": segment_metrics(files, Split.TEST, SegmentNames.read(layout), keep_rate)},
        "valid": labelled_metrics(files, Split.VALID, keep_rate),
    }
    if not metrics["test"]["n"]:
        raise InputError(f"{layout.users}: the test period has no impressions; raise preprocess.test_fraction")
    write_json(metrics, place.evaluation.metrics)
    return metrics


def labelled_metrics(files: list[str], split: Split, negative_keep_rate: float = 1.0) -> dict[str, Any]:
    """Metrics of one labelled period, summed file by file.

    Args:
        negative_keep_rate: of the log, see `as_logged`.

    Returns:
        Those of the calibrated scores and, under `raw_`, calibration figures of the raw ones.
    """
    calibrated, raw = Evaluation(), Evaluation()
    for path in files:
        columns = read_predictions([path], split)
        if len(columns["split"]):
            calibrated.update(as_logged(columns, negative_keep_rate))
            raw.update(raw_columns(columns))
    figures = raw.compute()
    return calibrated.compute() | {f"raw_{name}": figures[name] for name in _RAW_FIGURES}


def segment_metrics(
    files: list[str], split: Split, names: SegmentNames, negative_keep_rate: float = 1.0
) -> dict[str, Any]:
    """Counts and calibration of one labelled period by device, campaign, user activity and day."""
    segments = PeriodSegments()
    for path in files:
        columns = read_predictions([path], split)
        if len(columns["split"]):
            segments.update(as_logged(columns, negative_keep_rate))
    return segments.compute(names)


def policy_metrics(files: list[str], log_dir: str, config: EvaluationConfig) -> dict[str, Any]:
    """Value of ranking the test period's candidates; see `policy_value`. Beside it, that of the raw scores.

    Raises:
        InputError: the truth lacks a candidate.
    """
    shown = read_predictions(files, Split.TEST, SHOWN_COLUMNS)
    candidates = read_predictions(files, Split.POLICY, (*CANDIDATE_COLUMNS, *RAW_COLUMNS))
    figures = policy_value(shown, candidates, log_dir, config)
    return figures | {"raw_policy_roi": _raw_policy_roi(candidates, log_dir, config)}


def _raw_policy_roi(candidates: dict[str, np.ndarray], log_dir: str, config: EvaluationConfig) -> float | None:
    """Exact ROI of ranking by the scores before calibration, None where the log has no truth or no candidates."""
    truth = read_truth(log_dir)
    if truth is None or not len(candidates["request_key"]):
        return None
    joined = join_truth(truth, candidates["impression_key"], log_dir)
    policy_roi: float | None = evaluate_policy(config.score, raw_columns(candidates), joined)["policy_roi"]
    return policy_roi


def metrics_table(metrics: Mapping[str, Any], *, every: bool = False) -> Table:
    """The figures of `evaluate` for a terminal, one row each, test beside validation.

    Args:
        every: all of them; else those of `FIRST_FIGURES` that are defined.
    """
    test = metrics["test"]
    table = Table("metric", "test", "valid", title=f"model {metrics['model_version']}")
    for name in test if every else [name for name in FIRST_FIGURES if test.get(name) is not None]:
        if not isinstance(test[name], dict):
            table.add_row(name, _cell(test[name]), _cell(metrics["valid"].get(name)))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else json.dumps(value).strip('"')
