"""Evaluation on Ray Data: an actor pool scores every user of the test period, the driver merges the metrics' sums."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.calibration import Returns
from rosa_ray.errors import BundleError, InputError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.intervals import period_intervals
from rosa_ray.evaluation.kinds import exact_kinds
from rosa_ray.evaluation.policy_value import CANDIDATE_COLUMNS, SHOWN_COLUMNS, join_truth, policy_value, read_truth
from rosa_ray.evaluation.pool import write_predictions
from rosa_ray.evaluation.predictions import RAW_COLUMNS, raw_columns, read_predictions
from rosa_ray.evaluation.segments import PeriodSegments, SegmentNames
from rosa_ray.evaluation.true_metrics import true_metrics
from rosa_ray.features import FeatureState, Split
from rosa_ray.metrics import BootstrapConfig, Evaluation, Ranking, conversion_weights, evaluate_policy, judge_head
from rosa_ray.run_dir import DataDir, RunDir
from rosa_ray.storage import absolute, remove_tree, write_json

FIRST_FIGURES = (
    "n",
    "weight",
    "clicks",
    "conversions",
    "unknown_conversions",
    "auc",
    "gauc",
    "logloss",
    "pcoc",
    "cvr_auc",
    "cvr_pcoc",
    "ctcvr_auc",
    "revenue_pcoc",
    "true_auc",
    "true_auc_ceiling",
    "true_pcoc",
    "true_cvr_auc",
    "true_cvr_auc_ceiling",
    "true_cvr_pcoc",
    "policy_roi",
    "oracle_policy_roi",
    "random_policy_roi",
)
"""What a person wants to know first: how much was measured, ranking, calibration, return."""

_JUDGED_COLUMNS = ("user_key", "click", "conversion", "p_ctr", "p_cvr", "weight", "conversion_weight")
_BOOTSTRAP = BootstrapConfig(replicates=200)
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
        calibration changes, with `undefined`, the reason of every figure that is None; in `test` those of
        `policy_value`, `raw_policy_roi` and `segments` as well; `verdict`, see `judge_heads`; `model_version`. Each
        period has those of `true_metrics` too, and `intervals`, see `period_intervals`.

    Raises:
        BundleError: the bundle is missing, damaged, or of other features than the data's.
        InputError: there is no preprocessed data, or it has no test impressions.
    """
    layout, place = DataDir(absolute(data_dir)), RunDir(absolute(run_dir))
    bundle = open_bundle(place.bundle)
    _require_weights(bundle)
    totals = bundle.features(FeatureState.load).totals
    config = config.on(totals)
    ranking = config.ranking(bundle.calibration.returns)
    remove_tree(place.evaluation.predictions)
    files = write_predictions(bundle, layout, place.evaluation.predictions, config)
    metrics: dict[str, Any] = {
        "model_version": bundle.model_version,
        "test": period_metrics(files, Split.TEST, log_dir)
        | policy_metrics(files, log_dir, ranking, bundle.calibration.returns, config.off_policy_clip)
        | {"intervals": period_intervals(files, Split.TEST, log_dir)}
        | {"segments": segment_metrics(files, Split.TEST, SegmentNames.read(layout))},
        "valid": period_metrics(files, Split.VALID, log_dir)
        | {"intervals": period_intervals(files, Split.VALID, log_dir)},
        "verdict": judge_heads(files, totals),
    }
    if not metrics["test"]["n"]:
        raise InputError(f"{layout.users}: the test period has no impressions; raise preprocess.test_fraction")
    write_json(metrics, place.evaluation.metrics)
    return metrics


def _require_weights(bundle: Bundle) -> None:
    """Refuse a bundle of a thinned log from before its rows had weights, which labels of today would contradict."""
    rate = bundle.calibration.negative_keep_rate
    if rate != 1:
        raise BundleError(
            f"bundle {bundle.location}: was trained on a thinned log by an earlier version, which gave its rows no "
            f"weights; preprocess with preprocess.negative_keep_rate={rate:g} and train again"
        )


def period_metrics(files: list[str], split: Split, log_dir: str) -> dict[str, Any]:
    """Metrics of one period by its labels, and by the truth where the log has one.

    Returns:
        Those of `labelled_metrics` and of `true_metrics`; `undefined` holds the reasons of both.

    Raises:
        InputError: the truth lacks an impression.
    """
    by_labels = labelled_metrics(files, split)
    by_truth = true_metrics(files, split, log_dir)
    return by_labels | by_truth | {"undefined": by_labels["undefined"] | by_truth["undefined"]}


def labelled_metrics(files: list[str], split: Split) -> dict[str, Any]:
    """Metrics of one labelled period, summed file by file.

    Returns:
        Those of the calibrated scores and, under `raw_`, calibration figures of the raw ones; `undefined`, the figures
        that are None, each with the reason.
    """
    calibrated, raw = Evaluation(), Evaluation()
    for path in files:
        columns = read_predictions([path], split)
        if len(columns["split"]):
            calibrated.update(columns)
            raw.update(raw_columns(columns))
    figures, reasons = raw.compute(), raw.undefined()
    undefined = calibrated.undefined() | {f"raw_{name}": reasons[name] for name in _RAW_FIGURES if name in reasons}
    raw_figures = {f"raw_{name}": figures[name] for name in _RAW_FIGURES}
    return calibrated.compute() | raw_figures | {"undefined": undefined}


