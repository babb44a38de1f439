"""The cluster files of the project: Ray prepares them, and nothing is wrong in them but what is to be filled in."""

from pathlib import Path

import pytest

from rosa_ray.cluster import check_file
from tests.deploy.cluster_files import ROOT, filled, load

FILES = ["cluster.yaml", "deploy/cluster-local.yaml"]


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_found_in_a_file_that_is_filled_in(name: str, home: Path) -> None:
    assert check_file(filled(name, home)) == ()


@pytest.mark.parametrize("name", FILES)
def test_what_must_be_filled_in_is_named(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(name, home)
    found = check_file(ROOT / name)
    assert len(found) == 3
    assert all("stands for a value of yours" in finding.problem for finding in found)


@pytest.mark.parametrize("name", FILES)
def test_ray_prepares_it_without_a_command_that_ends_rays(name: str, home: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    body = load(filled(name, home))
    config = prepare_config(body)
    for node in config["available_node_types"].values():
        node["resources"] = {key: int(value) for key, value in node["resources"].items()}
    validate_config(config)
    assert not [command for key, value in config.items() if key.endswith("commands") for command in value
                if "ray stop" in command]  # fmt: skip


def test_workers_scale_from_zero(home: Path) -> None:
    cluster = load(ROOT / "cluster.yaml")
    workers = [node for name, node in cluster["available_node_types"].items() if name != cluster["head_node_type"]]
    assert [node["min_workers"] for node in workers] == [0, 0]
    assert all(node["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"} for node in workers)
