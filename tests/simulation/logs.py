"""Small simulated logs, all chunks or some of them."""

import dataclasses
from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from rosa_ray.settings import Tagged
from rosa_ray.simulation import SimulationConfig, ads_table, build_world, chunk_tables, enact, simulate_chunk
from rosa_ray.simulation.laws import config_class

SMALL = SimulationConfig(
    users=400, chunk_users=160, days=6, items=1000, ads=200, events_per_user=60, requests_per_user=40
)
"""400 users of the default laws in three chunks."""


@cache
def log_of_law(name: str) -> SimpleNamespace:
    """The small log with one law on, written once a process; see `write_log`."""
    return write_log(SMALL, laws=(Tagged(name, config_class(name)()),))


def write_log(config: SimulationConfig, chunks: Sequence[int] | None = None, **changes: Any) -> SimpleNamespace:
    """Config, world and the contract tables of a log.

    Args:
        chunks: to write; None writes all.
        changes: settings that differ from those of `config`.
    """
    config = dataclasses.replace(config, **changes)
    world = build_world(config)
    numbers = range(config.chunks) if chunks is None else chunks
    written = [chunk_tables(config, world, simulate_chunk(config, world, chunk)) for chunk in numbers]
    tables = {name: pa.concat_tables([chunk[name] for chunk in written]) for name in written[0]}
    ads = enact(config, world).catalogue(ads_table(world))
    return SimpleNamespace(config=config, world=world, chunks=written, ads=ads, **tables)
