"""From trials to the document of a study: means, intervals, gaps and ROC curves, ready for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.features import Split
from rosa_ray.metrics import Ranking
from rosa_ray.studies.compare.statistics import LEVEL, Figures, TrialStatistics, bootstrap
from rosa_ray.studies.compare.true_statistics import truth_ceilings
from rosa_ray.studies.compare.variants import Variant
from rosa_ray.words import gap_verdict

PAPER: dict[str, dict[str, float]] = {
    "wide_deep": {"auc": 0.781, "cvr_auc": 0.701, "roi_gain": 100.0, "latency_p50_ms": 35.0},
    "deepfm": {"auc": 0.792, "cvr_auc": 0.715, "roi_gain": 108.7, "latency_p50_ms": 38.0},
    "din": {"auc": 0.812, "cvr_auc": 0.736, "roi_gain": 115.4, "latency_p50_ms": 42.0},
    "sasrec": {"auc": 0.826, "cvr_auc": 0.748, "roi_gain": 121.8, "latency_p50_ms": 45.0},
    "rosa": {"auc": 0.854, "cvr_auc": 0.781, "roi_gain": 134.6, "latency_p50_ms": 48.0},
}
"""The figures of the paper's Tables 2 and 3 (Ni, Li, Zhang 2026), printed beside measured ones."""

TARGET_GAPS = {"auc": 0.028, "cvr_auc": 0.033, "roi_gain_percent": 10.5}
"""The paper's margins of ROSA-Rec over SASRec, its best baseline: AUC and CVR AUC absolute, ROI Gain in percent."""

GAP_METRICS = (
    *("auc", "cvr_auc", "ctcvr_auc", "logloss"),
    *("true_auc", "true_cvr_auc", "true_excess_logloss", "true_cvr_excess_logloss"),
    *("policy_roi", "covered_share"),
)
LOWER_IS_BETTER = ("logloss", "true_excess_logloss", "true_cvr_excess_logloss")
_ROC_POINTS, _ROC_REPLICATES = 101, 100


def summarise(
    variants: Sequence[Variant],
    trials: Mapping[str, Sequence[Mapping[str, Any]]],
    files: Mapping[str, Sequence[Sequence[str]]],
    *,
    log_dir: str,
    ranking: Ranking,
    reference: str,
    pairs: Sequence[tuple[str, str]],
    replicates: int,
    targets: Mapping[str, float] = TARGET_GAPS,
) -> dict[str, Any]:
    """Means over seeds with 95 % intervals, and gaps between pairs of variants, paired by users.

    Args:
        trials: results of every variant, one per seed; `files` their predictions, in the same order.
        pairs: names of variants; a gap is the first less the second.
        targets: gaps to reach, by metric.

    Returns:
        `variants`, `gaps`, and `ceilings`, what the truth itself reaches.
    """
    first = files[variants[0].name][0]
    keys = [read_predictions(first, split, ("user_key",))["user_key"] for split in (Split.TEST, Split.POLICY)]
    users = np.unique(np.concatenate(keys)).astype(np.int64)
    statistics = {name: [TrialStatistics(paths, users, log_dir, ranking) for paths in files[name]] for name in trials}
    drawn = bootstrap(statistics, reference, len(users), replicates)
    return {
        "variants": [_describe(variant, trials[variant.name], drawn[variant.name], files) for variant in variants],
        "gaps": [
            gap
            for champion, baseline in pairs
            for gap in gaps((champion, baseline), drawn[champion], drawn[baseline], targets)
        ],
        "ceilings": truth_ceilings(first, log_dir),
    }


def gaps(
    names: tuple[str, str],
    champion: Sequence[Figures],
    other: Sequence[Figures],
    targets: Mapping[str, float] = TARGET_GAPS,
) -> list[dict[str, Any]]:
    """How far the champion is above another variant, per metric, with paired intervals, the target and a `verdict`.

    `roi_gain_percent` is by how many percent the champion's return on ad spend is above the other's.
    """
    found = []
    for metric in (*GAP_METRICS, "roi_gain_percent"):
        values = [_gap(metric, mine, theirs) for mine, theirs in zip(champion, other, strict=True)]
        low, high = bounds(values[1:])
        target = targets.get(metric)
        found.append(
            {
                "champion": names[0],
                "baseline": names[1],
                "metric": metric,
                "gap": values[0],
                "low": low,
                "high": high,
                "target": target,
                "verdict": gap_verdict(low, high, lower_is_better=metric in LOWER_IS_BETTER),
            }
        )
    return found


