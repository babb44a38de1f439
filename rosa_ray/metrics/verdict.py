"""Is a head better than its base rate? Log loss and ranking with intervals over users, and a verdict in words.

The base rate is that of the training period: what one number, known before the test, would have cost. A head is better
when both intervals say so: its log loss is below that number's, and its AUC is above one half. Log loss alone can fall
with the general level, which needs no model; AUC alone says nothing about the probabilities.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.bootstrap import BootstrapConfig, Interval, Statistic, auc_statistic, interval
from rosa_ray.metrics.calibration_error import LOGLOSS_EPS
from rosa_ray.metrics.checks import as_keys, as_labels, as_probabilities, as_weights, require_same_length
from rosa_ray.metrics.ranking import logit_bins
from rosa_ray.words import counted, one_class_reason

LEAST_POSITIVES, LEAST_USERS = 10, 10
"""With fewer, an interval over users is too narrow to call a head better: one user alone has none at all."""

Finding = Literal["better", "no better", "undefined"]


@dataclass(frozen=True)
class HeadVerdict:
    """One head on the test period, against its base rate of the training period.

    Attributes:
        base_rate: in [0, 1].
        rows, positives: of the test period, each counted once, whatever it stands for.
        normalised_entropy: log loss over that of the base rate, below 1 is better; None where undefined.
        auc: of the bins of `AucHistogram`, so that it is the `auc` of the metrics; None where undefined.
        finding: whether the head is better than its base rate.
        words: one sentence for a person.
    """

    base_rate: float
    rows: int
    positives: int
    normalised_entropy: Interval | None
    auc: Interval | None
    finding: Finding
    words: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def judge_head(
    name: str,
    nouns: tuple[str, str],
    base_rate: float,
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    user_key: npt.ArrayLike,
    config: BootstrapConfig,
    weights: npt.ArrayLike | None = None,
) -> HeadVerdict:
    """Return the verdict on one head.

    Args:
        name: of the head, opens the sentence.
        nouns: a row and a positive one, in the singular, such as "impression" and "click".
        base_rate: positives per row of the training period.
        probabilities, labels, user_key: of the test rows, each (n,).
        weights: how many rows each stands for, (n,); None is 1.

    >>> users, clicks = np.arange(400), np.arange(400) % 4 == 0
    >>> fit = BootstrapConfig(replicates=50)
    >>> judge_head("clicks", ("impression", "click"), 0.25, np.where(clicks, 0.6, 0.2), clicks, users, fit).finding
    'better'
    >>> judge_head("clicks", ("impression", "click"), 0.25, np.full(400, 0.3), clicks, users, fit).finding
    'no better'
    """
    p, y, keys = (
        as_probabilities("probabilities", probabilities),
        as_labels("labels", labels),
        as_keys("keys", user_key),
    )
    require_same_length(probabilities=p, labels=y, user_key=keys)
    rows, positives, w = y.size, int(y.sum()), as_weights(weights, y.size)
    reason = one_class_reason(rows, positives, *nouns) or (
        None if 0 < base_rate < 1 else f"the training period has {'no' if base_rate <= 0 else 'only'} {nouns[1]}s"
    )
    entropy = None if reason else interval(*_entropy_statistic(p, y, keys, base_rate, w), config)
    auc = None if reason else interval(*auc_statistic(logit_bins(p), y, keys, w), config)
    if entropy is None or auc is None:
        words = f"{name}: no verdict, {reason or 'too few users'}"
        return HeadVerdict(base_rate, rows, positives, None, None, "undefined", words)
    few = _too_few(positives, nouns[1], len(np.unique(keys)))
    lower, ranks = entropy.high < 1, auc.low > 0.5
    finding: Finding = "better" if lower and ranks and not few else "no better"
    words = f"{name}: {_claim(lower, ranks, few)}; {_figures(entropy, auc)}"
    return HeadVerdict(base_rate, rows, positives, entropy, auc, finding, words)


def _entropy_statistic(p: Floats, y: Ints, keys: Ints, base_rate: float, w: Floats) -> tuple[Statistic, int]:
    """Log loss over that of the base rate, as a statistic of drawn users, and the number of users."""
    users, user = np.unique(keys, return_inverse=True)
    clipped = np.clip(p, LOGLOSS_EPS, 1 - LOGLOSS_EPS)
    likelihoods = (
        np.where(y == 1, np.log(clipped), np.log1p(-clipped)),
        np.where(y == 1, np.log(base_rate), np.log1p(-base_rate)),
    )
    of_user, base_of_user = (np.bincount(user, weights=w * values, minlength=users.size) for values in likelihoods)

    def statistic(drawn: Ints) -> float | None:
        return float(drawn @ of_user) / float(drawn @ base_of_user)

    return statistic, users.size


def _too_few(positives: int, positive: str, users: int) -> str | None:
    """What there is too little of for an interval to be trusted, in words."""
    if users < LEAST_USERS:
        return counted(users, "user")
    return counted(positives, positive) if positives < LEAST_POSITIVES else None


def _claim(lower: bool, ranks: bool, few: str | None) -> str:
    claim = "no better than the base rate"
    if few and (lower or ranks):
        return f"{claim} as far as {few} can tell"
    if lower:
        return "better than the base rate" if ranks else f"{claim} at ranking; only the general level is closer"
    return f"{claim} in log loss, though it ranks better than chance" if ranks else claim


def _figures(entropy: Interval, auc: Interval) -> str:
    return (
        f"log loss {entropy.estimate:.3f} of the base rate's (95 %: {entropy.low:.3f} to {entropy.high:.3f}), "
        f"AUC {auc.estimate:.3f} ({auc.low:.3f} to {auc.high:.3f})"
    )
