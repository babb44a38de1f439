"""Spearman's rank correlation of columns with missing values and many ties."""

import numpy as np


def rank_correlation(values: np.ndarray, amounts: np.ndarray, least: int = 2) -> float:
    """Rank correlation of the rows that have a value; 0 where there are fewer different ones than `least`.

    >>> rank_correlation(np.array([1.0, 5.0, np.nan, 9.0]), np.array([2.0, 3.0, 0.0, 7.0]))
    1.0
    """
    present = np.isfinite(values)
    first, second = (_ranks(column[present]) for column in (values, amounts))
    if min(len(np.unique(first)), len(np.unique(second))) < least:
        return 0.0
    return round(float(np.corrcoef(np.stack([first, second]))[0, 1]), 12)


def _ranks(values: np.ndarray) -> np.ndarray:
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[level]
    return ranks
