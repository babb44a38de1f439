"""The graph on Ray Serve: deployed, asked over HTTP, and gone at the end."""

from pathlib import Path

import pytest

from rosa_ray.errors import ServingError
from rosa_ray.serving.client import RankingClient, measure_latency
from rosa_ray.serving.server import _free_port, running
from tests.serving.conftest import World


def test_a_taken_port_is_named() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServingError, match=r"serving\.port \d+ on 127\.0\.0\.1 cannot be used"):
            _free_port("127.0.0.1", taken.getsockname()[1])


@pytest.mark.integration
@pytest.mark.usefixtures("ray_cluster")
def test_the_graph_ranks_over_http_and_sees_posted_events(world: World, store_path: Path) -> None:
    from ray import serve

    settings = world.settings(store_path, port=0, cpus_per_replica=0.1)
    with running(settings) as service, RankingClient(service.url) as client:
        assert service.model_version == world.model.version
        before = client.rank("u1", top_k=30, explain=True)
        assert before["degraded"] == []
        assert before["lambda"] == 1.0
        event = {
            "event_id": "new",
            "user_id": "u1",
            "item_id": "i1",
            "behavior": "cart",
            "event_time": "2023-11-22T20:00:00Z",
        }
        assert client.post_events([event])["accepted"] == 1
        after = client.rank("u1", top_k=30, explain=True)
        assert after["degraded"] == []
        assert after["lambda"] == 0.0
        assert {ad["ad_id"]: ad["score"] for ad in after["ads"]} != {ad["ad_id"]: ad["score"] for ad in before["ads"]}
        with pytest.raises(ServingError, match="answered 422"):
            client.rank("u1", [])
        report = measure_latency(service.url, [{"user_id": "u1", "candidates": ["a1", "a2"]}], 10)
        assert report.failed == 0
    assert not serve.status().applications
