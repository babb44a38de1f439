"""What a calibration is fitted on: histograms over the logit, which workers fill and the driver merges.

A fit needs labels by score, not rows: 16,384 cells of 1/512 logit hold any number of impressions, and each cell keeps
the mean of its scores, so nothing of a score's place is lost that a fit could use.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rosa_ray.arrays import Columns, Floats
from rosa_ray.calibration.curve import logit
from rosa_ray.calibration.value import log_over
from rosa_ray.units import DAY_US

CELLS = 16_384
LIMIT = 16.0


def _cells() -> Floats:
    return np.zeros(CELLS)


@dataclass(eq=False)
class HeadSums:
    """Weighted rows, positives and logits of one head, by logit cell; and the squared weights of the positives.

    >>> sums = HeadSums().update(np.array([0.5, 0.5, 0.1]), np.array([1, 0, 0]))
    >>> sums.total_rows, sums.total_positives
    (3.0, 1.0)
    """

    rows: Floats = field(default_factory=_cells)
    positives: Floats = field(default_factory=_cells)
    logits: Floats = field(default_factory=_cells)
    positive_squares: float = 0.0

    def update(self, probabilities: Floats, labels: npt.NDArray[Any], weights: Floats | None = None) -> "HeadSums":
        """Add n rows: probabilities in [0, 1], labels in {0, 1}, weights > 0 (1 by default), each (n,)."""
        x = logit(probabilities)
        w = np.ones(len(x)) if weights is None else weights
        cells = np.clip(np.floor((x + LIMIT) * (CELLS / (2 * LIMIT))), 0, CELLS - 1).astype(np.int64)
        self.rows += np.bincount(cells, w, CELLS)
        self.positives += np.bincount(cells, w * labels, CELLS)
        self.logits += np.bincount(cells, w * x, CELLS)
        self.positive_squares += float((w * w) @ labels)
        return self

    def merge(self, other: "HeadSums") -> "HeadSums":
        """Add the sums of another worker."""
        self.rows += other.rows
        self.positives += other.positives
        self.logits += other.logits
        self.positive_squares += other.positive_squares
        return self

    @property
    def total_rows(self) -> float:
        """Weighted rows."""
        return float(self.rows.sum())

    @property
    def total_positives(self) -> float:
        """Weighted positives."""
        return float(self.positives.sum())

    def effective(self) -> "HeadSums":
        """The same rates on as many positives as their weights are worth, `(Σw)² / Σw²` (Kish 1965, §11.2).

        Unequal weights make sums noisier than their size says; a fit with a prior then leaves the prior less.

        >>> sums = HeadSums().update(np.full(4, 0.5), np.array([1, 1, 0, 0]), np.array([1.0, 3.0, 1.0, 3.0]))
        >>> sums.effective().total_positives
        1.6
        """
        if not self.positive_squares:
            return self
        scale = self.total_positives / self.positive_squares
        return HeadSums(
            self.rows * scale, self.positives * scale, self.logits * scale, self.positive_squares * scale**2
        )

    def table(self) -> tuple[Floats, Floats, Floats]:
        """Return mean logit, rows and positives of the cells that have rows, by rising logit."""
        used = self.rows > 0
        rows = self.rows[used]
        return self.logits[used] / rows, rows, self.positives[used]


VALUE_WEIGHTS = np.linspace(0.0, 1.0, 21)
"""Weights that a learned value may have beside the catalogue price."""


@dataclass(eq=False)
class ValueSums:
    """Predicted value, price and revenue of the conversions.

    Attributes:
        conversions: weighted.
        predicted, observed: value as predicted, and revenue; currency units.
        at_weights: predicted value at each of `VALUE_WEIGHTS`, currency units, (21,).
        moments: sums of 1, l, y, l², l·y and y² over conversions with revenue, where l is the log of value over price
            and y that of revenue over price; (6,).
    """

    conversions: float = 0.0
    predicted: float = 0.0
    observed: float = 0.0
    at_weights: Floats = field(default_factory=lambda: np.zeros(len(VALUE_WEIGHTS)))
    moments: Floats = field(default_factory=lambda: np.zeros(6))

    def update(
        self, predicted: Floats, observed: Floats, weights: Floats | None = None, price: Floats | None = None
    ) -> "ValueSums":
        """Add converted rows: predicted value, revenue, weights > 0 and catalogue price > 0, each (n,).

        A weight is 1 by default. Without prices nothing can be learned of how far the value leaves them.
        """
        w = np.ones(len(predicted)) if weights is None else weights
        self.conversions += float(w.sum())
        self.predicted += float((w * predicted).sum())
        self.observed += float((w * observed).sum())
        if price is not None:
            self._update_weights(predicted, observed, w, price)
        return self

    def _update_weights(self, predicted: Floats, observed: Floats, w: Floats, price: Floats) -> None:
        learned = log_over(predicted, price)
        self.at_weights += (w * price) @ np.exp(learned[:, None] * VALUE_WEIGHTS)
        paid = observed > 0
        weight, x, y = w[paid], learned[paid], log_over(observed[paid], price[paid])
        self.moments += np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]) @ weight

    def merge(self, other: "ValueSums") -> "ValueSums":
        """Add the sums of another worker."""
        self.conversions += other.conversions
        self.predicted += other.predicted
        self.observed += other.observed
        self.at_weights += other.at_weights
        self.moments += other.moments
        return self


@dataclass
class CalibrationSums:
    """Sums of all heads: CTR on all impressions, CVR on the clicked ones, value on the converted ones.

    Attributes:
        candidate_ctr, candidate_cvr: the same where each row stands for the candidates it was drawn from: it weighs
            1 / propensity. Rows without a propensity are not in them.
        first_us, last_us: times of the first and the last row that has one.
    """

    ctr: HeadSums = field(default_factory=HeadSums)
    cvr: HeadSums = field(default_factory=HeadSums)
    value: ValueSums = field(default_factory=ValueSums)
    candidate_ctr: HeadSums = field(default_factory=HeadSums)
    candidate_cvr: HeadSums = field(default_factory=HeadSums)
    first_us: int | None = None
    last_us: int | None = None

    def update(self, columns: Columns) -> "CalibrationSums":
        """Add impressions of the validation period, with raw scores.

        Args:
            columns: p_ctr, p_cvr, value, click, conversion and revenue, each (n,), and weight, how many impressions a
                row stands for, 1 without it; conversion_weight, how much of that in all about conversions, 1 without
                it; price, without which the value keeps no weight; propensity, NaN or left out where it is not known;
                time_us, without which the period counts as one day; others are ignored.
        """
        click, conversion = columns["click"] == 1, columns["conversion"] == 1
        converted = click & conversion
        weight = columns.get("weight", np.ones(len(click)))
        if "time_us" in columns and len(click):
            self._cover(int(columns["time_us"].min()), int(columns["time_us"].max()))
        self.ctr.update(columns["p_ctr"], click, weight)
        bought = weight * columns.get("conversion_weight", 1.0)
        self._update_candidates(columns, click, weight, bought)
        click, converted = click & (bought > 0), converted & (bought > 0)
        self.cvr.update(columns["p_cvr"][click], conversion[click], bought[click])
        value, revenue = columns["value"][converted], columns["revenue"][converted]
        price = columns["price"][converted] if "price" in columns else None
        self.value.update(value, revenue, bought[converted], price)
        return self

    @property
    def days(self) -> float:
        """Length of the period, one day at least.

        >>> sums = CalibrationSums(first_us=0, last_us=36 * 3600 * 1_000_000)
        >>> sums.days, CalibrationSums().days
        (1.5, 1.0)
        """
        if self.first_us is None or self.last_us is None:
            return 1.0
        return max((self.last_us - self.first_us) / DAY_US, 1.0)

    def _cover(self, first_us: int, last_us: int) -> None:
        self.first_us = first_us if self.first_us is None else min(self.first_us, first_us)
        self.last_us = last_us if self.last_us is None else max(self.last_us, last_us)

    def _update_candidates(self, columns: Columns, click: Floats, weight: Floats, bought: Floats) -> None:
        propensity = np.asarray(columns.get("propensity", np.full(len(click), np.nan)), np.float64)
        known = propensity > 0
        stands_for = np.divide(1.0, propensity, out=np.zeros(len(click)), where=known)
        self.candidate_ctr.update(columns["p_ctr"][known], click[known], (weight * stands_for)[known])
        bought = bought * stands_for * click
        known = bought > 0
        self.candidate_cvr.update(columns["p_cvr"][known], (columns["conversion"] == 1)[known], bought[known])

    def merge(self, other: "CalibrationSums") -> "CalibrationSums":
        """Add the sums of another worker."""
        self.ctr.merge(other.ctr)
        self.cvr.merge(other.cvr)
        self.value.merge(other.value)
        self.candidate_ctr.merge(other.candidate_ctr)
        self.candidate_cvr.merge(other.candidate_cvr)
        if other.first_us is not None and other.last_us is not None:
            self._cover(other.first_us, other.last_us)
        return self
