"""A job is connected to Ray for its own time, and an address that does not answer is one clear line."""

import pytest

from rosa_ray.cluster.config import RayConfig
from rosa_ray.cluster.connect import connected


@pytest.mark.integration
def test_a_cluster_that_is_there_is_used_and_left_running(ray_cluster: None) -> None:
    import ray

    with connected(RayConfig(address="local")):
        assert ray.cluster_resources()["CPU"] == 4
        assert ray.get(ray.remote(lambda: 6 * 7).remote()) == 42
    assert ray.is_initialized()
