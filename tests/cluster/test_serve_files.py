"""Configs for `serve deploy`, alone and beside the file of the cluster that they are for."""

from pathlib import Path

import pytest
import yaml

from rosa_ray.cluster import check_file, check_files
from tests.cluster.conftest import ROOT, Body

CONFIG = ROOT / "serve_config.yaml"


@pytest.fixture
def cluster(aws: Body, tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(aws))
    return path


def served(folder: Path, old: str, new: str) -> Path:
    """The project's Serve config with another text in a place."""
    text = CONFIG.read_text()
    assert old in text
    path = folder / "serve.yaml"
    path.write_text(text.replace(old, new))
    return path


def test_on_one_machine_sqlite_is_right() -> None:
    assert check_file(CONFIG) == ()


def test_beside_a_cluster_with_workers_sqlite_is_found(cluster: Path) -> None:
    (finding,) = check_files([cluster, CONFIG])
    assert finding.file == str(CONFIG)
    assert finding.place == "applications[0].args.store.kind"
    assert "the disk of one node" in finding.problem


def test_redis_with_tls_is_right_and_without_it_is_found(cluster: Path, tmp_path: Path) -> None:
    kind = "kind: sqlite\n        path: runs/demo/store.db"
    secure = served(tmp_path, kind, "kind: redis\n        url: rediss://store.internal:6379/0")
    assert check_files([cluster, secure]) == ()
    clear = served(tmp_path, kind, "kind: redis\n        url: redis://store.internal:6379/0")
    (finding,) = check_files([cluster, clear])
    assert finding.place == "applications[0].args.store.url"
    assert "rediss://" in finding.remedy


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("rosa_ray.serving.app:build", "rosa_ray.serving.app:bild", "applications[0].import_path"),
        ("proxy_location: EveryNode", "proxy_location: Everywhere", "proxy_location"),
        ("port: 8000", "port: eighty", "http_options.port"),
    ],
)
def test_what_serve_would_refuse_is_found(tmp_path: Path, old: str, new: str, place: str) -> None:
    found = check_file(served(tmp_path, old, new))
    assert found
    assert all(finding.place.startswith(place) for finding in found), found
