"""The three probability heads: which rows each is judged on, and its curves."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from rosa_ray.arrays import Columns, Floats
from rosa_ray.metrics import conversion_weights

_POINTS = 160


@dataclass(frozen=True)
class Head:
    """One head.

    Attributes:
        prefix: of its metrics; the CTR's have none.
        column: its probabilities in the predictions.
        outcome: what it predicts, of which rows.
        style: its colour on every chart.
    """

    name: str
    prefix: str
    column: str
    outcome: str
    style: int

    def rows(self, predictions: Columns, column: str | None = None) -> tuple[Floats, Floats, Floats]:
        """Scores, labels and weights of the rows the head is judged on: clicked ones for the CVR, else all."""
        scores, click, weights = predictions[column or self.column], predictions["click"], predictions["weight"]
        if self.prefix:
            weights = conversion_weights(predictions, len(click))
            scores, click, conversion = (values[weights > 0] for values in (scores, click, predictions["conversion"]))
            weights = weights[weights > 0]
        if self.prefix == "cvr_":
            return scores[click == 1], conversion[click == 1], weights[click == 1]
        return scores, click * conversion if self.prefix else click, weights


HEADS = (
    Head("CTR", "", "p_ctr", "clicks per impression", 1),
    Head("CVR", "cvr_", "p_cvr", "conversions per click", 2),
    Head("CTCVR", "ctcvr_", "p_ctcvr", "conversions per impression", 3),
)


def has_both_classes(labels: Floats) -> bool:
    """Tell whether a curve over these labels is defined."""
    return bool(labels.size) and 0 < labels.sum() < labels.size


def roc(scores: Floats, labels: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """False and true positive rates, thinned to points at even steps along the curve.

    >>> [rates.tolist() for rates in roc(np.array([0.1, 0.9]), np.array([0.0, 1.0]))]
    [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    """
    false, true, _ = roc_curve(labels, scores, sample_weight=weights)
    along = np.append(0, np.cumsum(np.abs(np.diff(false)) + np.abs(np.diff(true))))
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _POINTS) - 1e-12))
    return false[kept], true[kept]


def precision_recall(scores: Floats, labels: Floats, weights: Floats | None = None) -> tuple[Floats, Floats, float]:
    """Recall and precision at even steps of recall, and the average precision; the noisy first 1 % is left out."""
    precision, recall, _ = precision_recall_curve(labels, scores, sample_weight=weights)
    grid = np.linspace(0.01, 1, 100)
    at = np.searchsorted(-recall, -grid, side="right") - 1
    return recall[at], precision[at], float(average_precision_score(labels, scores, sample_weight=weights))


def cumulative_gain(scores: Floats, amounts: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Share of all amounts (clicks, revenue) among the top-scored x % of rows; ties in the order of the rows.

    A row stands for `weights` rows and as many times its amount.

    >>> [part.tolist() for part in cumulative_gain(np.array([0.9, 0.2]), np.array([3.0, 1.0]), np.ones(2))]
    [[0.0, 0.5, 1.0], [0.0, 0.75, 1.0]]
    """
    order = np.argsort(-scores, kind="stable")
    rows, total = (np.append(0, np.cumsum(part[order])) for part in (weights, weights * amounts))
    kept = np.unique(np.linspace(0, order.size, min(_POINTS, order.size + 1)).round().astype(int))
    return rows[kept] / rows[-1], total[kept] / total[-1]


def evidence(labels: Floats, weights: Floats) -> float:
    """Rows of evidence for a rate per row that is stood for: what an interval counts.

    Where positives are rare, a rate is as sure as they are many. A thinned log keeps every click: all that its rows
    stand for is evidence. Rows that all weigh two are half as many as they stand for.

    >>> evidence(np.array([1, 0]), np.array([1.0, 10.0])), evidence(np.array([1, 0]), np.array([2.0, 2.0]))
    (1.0, 0.5)
    """
    chosen = weights[labels > 0] if (labels > 0).any() else weights
    return float(chosen.sum() / (chosen**2).sum())


def wilson(successes: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """95 % interval of a rate (Wilson 1927), which stays sensible at 0 successes.

    >>> [round(float(end), 4) for end in wilson(np.array(0.0), np.array(100.0))]
    [0.0, 0.037]
    """
    z = 1.96
    rate, shrink = successes / rows, 1 + z**2 / rows
    middle = (rate + z**2 / (2 * rows)) / shrink
    half = z / shrink * np.sqrt(rate * (1 - rate) / rows + z**2 / (4 * rows**2))
    return np.maximum(middle - half, 0), middle + half
