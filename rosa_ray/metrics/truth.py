"""Metrics against true probabilities, which a simulator knows and no log holds; marked by a star, as in AUC*.

A sampled click says little about its probability. Here every row counts twice: as a positive with weight p*, its true
probability, and as a negative with weight 1 - p*. That is what the sampled metric estimates, without the noise of the
sampling, so gaps of thousandths between models become visible.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.bootstrap import Statistic
from rosa_ray.metrics.calibration_error import LOGLOSS_EPS
from rosa_ray.metrics.checks import as_amounts, as_keys, as_not_negative, as_probabilities, require_same_length
from rosa_ray.metrics.ranking import tied_auc


def soft_auc(scores: npt.ArrayLike, positives: npt.ArrayLike, negatives: npt.ArrayLike) -> float | None:
    """Return the exact AUC of rows that are positive and negative in part; ties count half, a row with itself too.

    Args:
        scores: finite, of any scale, (n,).
        positives, negatives: weight of each row as a positive and as a negative, >= 0, (n,).

    Returns:
        The area in [0, 1], None when one of the two weighs nothing.

    >>> soft_auc([0.2, 0.6], [0.25, 0.75], [0.75, 0.25])
    0.75
    """
    s, won, lost = (
        as_amounts("scores", scores),
        as_not_negative("positives", positives),
        as_not_negative("negatives", negatives),
    )
    require_same_length(scores=s, positives=won, negatives=lost)
    levels, level = np.unique(s, return_inverse=True)
    return tied_auc(np.bincount(level, won, levels.size), np.bincount(level, lost, levels.size))


def excess_logloss(probabilities: npt.ArrayLike, truth: npt.ArrayLike) -> Floats:
    """Return by how much a prediction's expected log loss is above that of the truth, in nats, >= 0, (n,).

    It is the Kullback-Leibler divergence of the prediction from the truth. Both are clipped as log loss clips.

    >>> excess_logloss([0.5, 0.25], [0.5, 0.5]).round(4).tolist()
    [0.0, 0.1438]
    """
    p, t = as_probabilities("probabilities", probabilities), as_probabilities("truth", truth)
    require_same_length(probabilities=p, truth=t)
    q, r = (np.clip(values, LOGLOSS_EPS, 1 - LOGLOSS_EPS) for values in (p, t))
    above: Floats = r * np.log(r / q) + (1 - r) * np.log((1 - r) / (1 - q))
    return above


@dataclass(eq=False)
class TrueHead:
    """One probability head against the truth: AUC*, the AUC* of the truth itself, KL* and PCOC*.

    The AUC is exact, so the state keeps its rows; states of different rows merge by putting these together.

    >>> head = TrueHead().update([0.2, 0.6], [0.25, 0.75])
    >>> head.auc(), head.ceiling(), head.pcoc()
    (0.75, 0.75, 0.8)
    """

    scores: list[Floats] = field(default_factory=list)
    truths: list[Floats] = field(default_factory=list)
    weights: list[Floats] = field(default_factory=list)

    def update(
        self, probabilities: npt.ArrayLike, truth: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> "TrueHead":
        """Add n rows: probabilities and true ones in [0, 1], weights >= 0 (1 by default), each (n,)."""
        p, t = as_probabilities("probabilities", probabilities), as_probabilities("truth", truth)
        w = np.ones(t.size) if weights is None else as_not_negative("weight", weights)
        require_same_length(probabilities=p, truth=t, weight=w)
        self.scores.append(p)
        self.truths.append(t)
        self.weights.append(w)
        return self

    def merge(self, other: "TrueHead") -> "TrueHead":
        """Add the rows of another worker."""
        self.scores += other.scores
        self.truths += other.truths
        self.weights += other.weights
        return self

    def auc(self) -> float | None:
        """Return the AUC* in [0, 1], None when nothing can be positive or nothing negative."""
        p, t, w = self._rows()
        return soft_auc(p, w * t, w * (1 - t))

    def ceiling(self) -> float | None:
        """Return the AUC* of the true probabilities: no model can have more, but by luck of ties."""
        _, t, w = self._rows()
        return soft_auc(t, w * t, w * (1 - t))

    def excess_logloss(self) -> float | None:
        """Return KL*, the mean of `excess_logloss` over the rows, in nats; None without rows."""
        p, t, w = self._rows()
        total = float(w.sum())
        return float(w @ excess_logloss(p, t)) / total if total else None

    def pcoc(self) -> float | None:
        """Return the sum of predictions over the sum of true probabilities; None when that is 0."""
        p, t, w = self._rows()
        expected = float(w @ t)
        return float(w @ p) / expected if expected else None

    def compute(self, prefix: str = "") -> dict[str, float | None]:
        """Return all four as `true_…`, with `prefix` before the name of the metric, such as `cvr_`."""
        return {
            f"true_{prefix}auc": self.auc(),
            f"true_{prefix}auc_ceiling": self.ceiling(),
            f"true_{prefix}excess_logloss": self.excess_logloss(),
            f"true_{prefix}pcoc": self.pcoc(),
        }

    def _rows(self) -> tuple[Floats, Floats, Floats]:
        p, t, w = (np.concatenate([np.empty(0), *parts]) for parts in (self.scores, self.truths, self.weights))
        return p, t, w


def soft_auc_statistic(
    scores: npt.ArrayLike, positives: npt.ArrayLike, negatives: npt.ArrayLike, user_key: npt.ArrayLike
) -> tuple[Statistic, int]:
    """Return `soft_auc` as a statistic of drawn users, and the number of users. All arrays have shape (n,).

    With every user drawn once it is exact. Else it is exact to the first order in how often each user was drawn, as
    the variance of DeLong et al. 1988 is: a draw costs one product over users, however many rows these have.

    >>> statistic, _ = soft_auc_statistic([0.2, 0.6], [0.25, 0.75], [0.75, 0.25], [7, 8])
    >>> statistic(np.ones(2, np.int64))
    0.75
    """
    s, keys = as_amounts("scores", scores), as_keys("user_key", user_key)
    won, lost = as_not_negative("positives", positives), as_not_negative("negatives", negatives)
    require_same_length(scores=s, positives=won, negatives=lost, user_key=keys)
    users, user = np.unique(keys, return_inverse=True)
    auc, pairs = soft_auc(s, won, lost), float(won.sum()) * float(lost.sum())
    if auc is None:
        return (lambda drawn: None), users.size
    shares = _pairs_won(s, won, lost) - auc * (won * float(lost.sum()) + lost * float(won.sum()))
    pull = np.bincount(user, shares, users.size) / pairs

    def statistic(drawn: Ints) -> float | None:
        times = float(drawn.sum())
        return auc + float((drawn * (users.size / times) - 1) @ pull) if times else None

    return statistic, users.size


def _pairs_won(scores: Floats, won: Floats, lost: Floats) -> Floats:
    """Return the weight of the pairs in the right order that each row is part of, on either side, ties half, (n,)."""
    levels, level = np.unique(scores, return_inverse=True)
    positives, negatives = (np.bincount(level, side, levels.size) for side in (won, lost))
    below = np.cumsum(negatives) - negatives / 2
    above = positives.sum() - np.cumsum(positives) + positives / 2
    pairs: Floats = won * below[level] + lost * above[level]
    return pairs