def bounds(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """The 95 % percentile interval of replicates, None when none is defined.

    >>> bounds([None, 2.0, 2.0]), bounds([None])
    ((2.0, 2.0), (None, None))
    """
    defined = [value for value in values if value is not None]
    if not defined:
        return None, None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def roc_curve(
    scores: npt.NDArray[Any], labels: npt.NDArray[Any], weights: npt.NDArray[Any], fpr: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """True-positive rate at given false-positive rates, rows weighted; ties go together.

    >>> roc_curve(np.array([0.9, 0.4, 0.2]), np.array([1, 0, 1]), np.ones(3), np.array([0.0, 0.5, 1.0])).tolist()
    [0.5, 0.75, 1.0]
    """
    order = np.argsort(-scores, kind="stable")
    s, y, w = scores[order], labels[order], weights[order]
    last = np.append(s[1:] != s[:-1], True)
    positive, negative = np.cumsum(w * y)[last], np.cumsum(w * (1 - y))[last]
    x, t = np.append(0.0, negative / negative[-1]), np.append(0.0, positive / positive[-1])
    top = np.append(x[1:] != x[:-1], True)
    tpr: npt.NDArray[np.float64] = np.interp(fpr, x[top], t[top])
    return tpr


def _describe(
    variant: Variant,
    trials: Sequence[Mapping[str, Any]],
    drawn: Sequence[Figures],
    files: Mapping[str, Sequence[Sequence[str]]],
) -> dict[str, Any]:
    limits = {metric: bounds([row[metric] for row in drawn[1:]]) for metric in drawn[0]}
    timing = {
        "latency_p50_ms": [trial["latency"]["p50_ms"] for trial in trials if trial["latency"]],
        "latency_p99_ms": [trial["latency"]["p99_ms"] for trial in trials if trial["latency"]],
        "requests_per_s": [trial["latency"]["requests_per_s"] for trial in trials if trial["latency"]],
        "samples_per_s": [trial["samples_per_s"] for trial in trials],
    }
    means = {name: float(np.median(values)) if values else None for name, values in timing.items()}
    return {
        "name": variant.name,
        "label": variant.label,
        "model": variant.model.name,
        "training": dict(variant.training),
        "settings": variant.plain_settings(),
        "learning_rate": trials[0]["learning_rate"],
        "trials": [dict(trial) for trial in trials],
        "mean": {**drawn[0], **means},
        "std": {name: _spread([trial["test"].get(name) for trial in trials]) for name in drawn[0]},
        "low": {metric: low for metric, (low, _) in limits.items()},
        "high": {metric: high for metric, (_, high) in limits.items()},
        "roc": _roc(files[variant.name][0]),
    }


def _roc(files: Sequence[str]) -> dict[str, list[float]]:
    """ROC of clicks with a band over users, first seed."""
    test = read_predictions(files, Split.TEST, ("user_key", "click", "p_ctr", "weight"))
    keys, row = np.unique(test["user_key"], return_inverse=True)
    fpr = np.linspace(0, 1, _ROC_POINTS)
    rng = np.random.default_rng(0)
    curve = roc_curve(test["p_ctr"], test["click"], test["weight"], fpr)
    draws = [np.bincount(rng.integers(0, len(keys), len(keys)), minlength=len(keys)) for _ in range(_ROC_REPLICATES)]
    bands = np.array([roc_curve(test["p_ctr"], test["click"], test["weight"] * draw[row], fpr) for draw in draws])
    low, high = np.quantile(bands, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    columns = {"fpr": fpr, "tpr": curve, "tpr_low": low, "tpr_high": high}
    return {name: np.round(values, 5).tolist() for name, values in columns.items()}


def _spread(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.std(defined, ddof=1)) if len(defined) > 1 and len(defined) == len(values) else None


def _gap(metric: str, mine: Figures, theirs: Figures) -> float | None:
    name = "policy_roas" if metric == "roi_gain_percent" else metric
    one, other = mine[name], theirs[name]
    if one is None or other is None:
        return None
    return 100 * (one / other - 1) if metric == "roi_gain_percent" and other else one - other
