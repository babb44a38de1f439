"""A small simulated log, generated once."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.simulation import SimulationConfig, ads_table, build_world, chunk_tables, simulate_chunk


@pytest.fixture(scope="session")
def small_log() -> SimpleNamespace:
    """400 users of the default laws in three chunks: config, world and the contract tables."""
    config = SimulationConfig(
        users=400, chunk_users=160, days=6, items=1000, ads=200, events_per_user=60, requests_per_user=40
    )
    world = build_world(config)
    chunks = [chunk_tables(config, world, simulate_chunk(config, world, k)) for k in range(config.chunks)]
    tables = {name: pa.concat_tables([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return SimpleNamespace(config=config, world=world, chunks=chunks, ads=ads_table(world), **tables)


@pytest.fixture(scope="session")
def numpy_of() -> Callable[[pa.Table, str], np.ndarray]:
    """Return a column as a NumPy array, times as int64 microseconds."""

    def column(table: pa.Table, name: str) -> np.ndarray:
        values = table[name]
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        return values.to_numpy()

    return column
