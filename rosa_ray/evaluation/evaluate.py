"""Evaluation on Ray Data: an actor pool scores every user of the test period, the driver merges the metrics' sums."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
from rich.table import Table

from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.errors import InputError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.policy_value import CANDIDATE_COLUMNS, SHOWN_COLUMNS, join_truth, policy_value, read_truth
from rosa_ray.evaluation.pool import map_users
from rosa_ray.evaluation.predictions import RAW_SCORES, as_logged, prediction_columns, raw_columns
from rosa_ray.evaluation.segments import PeriodSegments, SegmentNames
from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, encode_users
from rosa_ray.inference import context_events, load_ranker, predict
from rosa_ray.metrics import Evaluation, evaluate_policy
from rosa_ray.run_dir import DataDir, RunDir
from rosa_ray.storage import absolute, read_parquet, remove_tree, write_json, write_parquet

LABELLED = (Split.VALID, Split.TEST)
_COMPARED = tuple(f"{head}{name}" for head in ("", "cvr_", "ctcvr_") for name in ("pcoc", "ece", "logloss"))
_RAW_FIGURES = (*_COMPARED, "revenue_pcoc")


class Scorer:
    """One process of the pool: reads user rows, writes a file of predictions per block.

    Every user lies whole in one file, so the files can be evaluated one by one.
    """

    def __init__(self, bundle_dir: str, predictions_dir: str, users_per_batch: int) -> None:
        torch.set_num_threads(1)
        bundle = open_bundle(bundle_dir)
        self._device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
        self._state = bundle.features(FeatureState.load)
        self._ranker = load_ranker(bundle.model, bundle.weights()).to(self._device)
        self._calibration = bundle.calibration
        self._predictions_dir, self._users_per_batch = predictions_dir, users_per_batch

    def __call__(self, block: pa.Table) -> pa.Table:
        """Score the validation, test and policy impressions of a block; returns the file written and its rows."""
        users = encode_users(UserRows.from_table(block), self._state).select(*LABELLED, Split.POLICY)
        columns = self._score(users.trim(context_events(self._ranker)))
        columns["visible_events"] = users.impressions["visible"]
        name = f"{int(block['user_key'][0].as_py()) % 2**64:016x}" if block.num_rows else "empty"
        path = f"{self._predictions_dir}/part-{name}.parquet"
        write_parquet(pa.table(columns), path)
        return pa.table({"path": [path], "rows": [len(columns["user_key"])]})

    def _score(self, users: EncodedUsers) -> dict[str, np.ndarray]:
        scores = predict(self._ranker, users, self._users_per_batch, self._device)
        raw = {f"raw_{name}": scores[name] for name in RAW_SCORES}
        return prediction_columns(users, self._calibration.apply(scores)) | raw


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
    files = score_users(bundle, layout, place.evaluation.predictions, config)
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


def score_users(bundle: Bundle, layout: DataDir, predictions_dir: str, config: EvaluationConfig) -> list[str]:
    """Run the pool over all user rows; returns the files of predictions."""
    arguments = (bundle.location, predictions_dir, config.users_per_batch)
    rows = map_users(layout, Scorer, arguments, config.actors, config.use_gpu)
    return sorted(row["path"] for row in rows if row["rows"])


def labelled_metrics(files: list[str], split: Split, negative_keep_rate: float = 1.0) -> dict[str, Any]:
    """Metrics of one labelled period, summed file by file.

    Args:
        negative_keep_rate: of the log, see `as_logged`.

    Returns:
        Those of the calibrated scores and, under `raw_`, calibration figures of the raw ones.
    """
    calibrated, raw = Evaluation(), Evaluation()
    for path in files:
        columns = _columns(read_parquet(path), split)
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
        columns = _columns(read_parquet(path), split)
        if len(columns["split"]):
            segments.update(as_logged(columns, negative_keep_rate))
    return segments.compute(names)


def policy_metrics(files: list[str], log_dir: str, config: EvaluationConfig) -> dict[str, Any]:
    """Value of ranking the test period's candidates; see `policy_value`. Beside it, that of the raw scores.

    Raises:
        InputError: the truth lacks a candidate.
    """
    shown = _read_split(files, Split.TEST, SHOWN_COLUMNS)
    candidates = _read_split(files, Split.POLICY, (*CANDIDATE_COLUMNS, *(f"raw_{name}" for name in RAW_SCORES)))
    figures = policy_value(shown, candidates, log_dir, config)
    return figures | {"raw_policy_roi": _raw_policy_roi(candidates, log_dir, config)}


def _raw_policy_roi(candidates: dict[str, np.ndarray], log_dir: str, config: EvaluationConfig) -> float | None:
    """Exact ROI of ranking by the scores before calibration, None where the log has no truth or no candidates."""
    truth = read_truth(log_dir)
    if truth is None or not len(candidates["request_key"]):
        return None
    joined = join_truth(truth, candidates["impression_key"], log_dir)
    return evaluate_policy(config.score, raw_columns(candidates), joined)["policy_roi"]


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """The figures of `evaluate` for a terminal, one row each, test beside validation."""
    table = Table("metric", "test", "valid", title=f"model {metrics['model_version']}")
    for name, value in metrics["test"].items():
        if not isinstance(value, dict):
            table.add_row(name, _cell(value), _cell(metrics["valid"].get(name)))
    return table


def _read_split(files: list[str], split: Split, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    parts = [_columns(read_parquet(path).select([*names, "split"]), split) for path in files]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _columns(table: pa.Table, split: Split) -> dict[str, np.ndarray]:
    columns = {name: table[name].to_numpy() for name in table.column_names}
    kept = columns["split"] == int(split)
    return {name: values[kept] for name, values in columns.items()}


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else json.dumps(value).strip('"')
