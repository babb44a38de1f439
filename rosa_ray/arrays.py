"""Names for NumPy arrays in signatures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Columns = Mapping[str, npt.NDArray[Any]]
"""A table in memory: arrays of equal length by name."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def grown(values: npt.NDArray[Any], needed: int) -> npt.NDArray[Any]:
    """The same with at least so many rows, of which there are at least twice as many as before; new ones are zero.

    >>> grown(np.array([7]), 2)
    array([7, 0])
    """
    held = len(values)
    if needed <= held:
        return values
    larger = np.zeros((max(needed, 2 * held), *values.shape[1:]), values.dtype)
    larger[:held] = values
    return larger
