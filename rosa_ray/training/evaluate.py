"""Evaluation on Ray Data: an actor pool scores every user of the test period, the driver merges the metrics' sums."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import ray
import torch
from rich.table import Table

from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.data.parquet import read_parquet, remove_tree, write_json, write_parquet
from rosa_ray.data.partitions import Layout
from rosa_ray.errors import InputError
from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, encode_users
from rosa_ray.inference import context_events, load_ranker, predict
from rosa_ray.metrics import Evaluation, evaluate_policy
from rosa_ray.schema import hash_ids
from rosa_ray.training.config import EvaluationConfig
from rosa_ray.training.predictions import prediction_columns
from rosa_ray.training.shards import READ_CPUS, list_user_files, plan_shards, quiet, slices_dataset

LABELLED = (Split.VALID, Split.TEST)
_POLICY_KEYS = ("policy_roi", "oracle_policy_roi", "random_policy_roi", "best_policy_roi", "policy_roi_share")
_POLICY_COLUMNS = ("request_key", "impression_key", "p_ctr", "p_cvr", "value", "expected_cost")


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
        self._predictions_dir, self._users_per_batch = predictions_dir, users_per_batch

    def __call__(self, block: pa.Table) -> pa.Table:
        """Score the validation, test and policy impressions of a block; returns the file written and its rows."""
        users = encode_users(UserRows.from_table(block), self._state).select(*LABELLED, Split.POLICY)
        columns = self._score(users.trim(context_events(self._ranker)))
        name = f"{int(block['user_key'][0].as_py()) % 2**64:016x}" if block.num_rows else "empty"
        path = f"{self._predictions_dir}/part-{name}.parquet"
        write_parquet(pa.table(columns), path)
        return pa.table({"path": [path], "rows": [len(columns["user_key"])]})

    def _score(self, users: EncodedUsers) -> dict[str, np.ndarray]:
        scores = predict(self._ranker, users, self._users_per_batch, self._device)
        return prediction_columns(users, scores)


def evaluate(*, config: EvaluationConfig, data_dir: str, log_dir: str, run_dir: str) -> dict[str, Any]:
    """Score the validation and test periods with the run's bundle and measure it.

    Ray must be initialised. Writes `evaluation/predictions/*.parquet` and `evaluation/metrics.json`.

    Args:
        data_dir: what preprocessing wrote.
        log_dir: the log it was made from; its `truth/`, where there is one, gives the exact value of the policy.

    Returns:
        `test` and `valid`, each the metrics of `Evaluation.compute` and in `test` those of `evaluate_policy`, None
        with a reason in `policy_skipped` where the log has no truth; `model_version`.

    Raises:
        BundleError: the bundle is missing, damaged, or of other features than the data's.
        InputError: there is no preprocessed data, or it has no test impressions.
    """
    layout = Layout(data_dir if "://" in data_dir else str(Path(data_dir).absolute()))
    run_dir = run_dir if "://" in run_dir else str(Path(run_dir).absolute())
    bundle = open_bundle(f"{run_dir}/bundle")
    predictions_dir = f"{run_dir}/evaluation/predictions"
    remove_tree(predictions_dir)
    files = score_users(bundle, layout, predictions_dir, config)
    metrics: dict[str, Any] = {
        "model_version": bundle.model_version,
        "test": labelled_metrics(files, Split.TEST) | policy_metrics(files, log_dir, config),
        "valid": labelled_metrics(files, Split.VALID),
    }
    if not metrics["test"]["n"]:
        raise InputError(f"{layout.users}: the test period has no impressions; raise preprocess.test_fraction")
    write_json(metrics, f"{run_dir}/evaluation/metrics.json")
    return metrics


def score_users(bundle: Bundle, layout: Layout, predictions_dir: str, config: EvaluationConfig) -> list[str]:
    """Run the pool over all user rows; returns the files of predictions."""
    slices = plan_shards(list_user_files(layout.users), 1)[0]
    gpus = ray.cluster_resources().get("GPU", 0)
    use_gpu = gpus >= config.actors if config.use_gpu == "auto" else config.use_gpu
    scored = quiet(slices_dataset(slices)).map_batches(
        Scorer,
        fn_constructor_args=(str(bundle.path), predictions_dir, config.users_per_batch),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=config.actors),
        num_cpus=1 - READ_CPUS,
        num_gpus=1 if use_gpu else None,
    )
    return sorted(row["path"] for row in scored.take_all() if row["rows"])


def labelled_metrics(files: list[str], split: Split) -> dict[str, Any]:
    """Metrics of one labelled period, summed file by file."""
    evaluation = Evaluation()
    for path in files:
        columns = _columns(read_parquet(path), split)
        if len(columns["split"]):
            evaluation.update(columns)
    return evaluation.compute()


def policy_metrics(files: list[str], log_dir: str, config: EvaluationConfig) -> dict[str, Any]:
    """Exact value of ranking the policy period's candidates, None with a reason where the log has no truth.

    Raises:
        InputError: the truth lacks a candidate.
    """
    truth = read_truth(log_dir)
    if truth is None:
        return {**dict.fromkeys(_POLICY_KEYS), "policy_skipped": f"{log_dir} has no truth: it is not simulated"}
    parts = [_columns(read_parquet(path), Split.POLICY) for path in files]
    candidates = {name: np.concatenate([part[name] for part in parts]) for name in _POLICY_COLUMNS}
    if not len(candidates["request_key"]):
        return {**dict.fromkeys(_POLICY_KEYS), "policy_skipped": "the test period has no candidates"}
    return evaluate_policy(config.score, candidates, join_truth(truth, candidates["impression_key"], log_dir))


def read_truth(log_dir: str) -> dict[str, np.ndarray] | None:
    """Impression keys, sorted, with their expected revenue and cost; None when the log has no truth."""
    fs, root = fsspec.core.url_to_fs(f"{log_dir}/truth")
    paths = sorted(fs.glob(f"{root}/*.parquet"))
    if not paths:
        return None
    table = pa.concat_tables(
        read_parquet(fs.unstrip_protocol(path)).select(["impression_id", "expected_revenue", "expected_cost"])
        for path in paths
    )
    key = hash_ids(table["impression_id"])
    order = np.argsort(key, kind="stable")
    columns = {name: table[name].to_numpy()[order] for name in ("expected_revenue", "expected_cost")}
    return {"impression_key": key[order], **columns}


def join_truth(truth: Mapping[str, np.ndarray], impression_key: np.ndarray, log_dir: str) -> dict[str, np.ndarray]:
    """Rows of the truth for the given impressions, in their order."""
    row = np.minimum(np.searchsorted(truth["impression_key"], impression_key), len(truth["impression_key"]) - 1)
    missing = int((truth["impression_key"][row] != impression_key).sum())
    if missing:
        raise InputError(f"{log_dir}/truth lacks {missing} of {len(row)} candidates; was the data made from this log?")
    return {name: truth[name][row] for name in ("expected_revenue", "expected_cost")}


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """The figures of `evaluate` for a terminal, one row each, test beside validation."""
    table = Table("metric", "test", "valid", title=f"model {metrics['model_version']}")
    for name, value in metrics["test"].items():
        if not isinstance(value, dict):
            table.add_row(name, _cell(value), _cell(metrics["valid"].get(name)))
    return table


def _columns(table: pa.Table, split: Split) -> dict[str, np.ndarray]:
    columns = {name: table[name].to_numpy() for name in table.column_names}
    kept = columns["split"] == int(split)
    return {name: values[kept] for name, values in columns.items()}


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else json.dumps(value).strip('"')
