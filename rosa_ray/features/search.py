"""Binary search of many spans of one sorted column at once."""

import numpy as np

FEW_READS = 8
"""Up to so many spans are searched one by one: quicker than in step."""


def search_spans(values: np.ndarray, first: np.ndarray, stop: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Per span `[first, stop)`, within which values rise, the end of the rows whose value is at most the bound.

    Args:
        values: (V,).
        first, stop, bound: (n,).

    Returns:
        int64 (n,), between `first` and `stop`.

    >>> search_spans(np.array([1, 5, 2, 9]), np.array([0, 2]), np.array([2, 4]), np.array([5, 1])).tolist()
    [2, 2]
    """
    if len(first) <= FEW_READS:
        spans = zip(first.tolist(), stop.tolist(), bound.tolist(), strict=True)
        return np.array([low + values[low:high].searchsorted(last, "right") for low, high, last in spans], int)
    # All reads halve their spans in step: one array operation per halving instead of a search per read.
    low, high = first.copy(), stop.copy()
    while (open_ := low < high).any():
        middle = (low + high) // 2
        right = open_ & (values[np.minimum(middle, len(values) - 1)] <= bound)
        low = np.where(right, middle + 1, low)
        high = np.where(open_ & ~right, middle, high)
    return low


def find_spans(sorted_keys: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and end of the rows of each asked key, (n,) and (n,); equal where there are none.

    >>> [part.tolist() for part in find_spans(np.array([3, 3, 7]), np.array([3, 5]))]
    [[0, 2], [2, 2]]
    """
    return np.searchsorted(sorted_keys, asked, "left"), np.searchsorted(sorted_keys, asked, "right")
