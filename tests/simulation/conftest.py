"""A small simulated log, generated once."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from tests.simulation.logs import SMALL, write_log


@pytest.fixture(scope="session")
def small_log() -> SimpleNamespace:
    """400 users of the default laws in three chunks: config, world and the contract tables."""
    return write_log(SMALL)


@pytest.fixture(scope="session")
def numpy_of() -> Callable[[pa.Table, str], np.ndarray]:
    """Return a column as a NumPy array, times as int64 microseconds."""

    def column(table: pa.Table, name: str) -> np.ndarray:
        values = table[name]
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        return values.to_numpy()

    return column
