"""Metrics as mergeable sums and one division: ranking, calibration, policy value, intervals. NumPy only."""

from rosa_ray.metrics.bootstrap import (
    BootstrapConfig,
    Interval,
    Statistic,
    auc_interval,
    auc_statistic,
    interval,
    roi_interval,
    roi_statistic,
)
from rosa_ray.metrics.budget import (
    BUDGET_FRACTIONS,
    SERVED_SHARES,
    ServingCurve,
    random_at_budgets,
    serving_curve,
)
from rosa_ray.metrics.calibration_error import LOGLOSS_EPS, Ece, LogLoss, Pcoc, ReliabilityBin
from rosa_ray.metrics.checks import conversion_weights
from rosa_ray.metrics.evaluation import EVALUATED_COLUMNS, Evaluation, evaluate_policy, evaluate_predictions
from rosa_ray.metrics.off_policy import ESTIMATORS, OffPolicy
from rosa_ray.metrics.permutation import Draws, mean_statistic
from rosa_ray.metrics.ranking import AucHistogram, Gauc, GroupAuc, group_auc, logit_bins, tied_auc
from rosa_ray.metrics.ratio import Ratio, ratio_of_sums, student_quantile
from rosa_ray.metrics.value import (
    SCORE_KINDS,
    PolicyValue,
    ScoreChoice,
    ScoreKind,
    best_roi_policy,
    chosen_score,
    covered_share,
    greedy_policy,
    revenue_index,
    roi_gain,
    score,
    score_revenue,
    uniform_policy,
)
from rosa_ray.metrics.verdict import LEAST_POSITIVES, LEAST_USERS, HeadVerdict, judge_head

__all__ = [
    "BUDGET_FRACTIONS",
    "ESTIMATORS",
    "EVALUATED_COLUMNS",
    "LEAST_POSITIVES",
    "LEAST_USERS",
    "LOGLOSS_EPS",
    "SCORE_KINDS",
    "SERVED_SHARES",
    "AucHistogram",
    "BootstrapConfig",
    "Draws",
    "Ece",
    "Evaluation",
    "Gauc",
    "GroupAuc",
    "HeadVerdict",
    "Interval",
    "LogLoss",
    "OffPolicy",
    "Pcoc",
    "PolicyValue",
    "Ratio",
    "ReliabilityBin",
    "ScoreChoice",
    "ScoreKind",
    "ServingCurve",
    "Statistic",
    "auc_interval",
    "auc_statistic",
    "best_roi_policy",
    "chosen_score",
    "conversion_weights",
    "covered_share",
    "evaluate_policy",
    "evaluate_predictions",
    "greedy_policy",
    "group_auc",
    "interval",
    "judge_head",
    "logit_bins",
    "mean_statistic",
    "random_at_budgets",
    "ratio_of_sums",
    "revenue_index",
    "roi_gain",
    "roi_interval",
    "roi_statistic",
    "score",
    "score_revenue",
    "serving_curve",
    "student_quantile",
    "tied_auc",
    "uniform_policy",
]
