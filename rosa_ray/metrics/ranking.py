"""Ranking quality: AUC over all rows from a mergeable histogram, and exact AUC within users or requests.

Each metric is a state of sums: workers `update` their own, the driver `merge`s them and `compute` divides once.
A metric that has no value (one class only, no rows) is None, never 0.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.checks import as_amounts, as_keys, as_labels, as_probabilities, as_weights, require_same_length

LOGIT_BINS = 65_536
LOGIT_LIMIT = 16.0
"""Bins split the logits -16 … 16 (probabilities 1.1e-7 … 1 - 1.1e-7) evenly; the end bins take what lies beyond."""

Counts = Ints | Floats
GroupWeight = Literal["impressions", "clicks", "equal"]


def logit_bins(probabilities: Floats) -> Ints:
    """Return the histogram bin, 0 … 65,535, of each probability's logit.

    >>> logit_bins(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 32768, 65535]
    """
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    bins = np.floor((logits + LOGIT_LIMIT) * (LOGIT_BINS / (2 * LOGIT_LIMIT)))
    return np.clip(bins, 0, LOGIT_BINS - 1).astype(np.int64)


@dataclass(eq=False)
class AucHistogram:
    """Area under the ROC curve from counts per logit bin: no sort, and with whole weights bit-identical in any order.

    Rows of one bin (4.9e-4 logits wide) count as ties, that is half. On scores of ordinary spread this moves the
    area by about 1e-7. Scores beyond ±16 logits are ties of the end bin.

    >>> AucHistogram().update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).compute()
    0.75
    """

    positives: Floats = field(default_factory=lambda: np.zeros(LOGIT_BINS))
    negatives: Floats = field(default_factory=lambda: np.zeros(LOGIT_BINS))

    def update(
        self, probabilities: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> "AucHistogram":
        """Count n rows: probabilities in [0, 1], labels in {0, 1} and weights > 0 (1 by default), each (n,)."""
        p, y = as_probabilities("probabilities", probabilities), as_labels("labels", labels)
        require_same_length(probabilities=p, labels=y)
        bins, w, positive = logit_bins(p), as_weights(weights, y.size), y == 1
        self.positives += np.bincount(bins[positive], w[positive], LOGIT_BINS)
        self.negatives += np.bincount(bins[~positive], w[~positive], LOGIT_BINS)
        return self

    def merge(self, other: "AucHistogram") -> "AucHistogram":
        """Add the counts of another worker."""
        self.positives += other.positives
        self.negatives += other.negatives
        return self

    def compute(self) -> float | None:
        """Return the area in [0, 1], None when a class is absent."""
        return tied_auc(self.positives, self.negatives)


def tied_auc(positives: Counts, negatives: Counts) -> float | None:
    """Return the AUC of counts, or of weights, per score level, levels in rising order; pairs of one level count half.

    >>> tied_auc(np.array([0, 1]), np.array([1, 1]))
    0.75
    """
    pairs = float(positives.sum()) * float(negatives.sum())
    if pairs == 0:
        return None
    twice_below = 2 * np.cumsum(negatives) - negatives
    return float((positives.astype(np.float64) @ twice_below) / (2 * pairs))


@dataclass(frozen=True)
class GroupAuc:
    """Exact AUC of every group, groups in rising order of key. All arrays have shape (groups,).

    Attributes:
        auc: in [0, 1], NaN for a group with one class.
        impressions: how many rows the group stands for.
        clicks: likewise of its positive rows.
    """

    keys: Ints
    auc: Floats
    impressions: Floats
    clicks: Floats


def group_auc(
    keys: npt.ArrayLike, scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> GroupAuc:
    """Return the rank AUC within every group from one sort of all rows; ties count half.

    Args:
        keys: integer group key of each row (user_key or request_key), shape (n,).
        scores: finite scores of any scale, shape (n,).
        labels: 0 or 1, shape (n,).
        weights: how many rows each stands for, above 0, shape (n,); None is 1.

    >>> group_auc([7, 7, 9, 9, 9], [0.2, 0.8, 0.5, 0.5, 0.1], [0, 1, 1, 0, 0]).auc.tolist()
    [1.0, 0.75]
    """
    k, s, y = as_keys("keys", keys), as_amounts("scores", scores), as_labels("labels", labels)
    require_same_length(keys=k, scores=s, labels=y)
    w, order = as_weights(weights, y.size), np.lexsort((s, k))
    k, s, y, w = k[order], s[order], y[order], w[order]
    opens = np.ones(k.size, dtype=bool)
    opens[1:] = k[1:] != k[:-1]
    starts, group = np.flatnonzero(opens), np.cumsum(opens) - 1
    won, lost = w * y, w * (1 - y)
    clicks, others = (_sum_by(group, side, starts.size) for side in (won, lost))
    level = _levels(opens, s)
    wins = _sum_by(group, won * _passed(group, level, lost), starts.size)
    pairs = clicks * others
    auc = np.divide(wins, pairs, out=np.full(starts.size, np.nan), where=pairs > 0)
    return GroupAuc(k[starts], np.clip(auc, 0.0, 1.0), clicks + others, clicks)


def _levels(opens: npt.NDArray[np.bool_], sorted_scores: Floats) -> Ints:
    """Return the number of each sorted row's level, which rows of a group with one score share."""
    levels = opens.copy()
    levels[1:] |= sorted_scores[1:] != sorted_scores[:-1]
    return np.cumsum(levels) - 1


