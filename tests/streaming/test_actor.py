"""Consumers as Ray actors: they share the partitions, and a killed one is started again and goes on."""

from pathlib import Path

import numpy as np
import pytest
import ray

from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.records.log import LogWriter
from rosa_ray.store import StoreConfig, open_store
from rosa_ray.streaming.assembly import StreamSettings
from rosa_ray.streaming.config import StreamConfig
from tests.serving.conftest import World, world  # noqa: F401

pytestmark = pytest.mark.integration


def test_killed_actors_leave_the_features_of_one_pass(ray_cluster: None, world: World, tmp_path: Path) -> None:  # noqa: F811
    from rosa_ray.streaming.actor import start_actors

    log = RecordedLog.of(world.events, world.impressions)
    lines = log.lines(0, len(log))
    for number in range(2):
        with LogWriter(tmp_path / "stream" / str(number)) as writer:
            writer.append(lines[number::2])
    store = StoreConfig(path=str(tmp_path / "store.db"), dedup_horizon_days=30)
    stream = StreamConfig(
        path=str(tmp_path / "stream"), dead_letters=str(tmp_path / "dead"), poll_ms=50, min_batch=8, max_batch=8
    )
    actors = start_actors(StreamSettings(str(world.bundle), store, stream), 2)
    runs = [actor.run.remote(until_end=True) for actor in actors]
    ray.kill(actors[0], no_restart=False)
    totals = ray.get(runs, timeout=120)
    assert all(not total["refused"] and total["lag_records"] == 0 for total in totals)
    opened = open_store(store, world.features.config)
    for view, expected in world.counters.items():
        found = opened.read_counters(view, np.unique(expected.entity_key))[view]
        assert found.sums.tolist() == expected.sums.tolist(), view
    opened.close()
    for actor in actors:
        ray.kill(actor)
