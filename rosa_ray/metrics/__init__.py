"""Metrics as mergeable sums and one division: ranking, calibration, policy value, intervals. NumPy only."""

from rosa_ray.metrics.bootstrap import (
    BootstrapConfig,
    Interval,
    auc_interval,
    auc_statistic,
    interval,
    roi_interval,
    roi_statistic,
)
from rosa_ray.metrics.calibration import LOGLOSS_EPS, Ece, LogLoss, Pcoc, ReliabilityBin
from rosa_ray.metrics.evaluation import EVALUATED_COLUMNS, Evaluation, evaluate_policy, evaluate_predictions
from rosa_ray.metrics.ranking import AucHistogram, Gauc, GroupAuc, group_auc, tied_auc
from rosa_ray.metrics.value import (
    SCORE_KINDS,
    PolicyValue,
    ScoreKind,
    best_roi_policy,
    covered_share,
    greedy_policy,
    revenue_index,
    roi_gain,
    score,
    score_revenue,
    uniform_policy,
)

__all__ = [
    "EVALUATED_COLUMNS",
    "LOGLOSS_EPS",
    "SCORE_KINDS",
    "AucHistogram",
    "BootstrapConfig",
    "Ece",
    "Evaluation",
    "Gauc",
    "GroupAuc",
    "Interval",
    "LogLoss",
    "Pcoc",
    "PolicyValue",
    "ReliabilityBin",
    "ScoreKind",
    "auc_interval",
    "auc_statistic",
    "best_roi_policy",
    "covered_share",
    "evaluate_policy",
    "evaluate_predictions",
    "greedy_policy",
    "group_auc",
    "interval",
    "revenue_index",
    "roi_gain",
    "roi_interval",
    "roi_statistic",
    "score",
    "score_revenue",
    "tied_auc",
    "uniform_policy",
]
