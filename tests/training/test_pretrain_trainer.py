"""Pre-training on Ray Train, and the training that starts from it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.errors import ConfigError
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.run_dir import RunDir
from rosa_ray.storage import read_json
from rosa_ray.tracking import TrackingConfig
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig
from rosa_ray.training.fit import fit
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain import pretrain_alone
from rosa_ray.training.pretrain_config import PretrainConfig
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.ray_worker import train_worker
from rosa_ray.training.trainer import TrainResult, train
from tests.tiny_users import BOUNDS, tiny_rows, write_data_dir

SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 8, "hidden": (16,)}
TRAINING = TrainingConfig(workers=2, epochs=1, users_per_batch=4, warmup_steps=5, cpus_per_worker=1.0)
PRETRAIN = PretrainConfig(epochs=2, users_per_batch=4, holdout=0.2, learning_rate=5e-3)
ROSA = ranker_settings("rosa", SETTINGS)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data_dir(tmp_path_factory.mktemp("log") / "data", tiny_rows(users=61, per_user=6))


def run(data_dir: str, run_dir: Path, tell: Any) -> TrainResult:
    return train(
        model=ROSA,
        loss=LossConfig(),
        training=TRAINING,
        calibration=CalibrationConfig(),
        gate=GateTrainingConfig(enabled=False),
        tracking=TrackingConfig(enabled=False),
        seed=5,
        data_dir=data_dir,
        run_dir=str(run_dir),
        config={},
        pretrain=PRETRAIN,
        on_epoch=lambda record: None,
        tell=tell,
    )


@pytest.mark.integration
def test_training_pretrains_once_and_starts_from_there(ray_cluster: None, data_dir: str, tmp_path: Path) -> None:
    """A worker dies once in epoch 2 of pre-training; the outcome is that of an uninterrupted one."""
    marker, rows = tmp_path / "killed", tiny_rows(users=61, per_user=6)

    def mortal(settings: dict[str, Any]) -> dict[str, Any]:
        from rosa_ray.training.event_worker import EventWorker

        take_step = EventWorker._step

        def step(self: EventWorker, users: Any, chosen: Any) -> None:
            if self.ranks.rank == 1 and len(self.history) == 1 and self.stepper.step > 8 and not marker.exists():
                marker.touch()
                os._exit(1)
            take_step(self, users, chosen)

        EventWorker._step = step  # type: ignore[method-assign]
        try:
            return train_worker(settings)
        finally:
            EventWorker._step = take_step  # type: ignore[method-assign]

    lines: list[str] = []
    trained = run(data_dir, tmp_path / "run", lines.append)
    document = read_json(RunDir(str(tmp_path / "run")).pretrain)
    assert document["epochs"] == 2
    assert document["history"][1]["workers"] == 2
    assert document["history"][1]["valid_loss"] < document["blank_loss"]
    assert sum(line.startswith("events, epoch") for line in lines) == 2
    past = int((rows.events["time_us"] < BOUNDS.valid_us).sum())
    assert 0.5 * past < document["history"][0]["samples"] < past
    job = PretrainJob(TrainingJob(ROSA, LossConfig(), TRAINING, 5, data_dir, pretrain=PRETRAIN))
    history = fit(job, str(tmp_path), "mortal", worker=mortal).return_value["history"]
    assert marker.exists()
    figures = ("epoch", "step", "samples", "train_loss", "valid_loss")
    assert np.array([[record[name] for name in figures] for record in history]) == pytest.approx(
        np.array([[record[name] for name in figures] for record in document["history"]]), abs=1e-6
    )
    lines.clear()
    again = run(data_dir, tmp_path / "run", lines.append)
    assert again.history == trained.history
    assert [line for line in lines if "pre-trained before" in line]
    assert not any(line.startswith("events, epoch") for line in lines)


def test_nothing_to_pretrain_is_said(data_dir: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pretrain\.epochs is 0"):
        pretrain_alone(
            model=ROSA,
            loss=LossConfig(),
            pretrain=PretrainConfig(),
            training=TRAINING,
            tracking=TrackingConfig(enabled=False),
            seed=5,
            data_dir=data_dir,
            run_dir=str(tmp_path),
            config={},
        )
