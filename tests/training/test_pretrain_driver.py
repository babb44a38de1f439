"""What the driver of a pre-training does around the workers, which run in this process here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.run_dir import PretrainedDir, RunDir
from rosa_ray.storage import read_json
from rosa_ray.tracking import TrackingConfig
from rosa_ray.training import pretrain as driver
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.event_worker import build_worker
from rosa_ray.training.in_process import InProcessTrainer, pretrain_in_process
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import PretrainConfig
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.pretrained import planned
from rosa_ray.training.ranks import Ranks
from rosa_ray.training.ray_worker import CHECKPOINT_FILE
from rosa_ray.training.start_weights import read_start
from tests.tiny_users import tiny_rows, write_data_dir

PRETRAIN = PretrainConfig(epochs=2, users_per_batch=8, holdout=0.2)
TRAINING = TrainingConfig(workers=1, epochs=1, warmup_steps=2)
ROSA = ranker_settings("rosa", {"width": 16, "heads": 2, "layers": 1, "window": 8, "hidden": (16,)})


class Kept:
    """A checkpoint in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def as_directory(self) -> Iterator[str]:
        yield str(self._folder)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the pre-trainings that workers were started for."""
    names: list[str] = []

    def fit(job: PretrainJob, checkpoints: str, name: str, on_epoch: Any) -> Any:
        names.append(name)
        tables = [pq.read_table(path) for path in sorted(Path(job.layout.users).iterdir())]
        worker, kept = build_worker(job, tables, Ranks()), []
        while not worker.finished:
            record = worker.run_epoch()
            folder = tmp_path / f"checkpoint-{record['epoch']}"
            folder.mkdir(exist_ok=True)
            torch.save(worker.state_dict(), folder / CHECKPOINT_FILE)
            kept.append((Kept(folder), record))
            on_epoch(record)
        outcome = {"history": worker.history, "error": None}
        return SimpleNamespace(return_value=outcome, best_checkpoints=kept, path=checkpoints)

    monkeypatch.setattr(driver, "fit", fit)
    return names


def alone(data_dir: str, run_dir: Path, pretrain: PretrainConfig = PRETRAIN) -> dict[str, Any]:
    return driver.pretrain_alone(
        model=ROSA,
        loss=LossConfig(),
        pretrain=pretrain,
        training=TRAINING,
        tracking=TrackingConfig(enabled=False),
        seed=5,
        data_dir=data_dir,
        run_dir=str(run_dir),
        config={},
    )


def test_the_workers_result_is_that_of_one_process_and_is_made_once(
    tmp_path: Path, fits: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = write_data_dir(tmp_path / "data", tiny_rows(users=40, per_user=4))
    document = alone(data_dir, tmp_path / "run")
    assert document == read_json(RunDir(str(tmp_path / "run")).pretrain)
    assert capsys.readouterr().out.count("events, epoch") == 2
    job = TrainingJob(ROSA, LossConfig(), TRAINING, 5, data_dir, pretrain=PRETRAIN)
    tables = [pq.read_table(path) for path in sorted(Path(data_dir, "users").iterdir())]
    one = read_start(pretrain_in_process(job, tables, str(tmp_path / "other")).start).weights
    other = read_start(planned(job, str(tmp_path / "run")).start).weights
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert InProcessTrainer(planned(job, str(tmp_path / "run")), tables).run_epoch()["epoch"] == 1
    assert alone(data_dir, tmp_path / "run") == document
    assert "pre-trained before" in capsys.readouterr().out
    assert len(fits) == 1


def test_a_new_day_starts_from_the_last_pretraining_of_another_run(tmp_path: Path, fits: list[str]) -> None:
    data_dir = write_data_dir(tmp_path / "data", tiny_rows(users=40, per_user=4))
    first = alone(data_dir, tmp_path / "yesterday")
    as_it_is = PretrainConfig(epochs=0, holdout=0.2, start_from=str(tmp_path / "yesterday"))
    document = alone(data_dir, tmp_path / "today", as_it_is)
    place = RunDir(str(tmp_path / "yesterday")).pretrained(first["digest"])
    assert document["started_from"] == place.root
    given, taken = (
        read_start(one.root).weights
        for one in (place, PretrainedDir(RunDir(str(tmp_path / "today")).pretrained(document["digest"]).root))
    )
    assert all(torch.equal(given[name], taken[name]) for name in given)
    assert len(fits) == 1
