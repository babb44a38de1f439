"""All metrics of one prediction table, as one mergeable state, and the value of the policy behind it."""

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from rosa_ray.arrays import Columns
from rosa_ray.metrics.calibration_error import Ece, LogLoss, Pcoc
from rosa_ray.metrics.checks import as_labels, as_not_negative, as_probabilities, as_weights, conversion_weights
from rosa_ray.metrics.ranking import AucHistogram, Gauc
from rosa_ray.metrics.scores import Ranking
from rosa_ray.metrics.value import PolicyValue, best_roi_policy, covered_share, greedy_policy, uniform_policy
from rosa_ray.words import one_class_reason

EVALUATED_COLUMNS = (
    "user_key",
    "request_key",
    "p_ctr",
    "p_cvr",
    "p_ctcvr",
    "value",
    "expected_cost",
    "click",
    "conversion",
    "revenue",
    "cost",
)


@dataclass
class HeadMetrics:
    """Ranking and calibration of one probability head: CTR, CVR (clicked rows only) or CTCVR."""

    auc: AucHistogram = field(default_factory=AucHistogram)
    logloss: LogLoss = field(default_factory=LogLoss)
    pcoc: Pcoc = field(default_factory=Pcoc)
    ece: Ece = field(default_factory=Ece)

    def update(
        self, probabilities: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> "HeadMetrics":
        """Add n rows of probabilities in [0, 1], labels in {0, 1} and weights > 0 (1 by default)."""
        for metric in (self.auc, self.logloss, self.pcoc, self.ece):
            metric.update(probabilities, labels, weights)
        return self

    def merge(self, other: "HeadMetrics") -> "HeadMetrics":
        """Add the sums of another worker."""
        self.auc.merge(other.auc)
        self.logloss.merge(other.logloss)
        self.pcoc.merge(other.pcoc)
        self.ece.merge(other.ece)
        return self

    def compute(self, prefix: str) -> dict[str, float | None]:
        """Return the metrics under `prefix` (empty for CTR, whose metrics have no prefix)."""
        return {
            f"{prefix}auc": self.auc.compute(),
            f"{prefix}logloss": self.logloss.compute(),
            f"{prefix}normalised_entropy": self.logloss.normalised_entropy(),
            f"{prefix}pcoc": self.pcoc.compute(),
            f"{prefix}ece": self.ece.compute(),
        }

    def undefined(self, prefix: str, row: str, positive: str) -> dict[str, str]:
        """Return the metrics without a value, each with the reason; for the words see `one_class_reason`."""
        reason = one_class_reason(self.logloss.rows, self.logloss.positives, row, positive)
        return {name: reason for name, value in self.compute(prefix).items() if value is None and reason}


@dataclass
class Evaluation:
    """The metrics of one model that need no other model to compare with.

    Each worker adds its own users; the driver merges the sums and computes.
    """

    ctr: HeadMetrics = field(default_factory=HeadMetrics)
    cvr: HeadMetrics = field(default_factory=HeadMetrics)
    ctcvr: HeadMetrics = field(default_factory=HeadMetrics)
    gauc: Gauc = field(default_factory=Gauc)
    request_gauc: Gauc = field(default_factory=Gauc)
    revenue: Pcoc = field(default_factory=Pcoc)
    cost: Pcoc = field(default_factory=Pcoc)
    unknown: int = 0

    def update(self, columns: Columns) -> "Evaluation":
        """Add labelled impressions; all rows of a user must come in one update.

        Args:
            columns: `EVALUATED_COLUMNS`, `weight`, how many impressions each row stands for, and `conversion_weight`,
                how much of that in all about conversions; 1 without them. Rows without conversion weight are left out
                there.

        Raises:
            ValueError: a column is missing, or holds NaN or a value out of range; the message names it.
        """
        missing = [name for name in EVALUATED_COLUMNS if name not in columns]
        if missing:
            raise ValueError(f"predictions lack columns {', '.join(missing)}; found {', '.join(columns) or 'none'}")
        click, conversion = as_labels("click", columns["click"]), as_labels("conversion", columns["conversion"])
        p_ctr, p_cvr = as_probabilities("p_ctr", columns["p_ctr"]), as_probabilities("p_cvr", columns["p_cvr"])
        p_ctcvr = as_probabilities("p_ctcvr", columns["p_ctcvr"])
        weight, bought = as_weights(columns.get("weight"), click.size), conversion_weights(columns, click.size)
        known = bought > 0
        self.unknown += int((~known).sum())
        clicked = known & (click == 1)
        self.ctr.update(p_ctr, click, weight)
        self.cvr.update(p_cvr[clicked], conversion[clicked], bought[clicked])
        self.ctcvr.update(p_ctcvr[known], (click * conversion)[known], bought[known])
        self.gauc.update(columns["user_key"], p_ctr, click, weight)
        self.request_gauc.update(columns["request_key"], p_ctr, click, weight)
        expected = p_ctcvr * as_not_negative("value", columns["value"])
        self.revenue.update(expected[known], columns["revenue"][known], bought[known])
        self.cost.update(columns["expected_cost"], columns["cost"], weight)
        return self

    def merge(self, other: "Evaluation") -> "Evaluation":
        """Add the sums of another worker, which saw other users."""
        self.ctr.merge(other.ctr)
        self.cvr.merge(other.cvr)
        self.ctcvr.merge(other.ctcvr)
        self.gauc.merge(other.gauc)
        self.request_gauc.merge(other.request_gauc)
        self.revenue.merge(other.revenue)
        self.cost.merge(other.cost)
        self.unknown += other.unknown
        return self

    def compute(self) -> dict[str, Any]:
        """Return all metrics, ready for JSON; None where a metric is undefined.

        `n`, `clicks`, `conversions` and `unknown_conversions`, too young to know, are rows. All else is of the
        impressions that they stand for, `weight` of them.
        """
        rows, clicks = self.ctr.logloss.rows, self.ctr.logloss.positives
        shown, clicked = self.ctr.logloss.weight, self.ctr.logloss.positive_weight
        bought = self.ctcvr.logloss.positive_weight
        final_shown, final_clicked = self.ctcvr.logloss.weight, self.cvr.logloss.weight
        return {
            "n": rows,
            "clicks": clicks,
            "conversions": self.ctcvr.logloss.positives,
            "unknown_conversions": self.unknown,
            "weight": shown,
            "ctr": clicked / shown if rows else None,
            "cvr": bought / final_clicked if final_clicked else None,
            "ctcvr": bought / final_shown if final_shown else None,
            **self.ctr.compute(""),
            **self.cvr.compute("cvr_"),
            **self.ctcvr.compute("ctcvr_"),
            "ece_binning": f"{self.ctr.ece.binning}_{self.ctr.ece.bins}",
            "gauc": self.gauc.compute(),
            "gauc_weight": self.gauc.weight,
            "gauc_users": self.gauc.groups,
            "gauc_users_excluded": self.gauc.excluded,
            "request_gauc": self.request_gauc.compute(),
            "revenue_pcoc": self.revenue.compute(),
            "cost_pcoc": self.cost.compute(),
        }

    def undefined(self) -> dict[str, str]:
        """Return the metrics that `compute` gives as None, each with the reason."""
        shown, clicked = ("final impression", "final click") if self.unknown else ("impression", "click")
        reasons = {
            "ctr": "no impression",
            "cvr": f"no {clicked}",
            "ctcvr": f"no {shown}",
            **self.ctr.undefined("", "impression", "click"),
            **self.cvr.undefined("cvr_", clicked, "conversion"),
            **self.ctcvr.undefined("ctcvr_", shown, "conversion"),
            "gauc": "no user with both a click and an impression without one",
            "request_gauc": "no request with both a click and an impression without one",
            "revenue_pcoc": "no revenue",
            "cost_pcoc": "no cost",
        }
        found = self.compute()
        return {name: reason for name, reason in reasons.items() if found[name] is None}


def evaluate_predictions(columns: Columns) -> dict[str, Any]:
    """Return the metrics of one table of labelled impressions; see `Evaluation`.

    >>> import numpy as np
    >>> zeros, half = np.zeros(2), np.full(2, 0.5)
    >>> table = {"user_key": np.array([1, 1]), "request_key": np.array([1, 1]), "p_ctr": np.array([0.2, 0.8]),
    ...          "p_cvr": half, "p_ctcvr": np.array([0.1, 0.4]), "value": half, "expected_cost": half,
    ...          "click": np.array([0, 1]), "conversion": zeros, "revenue": zeros, "cost": half}
    >>> metrics = evaluate_predictions(table)
    >>> metrics["auc"], metrics["gauc"], metrics["cvr_auc"], metrics["pcoc"]
    (1.0, 1.0, None, 1.0)
    """
    return Evaluation().update(columns).compute()


def evaluate_policy(ranking: Ranking, predictions: Columns, truth: Columns) -> dict[str, Any]:
    """Return the exact value of ranking by the predictions, beside random, the oracle and the best ROI there is.

    Args:
        ranking: the score both the policy (on predictions) and the oracle (on the truth) rank by.
        predictions: request_key, impression_key, p_ctr, p_cvr, value, expected_cost of every candidate, shape (n,).
        truth: expected_revenue and expected_cost of the same rows, shape (n,).

    Returns:
        `policy_roi`, `random_policy_roi`, `oracle_policy_roi`, `best_policy_roi`, `policy_roi_share` (of the distance
        from random to the oracle), and under `policies` the sums of each.
    """
    requests, ties = predictions["request_key"], predictions["impression_key"]
    revenue, cost = truth["expected_revenue"], truth["expected_cost"]
    names = ("p_ctr", "p_cvr", "value", "expected_cost")
    policies = {
        "policy": greedy_policy(ranking.score(*(predictions[name] for name in names)), requests, ties),
        "random": uniform_policy(requests),
        "oracle": greedy_policy(ranking.of_truth.of_revenue(revenue, cost), requests, ties),
        "best": best_roi_policy(revenue, cost, requests, ties),
    }
    values = {name: PolicyValue().update(policy, revenue, cost) for name, policy in policies.items()}
    return {
        "policy_roi": values["policy"].roi,
        "random_policy_roi": values["random"].roi,
        "oracle_policy_roi": values["oracle"].roi,
        "best_policy_roi": values["best"].roi,
        "policy_roi_share": covered_share(values["policy"].roi, values["random"].roi, values["oracle"].roi),
        "score_kind": ranking.kind,
        "score_theta": ranking.theta,
        "score_level": ranking.level,
        "policies": {name: value.compute() for name, value in values.items()},
    }
