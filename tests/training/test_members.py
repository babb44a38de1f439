"""Members are the same job under rising seeds, each fitted as it would be alone; together they are one ranker."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import Split
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.storage import read_parquet
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.in_process import InProcessTrainer
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.members import InProcessMembers, member_jobs
from tests.tiny_users import tiny_rows, write_data_dir

TRAINING = TrainingConfig(workers=1, epochs=2, users_per_batch=8, members=2)
MODEL = {"width": 16, "heads": 2, "layers": 1, "window": 6, "hidden": (16,)}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    data_dir = write_data_dir(tmp_path_factory.mktemp("data"), tiny_rows())
    return TrainingJob(ranker_settings("rosa", MODEL), LossConfig(), TRAINING, 3, data_dir)


@pytest.fixture(scope="module")
def tables(job: TrainingJob) -> list[pa.Table]:
    return [read_parquet(path) for path, _ in list_user_files(job.layout.users)]


@pytest.fixture(scope="module")
def weights(job: TrainingJob, tables: list[pa.Table]) -> dict[str, torch.Tensor]:
    return fitted(InProcessMembers(member_jobs(job), tables)).best_weights


def fitted(trainer: InProcessMembers) -> InProcessMembers:
    while not trainer.finished:
        trainer.run_epoch()
    return trainer


def test_members_have_rising_seeds_and_checkpoints_of_their_own(job: TrainingJob) -> None:
    first, second = member_jobs(job)
    assert (first.seed, second.seed) == (3, 4)
    assert first.digest("f", 1) != second.digest("f", 1)
    more = replace(job, training=replace(TRAINING, members=5))
    assert member_jobs(more)[0].digest("f", 1) == first.digest("f", 1)


def test_each_member_is_what_it_would_be_alone(
    job: TrainingJob, tables: list[pa.Table], weights: dict[str, torch.Tensor]
) -> None:
    second = InProcessTrainer(member_jobs(job)[1], tables)
    while not second.finished:
        second.run_epoch()
    assert len(weights) == 2 * len(second.best_weights)
    for name, values in second.best_weights.items():
        assert torch.equal(weights[f"members.1.{name}"], values), name


def test_the_ensemble_scores_as_the_mean_of_its_members(
    job: TrainingJob, tables: list[pa.Table], weights: dict[str, torch.Tensor]
) -> None:
    state = read_feature_state(job.layout.features)
    users = UserScorer.load(job.describe_model(state), weights, state).encode(tables[0])
    single = replace(job, training=replace(TRAINING, members=1)).describe_model(state)
    together = UserScorer.load(job.describe_model(state), weights, state).score(users, Split.VALID)
    apart = []
    for member in ("members.0.", "members.1."):
        own = {name.removeprefix(member): value for name, value in weights.items() if name.startswith(member)}
        apart.append(UserScorer.load(single, own, state).score(users, Split.VALID)["p_ctr"])
    np.testing.assert_allclose(together["p_ctr"], np.mean(apart, axis=0), rtol=1e-5)
    assert np.abs(apart[0] - apart[1]).max() > 1e-4


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_fit_that_was_stopped_goes_on_with_the_member_it_was_at(
    job: TrainingJob, tables: list[pa.Table], weights: dict[str, torch.Tensor], tmp_path: Path, stop_after: int
) -> None:
    path = str(tmp_path / "state.pt")
    stopped = InProcessMembers(member_jobs(job), tables)
    for _ in range(stop_after):
        stopped.run_epoch()
        stopped.save(path, "d")
    went_on = InProcessMembers(member_jobs(job), tables)
    went_on.restore(path, "d")
    assert len(went_on.history) == stop_after
    fitted(went_on)
    assert [record["member"] for record in went_on.history] == [1, 1, 2, 2]
    assert all(torch.equal(weights[name], values) for name, values in went_on.best_weights.items())