def _sum_by(group: Ints, values: Floats, groups: int) -> Floats:
    return np.bincount(group, values, groups).astype(np.float64)


def _passed(group: Ints, level: Ints, negatives: Floats) -> Floats:
    """Return the weight of the negatives below each sorted row in its group, and half of those level with it."""
    of_level = np.bincount(level, negatives)
    of_group = np.bincount(group, negatives)
    before = np.cumsum(of_group) - of_group
    return (np.cumsum(of_level) - of_level / 2)[level] - before[group]


@dataclass
class Gauc:
    """Mean of the AUC within groups: with user keys GAUC (Zhou et al. 2018, DIN §6.2), with request keys per request.

    A group must lie whole in one `update` (a user-major row does). Groups with one class have no AUC: they are left
    out of the mean and counted in `excluded`.

    Attributes:
        weight: what a group weighs: its `impressions` (the default), its `clicks`, or `equal`.

    >>> gauc = Gauc().update([7, 7, 9, 9, 9, 3], [0.2, 0.8, 0.5, 0.5, 0.1, 0.9], [0, 1, 1, 0, 0, 1])
    >>> round(gauc.compute(), 4), gauc.groups, gauc.excluded
    (0.85, 2, 1)
    """

    weight: GroupWeight = "impressions"
    weighted_sum: float = 0.0
    weight_sum: float = 0.0
    groups: int = 0
    excluded: int = 0

    def update(
        self, keys: npt.ArrayLike, scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> "Gauc":
        """Add all rows of some groups; see `group_auc` for the arguments."""
        result = group_auc(keys, scores, labels, weights)
        defined = ~np.isnan(result.auc)
        of_groups = {"impressions": result.impressions, "clicks": result.clicks, "equal": np.ones_like(result.clicks)}
        chosen = of_groups[self.weight][defined]
        self.weighted_sum += float(result.auc[defined] @ chosen)
        self.weight_sum += float(chosen.sum())
        self.groups += int(defined.sum())
        self.excluded += int((~defined).sum())
        return self

    def merge(self, other: "Gauc") -> "Gauc":
        """Add the sums of another worker, which saw other groups.

        Raises:
            ValueError: the other state weighs its groups differently.
        """
        if other.weight != self.weight:
            raise ValueError(f"cannot merge GAUC weighted by {other.weight} into GAUC weighted by {self.weight}")
        self.weighted_sum += other.weighted_sum
        self.weight_sum += other.weight_sum
        self.groups += other.groups
        self.excluded += other.excluded
        return self

    def compute(self) -> float | None:
        """Return the weighted mean in [0, 1], None when no group has both classes."""
        return self.weighted_sum / self.weight_sum if self.weight_sum else None
