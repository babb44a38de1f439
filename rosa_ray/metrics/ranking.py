"""Ranking quality: AUC over all rows from a mergeable histogram, and exact AUC within users or requests.

Each metric is a state of sums: workers `update` their own, the driver `merge`s them and `compute` divides once.
A metric that has no value (one class only, no rows) is None, never 0.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.checks import as_amounts, as_keys, as_labels, as_probabilities, require_same_length

LOGIT_BINS = 65_536
LOGIT_LIMIT = 16.0
"""Bins split the logits -16 … 16 (probabilities 1.1e-7 … 1 - 1.1e-7) evenly; the end bins take what lies beyond."""

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
    """Area under the ROC curve from counts per logit bin: no sort, bit-identical in any order of merging.

    Rows of one bin (4.9e-4 logits wide) count as ties, that is half. On scores of ordinary spread this moves the
    area by about 1e-7. Scores beyond ±16 logits are ties of the end bin.

    >>> AucHistogram().update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).compute()
    0.75
    """

    positives: Ints = field(default_factory=lambda: np.zeros(LOGIT_BINS, np.int64))
    negatives: Ints = field(default_factory=lambda: np.zeros(LOGIT_BINS, np.int64))

    def update(self, probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> "AucHistogram":
        """Count n rows: probabilities in [0, 1] and labels in {0, 1}, both of shape (n,)."""
        p, y = as_probabilities("probabilities", probabilities), as_labels("labels", labels)
        require_same_length(probabilities=p, labels=y)
        bins = logit_bins(p)
        self.positives += np.bincount(bins[y == 1], minlength=LOGIT_BINS)
        self.negatives += np.bincount(bins[y == 0], minlength=LOGIT_BINS)
        return self

    def merge(self, other: "AucHistogram") -> "AucHistogram":
        """Add the counts of another worker."""
        self.positives += other.positives
        self.negatives += other.negatives
        return self

    def compute(self) -> float | None:
        """Return the area in [0, 1], None when a class is absent."""
        return tied_auc(self.positives, self.negatives)


def tied_auc(positives: Ints, negatives: Ints) -> float | None:
    """Return the AUC of counts per score level, levels in rising order; pairs of one level count half.

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
        impressions: rows of the group.
        clicks: positive rows of the group.
    """

    keys: Ints
    auc: Floats
    impressions: Ints
    clicks: Ints


def group_auc(keys: npt.ArrayLike, scores: npt.ArrayLike, labels: npt.ArrayLike) -> GroupAuc:
    """Return the rank AUC within every group from one sort of all rows; ties count half.

    Args:
        keys: integer group key of each row (user_key or request_key), shape (n,).
        scores: finite scores of any scale, shape (n,).
        labels: 0 or 1, shape (n,).

    >>> group_auc([7, 7, 9, 9, 9], [0.2, 0.8, 0.5, 0.5, 0.1], [0, 1, 1, 0, 0]).auc.tolist()
    [1.0, 0.75]
    """
    k, s, y = as_keys("keys", keys), as_amounts("scores", scores), as_labels("labels", labels)
    require_same_length(keys=k, scores=s, labels=y)
    order = np.lexsort((s, k))
    k, s, y = k[order], s[order], y[order]
    opens = np.ones(k.size, dtype=bool)
    opens[1:] = k[1:] != k[:-1]
    starts, group = np.flatnonzero(opens), np.cumsum(opens) - 1
    impressions, clicks = np.bincount(group, minlength=starts.size), np.bincount(group[y == 1], minlength=starts.size)
    ranks = _tied_positions(opens, s) - starts[group] + 1
    rank_sum = np.bincount(group, weights=ranks * y, minlength=starts.size)
    pairs = (clicks * (impressions - clicks)).astype(np.float64)
    wins = rank_sum - clicks * (clicks + 1) / 2
    auc = np.divide(wins, pairs, out=np.full(starts.size, np.nan), where=pairs > 0)
    return GroupAuc(k[starts], auc, impressions, clicks)


def _tied_positions(opens: npt.NDArray[np.bool_], sorted_scores: Floats) -> Floats:
    """Return the position of each sorted row, the mean position where rows of a group tie."""
    levels = opens.copy()
    levels[1:] |= sorted_scores[1:] != sorted_scores[:-1]
    starts = np.flatnonzero(levels)
    ends = np.append(starts[1:], opens.size)
    return np.repeat((starts + ends - 1) / 2, ends - starts)


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
    weight_sum: int = 0
    groups: int = 0
    excluded: int = 0

    def update(self, keys: npt.ArrayLike, scores: npt.ArrayLike, labels: npt.ArrayLike) -> "Gauc":
        """Add all rows of some groups; see `group_auc` for the arguments."""
        result = group_auc(keys, scores, labels)
        defined = ~np.isnan(result.auc)
        weights = {"impressions": result.impressions, "clicks": result.clicks, "equal": np.ones_like(result.clicks)}
        chosen = weights[self.weight][defined]
        self.weighted_sum += float(result.auc[defined] @ chosen)
        self.weight_sum += int(chosen.sum())
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