def judge_heads(files: list[str], totals: Mapping[str, float]) -> dict[str, Any]:
    """Whether clicks and conversions of the test period are predicted better than by the training period's rates.

    Args:
        totals: impressions, clicks and conversions of the training period, see `FeatureState`.

    Returns:
        A `HeadVerdict` as plain values for `clicks` (of impressions) and for `conversions` (of clicks).
    """
    rows = read_predictions(files, Split.TEST, _JUDGED_COLUMNS)
    bought = conversion_weights(rows, len(rows["click"]))
    clicked = (rows["click"] == 1) & (bought > 0)
    impressions, clicks, conversions = (totals[name] for name in ("impressions", "clicks", "conversions"))
    rate = conversions / max(totals.get("final_clicks", clicks), 1e-9)
    heads = {
        "clicks": (("impression", "click"), clicks / impressions, "p_ctr", "click", slice(None), rows["weight"]),
        "conversions": (("click", "conversion"), rate, "p_cvr", "conversion", clicked, bought),
    }
    return {
        name: judge_head(
            name,
            nouns,
            rate,
            rows[scores][kept],
            rows[labels][kept],
            rows["user_key"][kept],
            _BOOTSTRAP,
            weight[kept],
        ).to_dict()
        for name, (nouns, rate, scores, labels, kept, weight) in heads.items()
    }


def segment_metrics(files: list[str], split: Split, names: SegmentNames) -> dict[str, Any]:
    """Counts and calibration of one labelled period by device, campaign, user activity and day."""
    segments = PeriodSegments()
    for path in files:
        columns = read_predictions([path], split)
        if len(columns["split"]):
            segments.update(columns)
    return segments.compute(names)


def policy_metrics(
    files: list[str], log_dir: str, ranking: Ranking, returns: Returns, clip: float | None = None
) -> dict[str, Any]:
    """Value of ranking the test period's candidates; see `policy_value`.

    Beside it, `raw_policy_roi`, that of the raw scores, and `kinds`, that of every kind of score; see `value_kinds`.

    Raises:
        InputError: the truth lacks a candidate.
    """
    shown = read_predictions(files, Split.TEST, SHOWN_COLUMNS)
    candidates = read_predictions(files, Split.POLICY, (*CANDIDATE_COLUMNS, *RAW_COLUMNS))
    figures = policy_value(shown, candidates, log_dir, ranking, clip)
    others = {"kinds": exact_kinds(candidates, log_dir, returns)}
    return figures | {"raw_policy_roi": _raw_policy_roi(candidates, log_dir, ranking)} | others


def _raw_policy_roi(candidates: dict[str, np.ndarray], log_dir: str, ranking: Ranking) -> float | None:
    """Exact ROI of ranking by the scores before calibration, None where the log has no truth or no candidates."""
    truth = read_truth(log_dir)
    if truth is None or not len(candidates["request_key"]):
        return None
    joined = join_truth(truth, candidates["impression_key"], log_dir)
    policy_roi: float | None = evaluate_policy(ranking, raw_columns(candidates), joined)["policy_roi"]
    return policy_roi


def metrics_table(metrics: Mapping[str, Any], *, every: bool = False) -> Table:
    """The figures of `evaluate` for a terminal, one row each, test beside validation.

    Args:
        every: all of them; else those of `FIRST_FIGURES` that are defined.

    Where a figure has an interval over users, its cell has it too.
    """
    test = metrics["test"]
    table = Table("metric", "test", "valid", title=f"model {metrics['model_version']}")
    first = [name for name in FIRST_FIGURES if test.get(name) is not None]
    if test.get("weight") == test["n"]:
        first.remove("weight")
    if not test.get("unknown_conversions"):
        first = [name for name in first if name != "unknown_conversions"]
    for name in test if every else first:
        if not isinstance(test[name], dict):
            table.add_row(name, *(_with_interval(metrics[period], name) for period in ("test", "valid")))
    return table


def findings(metrics: Mapping[str, Any], *, every: bool = False) -> list[str]:
    """Lines for a person below the table of `evaluate`: a verdict per head, and why figures are missing.

    Args:
        every: why any figure is missing; else why one of `FIRST_FIGURES` is.
    """
    lines = [verdict["words"] for verdict in metrics["verdict"].values()]
    for period, words in (("test", "test"), ("valid", "validation")):
        names_of: dict[str, list[str]] = {}
        for name, reason in metrics[period]["undefined"].items():
            if every or (name in FIRST_FIGURES and not name.startswith("true_")):
                names_of.setdefault(reason, []).append(name)
        lines += [f"{words} period, {reason}: {', '.join(names)} undefined" for reason, names in names_of.items()]
    return lines


def _with_interval(period: Mapping[str, Any], name: str) -> str:
    value, ends = period.get(name), period.get("intervals", {}).get(name)
    return f"{_cell(value)} ({ends['low']:.4f} to {ends['high']:.4f})" if ends and value is not None else _cell(value)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else json.dumps(value).strip('"')
