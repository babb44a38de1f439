"""The whole loop with log, data, checkpoints, bundle, MLflow artifacts and evaluation on S3; the store is a file."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rosa_ray.bundle import open_bundle
from tests.fake_s3 import CLUSTER_PORT, fake_s3
from workloads.cli import app

RUN = "s3://ads/runs/tiny"
TINY = (
    "simulation.users=120",
    "simulation.requests_per_user=12",
    "simulation.items=300",
    "simulation.ads=80",
    "simulation.chunk_users=60",
    "preprocess.partitions=2",
    "model.width=16",
    "model.heads=2",
    "model.window=8",
    "training.resume=true",
    "training.workers=1",
    "training.users_per_batch=16",
)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ray_cluster: None) -> Any:
    monkeypatch.chdir(tmp_path)
    with fake_s3(monkeypatch, "ads", CLUSTER_PORT) as file_system:
        yield file_system


def rosa(verb: str, *values: str) -> str:
    options = [part for value in (f"run_dir={RUN}", *TINY, *values) for part in ("--set", value)]
    result = CliRunner().invoke(app, [verb, "demo", *options, "--debug"])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.nightly
def test_the_loop_reads_and_writes_s3(bucket: Any, tmp_path: Path) -> None:
    store = f"store.path={tmp_path}/store.db"
    for verb in ("simulate", "preprocess", "train", "evaluate"):
        assert RUN in rosa(verb, "training.epochs=1")
    assert "120 users" in rosa("materialize", store)
    below = {path.removeprefix("ads/runs/") for path in bucket.find("ads/runs")}
    for expected in (
        "tiny/config.yaml",
        "tiny/log/log.json",
        "tiny/data/users/part-00001.parquet",
        "tiny/data/spec.json",
        "tiny/bundle/manifest.json",
        "tiny/evaluation/metrics.json",
        "tiny/train.json",
    ):
        assert expected in below
    assert any(name.startswith("tiny/checkpoints/") and name.endswith("/state.pt") for name in below)
    assert any(name.startswith("mlartifacts/") and name.endswith("/bundle/model.safetensors") for name in below)
    measured = json.loads(bucket.cat_file("ads/runs/tiny/evaluation/metrics.json"))
    assert measured["model_version"] == open_bundle(f"{RUN}/bundle").model_version
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow-ads-runs.db", "store.db"]
    resumed = rosa("train", "training.epochs=2")
    assert "epoch  2  step" in resumed
    assert "epoch  1  step" not in resumed
