"""Calibration: how far predicted probabilities and amounts are from what happened. Mergeable sums, one division."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rosa_ray.metrics.checks import as_labels, as_not_negative, as_probabilities, as_weights, require_same_length
from rosa_ray.metrics.ranking import LOGIT_BINS, logit_bins

LOGLOSS_EPS = 1e-7
"""Probabilities are clipped to [eps, 1 - eps] before the logarithm: one sure mistake costs 16.1 nats, not infinity."""

Binning = Literal["equal_mass", "equal_width"]


@dataclass
class LogLoss:
    """Mean negative log-likelihood of binary labels, in nats.

    >>> round(LogLoss().update([0.8, 0.4], [1, 0]).compute(), 4)
    0.367

    Attributes:
        rows, positives: rows seen, and those with label 1, each counted once.
        weight, positive_weight: how many rows they stand for.
    """

    rows: int = 0
    positives: int = 0
    loss_sum: float = 0.0
    weight: float = 0.0
    positive_weight: float = 0.0

    def update(
        self, probabilities: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> "LogLoss":
        """Add n rows: probabilities in [0, 1], labels in {0, 1} and weights > 0 (1 by default), each (n,)."""
        p, y = as_probabilities("probabilities", probabilities), as_labels("labels", labels)
        require_same_length(probabilities=p, labels=y)
        w, clipped = as_weights(weights, y.size), np.clip(p, LOGLOSS_EPS, 1 - LOGLOSS_EPS)
        positive = y == 1
        won, lost = w[positive] * np.log(clipped[positive]), w[~positive] * np.log1p(-clipped[~positive])
        self.rows += y.size
        self.positives += int(y.sum())
        self.weight += float(w.sum())
        self.positive_weight += float(w[positive].sum())
        self.loss_sum -= float(won.sum() + lost.sum())
        return self

    def merge(self, other: "LogLoss") -> "LogLoss":
        """Add the sums of another worker."""
        self.rows += other.rows
        self.positives += other.positives
        self.loss_sum += other.loss_sum
        self.weight += other.weight
        self.positive_weight += other.positive_weight
        return self

    def compute(self) -> float | None:
        """Return the mean loss, None without rows."""
        return self.loss_sum / self.weight if self.rows else None

    def normalised_entropy(self) -> float | None:
        """Return the loss over that of always predicting the base rate (He et al. 2014, §3); below 1 is useful.

        None when a class is absent: the base rate then costs nothing.

        >>> LogLoss().update([0.25, 0.25, 0.25, 0.25], [0, 0, 0, 1]).normalised_entropy()
        1.0
        """
        if not 0 < self.positives < self.rows:
            return None
        rate = self.positive_weight / self.weight
        return self.loss_sum / self.weight / -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)).item()


@dataclass
class Pcoc:
    """Predicted over observed: the sum of predictions over the sum of outcomes, 1 when calibrated on average.

    Works for probabilities against labels and for expected against real money.

    >>> Pcoc().update([0.25, 0.5, 0.75], [0, 0, 1]).compute()
    1.5
    """

    predicted: float = 0.0
    observed: float = 0.0

    def update(self, predicted: npt.ArrayLike, observed: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> "Pcoc":
        """Add n rows: finite numbers >= 0 and weights > 0 (1 by default), each (n,)."""
        p, y = as_not_negative("predicted", predicted), as_not_negative("observed", observed)
        require_same_length(predicted=p, observed=y)
        w = as_weights(weights, y.size)
        self.predicted += float((w * p).sum())
        self.observed += float((w * y).sum())
        return self

    def merge(self, other: "Pcoc") -> "Pcoc":
        """Add the sums of another worker."""
        self.predicted += other.predicted
        self.observed += other.observed
        return self

    def compute(self) -> float | None:
        """Return the ratio, None when nothing was observed."""
        return self.predicted / self.observed if self.observed else None


@dataclass(frozen=True)
class ReliabilityBin:
    """One row of a reliability table: mean prediction beside the observed rate, both in [0, 1].

    Attributes:
        rows: how many the bin stands for.
    """

    rows: float
    predicted: float
    observed: float


class Ece:
    """Expected calibration error: mean over rows of |mean prediction - observed rate| of the row's bin.

    `equal_mass` bins hold about as many rows each, which suits click rates far below one half; they are cut from the
    logit histogram when computing, so the state stays mergeable. `equal_width` bins split [0, 1] (Guo et al. 2017).

    Args:
        bins: of the reliability table.
        cells: of the logit histogram, a divisor of `LOGIT_BINS`; fewer make many states cheap to keep.

    >>> Ece(bins=2, binning="equal_width").update([0.1, 0.3, 0.9, 0.7], [0, 0, 1, 0]).compute()
    0.25
    """

    def __init__(self, bins: int = 20, binning: Binning = "equal_mass", cells: int = LOGIT_BINS) -> None:
        self.bins = bins
        self.binning = binning
        size = cells if binning == "equal_mass" else bins
        self.rows, self.positives, self.predicted = (np.zeros(size, np.float64) for _ in range(3))

    def update(
        self, probabilities: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> "Ece":
        """Add n rows: probabilities in [0, 1], labels in {0, 1} and weights > 0 (1 by default), each (n,)."""
        p, y = as_probabilities("probabilities", probabilities), as_labels("labels", labels)
        require_same_length(probabilities=p, labels=y)
        w = as_weights(weights, y.size)
        even = np.minimum((p * self.bins).astype(np.int64), self.bins - 1)
        fine = logit_bins(p) // (LOGIT_BINS // self.rows.size)
        cells = fine if self.binning == "equal_mass" else even
        self.rows += np.bincount(cells, weights=w, minlength=self.rows.size)
        self.positives += np.bincount(cells, weights=w * y, minlength=self.rows.size)
        self.predicted += np.bincount(cells, weights=w * p, minlength=self.rows.size)
        return self

    def merge(self, other: "Ece") -> "Ece":
        """Add the sums of another worker.

        Raises:
            ValueError: the other state has other bins.
        """
        if (other.bins, other.binning) != (self.bins, self.binning):
            raise ValueError(
                f"cannot merge ECE of {other.bins} {other.binning} bins into {self.bins} {self.binning} bins"
            )
        self.rows += other.rows
        self.positives += other.positives
        self.predicted += other.predicted
        return self

    def table(self) -> list[ReliabilityBin]:
        """Return the reliability table, bins in rising order of prediction, empty bins left out."""
        bin_of_cell = self._bin_of_cell()
        rows, positives, predicted = (
            np.bincount(bin_of_cell, weights=sums, minlength=self.bins)
            for sums in (self.rows, self.positives, self.predicted)
        )
        return [
            ReliabilityBin(float(n), float(p / n), float(y / n))
            for n, p, y in zip(rows, predicted, positives, strict=True)
            if n
        ]

    def compute(self) -> float | None:
        """Return the error in [0, 1], None without rows."""
        total = float(self.rows.sum())
        gaps = sum(row.rows * abs(row.predicted - row.observed) for row in self.table())
        return gaps / total if total else None

    def _bin_of_cell(self) -> npt.NDArray[np.int64]:
        if self.binning == "equal_width":
            return np.arange(self.bins)
        twice_middle, twice_total = 2 * np.cumsum(self.rows) - self.rows, 2 * float(self.rows.sum())
        bin_of_cell = twice_middle * self.bins // twice_total if twice_total else twice_middle
        return np.minimum(bin_of_cell.astype(np.int64), self.bins - 1)
