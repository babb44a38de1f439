"""Metrics as mergeable sums and one division: ranking, calibration, policy value, intervals. NumPy only."""

from rosa_ray.metrics.bootstrap import (
    BootstrapConfig,
    Interval,
    Statistic,
    auc_interval,
    auc_statistic,
    gap_statistic,
    interval,
    pcoc_interval,
    ratio_statistic,
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
from rosa_ray.metrics.frontier import THETAS, Frontier
from rosa_ray.metrics.off_policy import ESTIMATORS, OffPolicy
from rosa_ray.metrics.permutation import Draws, mean_statistic
from rosa_ray.metrics.ranking import AucHistogram, Gauc, GroupAuc, group_auc, logit_bins, tied_auc
from rosa_ray.metrics.ratio import Ratio, ratio_of_sums, student_quantile
from rosa_ray.metrics.scores import SCORE_KINDS, Ranking, ScoreChoice, ScoreKind, chosen_score
from rosa_ray.metrics.spread import Spread, fit_spread, respread
from rosa_ray.metrics.truth import TrueHead, excess_logloss, soft_auc, soft_auc_statistic
from rosa_ray.metrics.value import (
    PolicyValue,
    best_roi_policy,
    covered_share,
    greedy_policy,
    revenue_index,
    roi_gain,
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
    "THETAS",
    "AucHistogram",
    "BootstrapConfig",
    "Draws",
    "Ece",
    "Evaluation",
    "Frontier",
    "Gauc",
    "GroupAuc",
    "HeadVerdict",
    "Interval",
    "LogLoss",
    "OffPolicy",
    "Pcoc",
    "PolicyValue",
    "Ranking",
    "Ratio",
    "ReliabilityBin",
    "ScoreChoice",
    "ScoreKind",
    "ServingCurve",
    "Spread",
    "Statistic",
    "TrueHead",
    "auc_interval",
    "auc_statistic",
    "best_roi_policy",
    "chosen_score",
    "conversion_weights",
    "covered_share",
    "evaluate_policy",
    "evaluate_predictions",
    "excess_logloss",
    "fit_spread",
    "gap_statistic",
    "greedy_policy",
    "group_auc",
    "interval",
    "judge_head",
    "logit_bins",
    "mean_statistic",
    "pcoc_interval",
    "random_at_budgets",
    "ratio_of_sums",
    "ratio_statistic",
    "respread",
    "revenue_index",
    "roi_gain",
    "roi_interval",
    "roi_statistic",
    "serving_curve",
    "soft_auc",
    "soft_auc_statistic",
    "student_quantile",
    "tied_auc",
    "uniform_policy",
]
