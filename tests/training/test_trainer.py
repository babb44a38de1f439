import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from rosa_ray.bundle import open_bundle
from rosa_ray.calibration import CalibrationConfig
from rosa_ray.errors import ConfigError, InputError, TrainingError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.evaluate import evaluate, metrics_table
from rosa_ray.features import Split, UserRows
from rosa_ray.inference import load_ranker
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.tracking import TrackingConfig
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig
from rosa_ray.training.fit import fit, scaling_config
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.lines import epoch_line
from rosa_ray.training.ray_worker import train_worker
from rosa_ray.training.trainer import TrainResult, train
from tests.tiny_users import tiny_rows, write_data_dir

SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 8, "hidden": (16,), "dropout": 0.1}
SETTINGS["boosted"] = False  # what epochs report is the network's
TRAINING = TrainingConfig(
    workers=2, epochs=3, users_per_batch=2, learning_rate=1e-2, warmup_steps=5, cpus_per_worker=1.0, patience=3
)


@pytest.fixture(scope="module")
def rows() -> UserRows:
    return tiny_rows(users=41, per_user=16)


@pytest.fixture(scope="module")
def data_dir(rows: UserRows, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data_dir(tmp_path_factory.mktemp("log") / "data", rows)


def run(data_dir: str, run_dir: Path, **changed: Any) -> TrainResult:
    arguments = {
        "model": ranker_settings("rosa", SETTINGS),
        "loss": LossConfig(),
        "training": TRAINING,
        "calibration": CalibrationConfig(),
        "gate": GateTrainingConfig(),
        "tracking": TrackingConfig(enabled=False),
        "seed": 5,
        "data_dir": data_dir,
        "run_dir": str(run_dir),
        "config": {"seed": 5},
    }
    return train(**{**arguments, **changed})


@pytest.fixture(scope="module")
def trained(ray_cluster: None, data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    run_dir = tmp_path_factory.mktemp("trained")
    return run_dir, run(data_dir, run_dir)


@pytest.mark.integration
def test_two_workers_train_on_every_impression_and_write_a_bundle(
    trained: tuple[Path, TrainResult], rows: UserRows
) -> None:
    run_dir, result = trained
    assert result.epochs == 3
    assert {record["samples"] for record in result.history} == {int((rows.impressions["split"] == Split.TRAIN).sum())}
    assert result.history[-1]["train_ctr_loss"] < result.history[0]["train_ctr_loss"]
    assert result.samples_per_s > 0
    bundle = open_bundle(run_dir / "bundle")
    assert bundle.metrics["valid_logloss"] == min(record["valid_logloss"] for record in result.history)
    assert json.loads((run_dir / "train.json").read_text())["model_version"] == bundle.model_version
    load_ranker(bundle.model, bundle.weights())
    assert bundle.calibration.ctr.method == "platt"
    assert bundle.calibration.ctr.rows == (rows.impressions["split"] == Split.VALID).sum()
    assert bundle.gate is None


@pytest.mark.integration
def test_the_same_command_again_keeps_the_epochs_and_more_epochs_go_on(
    trained: tuple[Path, TrainResult], data_dir: str, tmp_path: Path
) -> None:
    finished, first = trained
    run_dir = shutil.copytree(finished, tmp_path / "again")
    seen: list[int] = []
    longer = TrainingConfig(**{**TRAINING.__dict__, "epochs": 4, "patience": 9})
    again = run(data_dir, run_dir, training=longer, on_epoch=lambda record: seen.append(record["epoch"]))
    assert seen == [4]
    assert again.history[:3] == first.history


@pytest.mark.integration
def test_a_killed_worker_is_replaced_and_the_outcome_is_the_same(
    trained: tuple[Path, TrainResult], data_dir: str, tmp_path: Path
) -> None:
    """Rank 1 dies once in the middle of epoch 2; epoch 2 is trained again from the checkpoint of epoch 1."""
    marker = tmp_path / "killed"

    def mortal(settings: dict[str, Any]) -> dict[str, Any]:

        from rosa_ray.training.loop import Worker

        take_step = Worker._step

        def step(self: Worker, users: Any, chosen: Any) -> None:
            if self.ranks.rank == 1 and len(self.history) == 1 and self.stepper.step % 3 == 2 and not marker.exists():
                marker.touch()
                os._exit(1)
            take_step(self, users, chosen)

        Worker._step = step
        try:
            return train_worker(settings)
        finally:
            Worker._step = take_step

    job = TrainingJob(ranker_settings("rosa", SETTINGS), LossConfig(), TRAINING, 5, data_dir)
    result = fit(job, str(tmp_path), "mortal", worker=mortal)
    assert marker.exists()
    figures = ("epoch", "step", "samples", "train_loss", "valid_loss", "valid_auc")
    uninterrupted = [[record[name] for name in figures] for record in trained[1].history]
    assert [[record[name] for name in figures] for record in result.return_value["history"]] == pytest.approx(
        np.array(uninterrupted), abs=1e-6
    )


@pytest.mark.integration
def test_workers_whose_shards_do_not_fit_in_memory_train_on_every_impression(
    ray_cluster: None, data_dir: str, rows: UserRows, tmp_path: Path
) -> None:
    nothing_kept = TrainingConfig(**{**TRAINING.__dict__, "memory_gb": 0.0, "epochs": 2})
    job = TrainingJob(ranker_settings("rosa", SETTINGS), LossConfig(), nothing_kept, 5, data_dir)
    history = fit(job, str(tmp_path), "small").return_value["history"]
    assert [record["samples"] for record in history] == [int((rows.impressions["split"] == Split.TRAIN).sum())] * 2
    assert history[1]["train_ctr_loss"] < history[0]["train_ctr_loss"]


@pytest.mark.integration
def test_trees_are_the_same_whatever_the_workers_and_when_training_is_called_again(
    ray_cluster: None, tmp_path: Path
) -> None:
    data_dir = write_data_dir(tmp_path / "data", tiny_rows(users=80, per_user=20))
    said: list[str] = []
    weights = []
    for workers in (1, 2, 2):
        training = TrainingConfig(**{**TRAINING.__dict__, "workers": workers, "epochs": 1})
        model = ranker_settings("rosa", SETTINGS | {"boosted": True})
        place = tmp_path / f"{workers}"
        run(data_dir, place, model=model, training=training, tell=said.append)
        weights.append(open_bundle(place / "bundle").weights())
    one, two, again = weights
    grown = [bytes(each["boosted.click.model"].numpy()).partition(b"parameters:")[0] for each in (one, two)]
    assert b"Tree=0" in grown[0]
    assert grown[0] == grown[1]
    assert not torch.equal(one["heads.ctr.weight"], two["heads.ctr.weight"])
    assert all(torch.equal(again[name], values) for name, values in two.items())
    lines = [line for line in said if line.startswith("boosted trees for clicks: ")]
    assert len(lines) == 3
    assert lines[1] == lines[2]


@pytest.mark.integration
def test_divergence_ends_training_without_another_try(ray_cluster: None, data_dir: str, tmp_path: Path) -> None:
    wild = TrainingConfig(workers=1, epochs=1, learning_rate=1e30, warmup_steps=0, gradient_clip=1e30)
    with pytest.raises(TrainingError, match=r"(is|are) not finite"):
        run(data_dir, tmp_path, training=wild)


@pytest.mark.integration
def test_evaluation_measures_what_it_wrote(
    trained: tuple[Path, TrainResult], data_dir: str, tmp_path: Path, rows: UserRows
) -> None:
    run_dir, result = trained
    metrics = evaluate(config=EvaluationConfig(), data_dir=data_dir, log_dir=str(tmp_path), run_dir=str(run_dir))
    expected = (rows.impressions["split"] == Split.TEST).sum()
    assert metrics["test"]["n"] == expected
    assert metrics["test"]["policy_roi"] is None
    assert "has no truth" in metrics["test"]["policy_skipped"]
    assert metrics["valid"]["auc"] == pytest.approx(result.history[result.best_epoch - 1]["valid_auc"], abs=1e-4)
    assert json.loads((run_dir / "evaluation" / "metrics.json").read_text()) == metrics
    assert metrics_table(metrics, every=True).row_count > 20
    assert list(metrics_table(metrics).columns[0].cells)[:3] == ["n", "clicks", "conversions"]
    written = pq.read_table(run_dir / "evaluation" / "predictions").to_pandas()
    test = written[written["split"] == Split.TEST]
    assert metrics["test"]["auc"] == pytest.approx(roc_auc_score(test["click"], test["p_ctr"]), abs=1e-3)
    segments = metrics["test"]["segments"]
    assert set(segments) == {"device", "campaign", "activity", "day"}
    assert all(sum(one["n"] for one in by_name.values()) == expected for by_name in segments.values())
    valid = written[written["split"] == Split.VALID]
    assert metrics["valid"]["logloss"] <= metrics["valid"]["raw_logloss"] + 1e-6
    assert metrics["valid"]["raw_logloss"] == pytest.approx(log_loss(valid["click"], valid["raw_p_ctr"]))
    assert metrics["test"]["logloss"] == pytest.approx(log_loss(test["click"], test["p_ctr"]))


def test_workers_leave_a_cpu_to_the_readers() -> None:
    resources = scaling_config(TrainingConfig(workers=2), {"CPU": 2.0}, users=10).resources_per_worker
    assert resources == {"CPU": 0.5}
    on_gpu = scaling_config(TrainingConfig(workers=2), {"CPU": 16.0, "GPU": 2.0}, users=10)
    assert on_gpu.use_gpu
    assert on_gpu.resources_per_worker == {"CPU": 1.0, "GPU": 1}


def test_elastic_workers_take_what_there_is() -> None:
    elastic = scaling_config(TrainingConfig(workers=8, min_workers=2), {"CPU": 16.0}, users=10)
    assert (elastic.min_workers, elastic.max_workers) == (2, 8)
    with_gpus = scaling_config(TrainingConfig(workers=8, min_workers=2), {"CPU": 16.0, "GPU": 3.0}, users=10)
    assert with_gpus.use_gpu
    with pytest.raises(ConfigError, match=r"min_workers is 3; it must be from 1 to training\.workers \(2\)"):
        TrainingConfig(workers=2, min_workers=3)


def test_there_are_no_more_workers_than_users() -> None:
    assert scaling_config(TrainingConfig(workers=4), {"CPU": 8.0}, users=3).num_workers == 3
    elastic = scaling_config(TrainingConfig(workers=4, min_workers=2), {"CPU": 8.0}, users=3)
    assert (elastic.min_workers, elastic.max_workers) == (2, 3)
    assert scaling_config(TrainingConfig(workers=4, min_workers=2), {"CPU": 8.0}, users=1).num_workers == 1


def test_more_workers_than_gpus_are_refused() -> None:
    with pytest.raises(TrainingError, match="the cluster has 0 GPUs"):
        scaling_config(TrainingConfig(use_gpu=True), {"CPU": 8.0}, users=30)


def test_an_epoch_is_one_line() -> None:
    losses = {f"train_{task}_loss": 0.5 for task in ("ctr", "cvr", "roi", "value")}
    valid = {"valid_loss": 1.0, "valid_auc": None, "valid_logloss": 0.4, "valid_ctcvr_auc": 0.6}
    line = epoch_line({"epoch": 1, "step": 20, "samples_per_s": 1234.5, "seconds": 2.0, **losses, **valid})
    assert "epoch  1  step     20     1,23" in line
    assert "auc – logloss 0.4000" in line
    assert "\n" not in line
    off = {f"train_{task}_loss": None for task in ("cvr", "roi", "value")}
    without = epoch_line({"epoch": 1, "step": 20, "samples_per_s": 1.0, "seconds": 2.0, **losses, **off, **valid})
    assert "train ctr 0.5000  valid loss" in without


def test_no_preprocessed_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no fitted features there; run `rosa preprocess` first"):
        run(str(tmp_path / "data"), tmp_path)
