"""Names for NumPy arrays in signatures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Columns = Mapping[str, npt.NDArray[Any]]
"""A table in memory: arrays of equal length by name."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
