"""cluster.yaml is one that Ray accepts, scales from zero and never ends other Rays on a host."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_rays_schema_accepts_it(cluster: dict[str, Any]) -> None:
    import ray.autoscaler

    schema = json.loads(Path(ray.autoscaler.__file__).with_name("ray-schema.json").read_text())
    jsonschema.validate(cluster, schema)


def test_node_types_exist_and_workers_scale_from_zero(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    workers = {name: node for name, node in types.items() if name != cluster["head_node_type"]}
    assert cluster["head_node_type"] in types
    assert {node["min_workers"] for node in workers.values()} == {0}
    assert sum(node["max_workers"] for node in workers.values()) == cluster["max_workers"]


def test_start_commands_are_given_and_never_stop_ray(cluster: dict[str, Any]) -> None:
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert any("ray start" in command for command in cluster[key])
        assert not any("ray stop" in command for command in cluster[key])


def test_files_it_mounts_exist(cluster: dict[str, Any]) -> None:
    for local in cluster["file_mounts"].values():
        assert (ROOT / local / "requirements.lock").is_file()
