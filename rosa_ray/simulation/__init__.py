"""The semi-simulated ad log: a simulator that knows its truth, and simulated exposure on real timelines."""

from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.engine import ChunkLog, simulate_chunk
from rosa_ray.simulation.exposure import ExposureConfig, build_exposure
from rosa_ray.simulation.laws.law import enact
from rosa_ray.simulation.tables import TRUTH_SCHEMA, ads_table, chunk_tables, summarize
from rosa_ray.simulation.world import World, build_world

__all__ = [
    "TRUTH_SCHEMA",
    "ChunkLog",
    "ExposureConfig",
    "SimulationConfig",
    "World",
    "ads_table",
    "build_exposure",
    "build_world",
    "chunk_tables",
    "enact",
    "simulate_chunk",
    "summarize",
]
