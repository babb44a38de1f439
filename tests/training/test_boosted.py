"""Trees of a trained ranker: fitted on which rows, weighed how, and kept by which trainers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.features import EncodedUsers, FeatureState, Split, UserRows, concat_users, encode_users
from rosa_ray.inference import load_ranker, predict
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.models.boosted import Trees
from rosa_ray.models.transitions import Transitions
from rosa_ray.models.tree_columns import Matrix
from rosa_ray.storage import read_parquet
from rosa_ray.training import boosted as module
from rosa_ray.training.boosted import (
    PRIOR_POSITIVES,
    SHRINKAGES,
    FileTables,
    blend_weight,
    own_logits,
    reader_of,
    with_trees,
)
from rosa_ray.training.boosting import boost
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.in_process import InProcessTrainer
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.members import InProcessMembers, member_jobs
from rosa_ray.training.reader import ShardReader
from rosa_ray.training.tree_rows import users_matrix
from tests.tiny_users import tiny_rows, tiny_users, write_data_dir

TRAINING = TrainingConfig(workers=1, epochs=2, users_per_batch=8, learning_rate=1e-3)
MODEL = {"width": 8, "heads": 2, "layers": 1, "window": 6, "hidden": (8,)}
TREES = ("boosted.click.model", "boosted.click.weight", "boosted.conversion.model")


def job_of(data_dir: str, **settings: object) -> TrainingJob:
    return TrainingJob(ranker_settings("rosa", MODEL | settings), LossConfig(), TRAINING, 3, data_dir)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data_dir(tmp_path_factory.mktemp("log") / "data", tiny_rows(users=80, per_user=20), parts=2)


@pytest.fixture(scope="module")
def state(data_dir: str) -> FeatureState:
    return read_feature_state(job_of(data_dir).layout.features)


@pytest.fixture(scope="module")
def tables(data_dir: str) -> list[pa.Table]:
    return [read_parquet(path) for path, _ in list_user_files(job_of(data_dir).layout.users)]


@pytest.fixture(scope="module")
def trained(data_dir: str, tables: list[pa.Table]) -> InProcessTrainer:
    return finished(InProcessTrainer(job_of(data_dir), tables))


def finished(trainer: InProcessTrainer) -> InProcessTrainer:
    while not trainer.finished:
        trainer.run_epoch()
    return trainer


def drawn(seed: int, count: int, bias: float = -2.0) -> tuple[np.ndarray, np.ndarray]:
    """True logits and labels."""
    rng = np.random.default_rng(seed)
    truth = bias + rng.normal(size=count)
    return truth, (rng.random(count) < 1 / (1 + np.exp(-truth))).astype(float)


def test_trees_that_know_more_count_more_and_noise_counts_little() -> None:
    truth, label = drawn(0, 20_000)
    rng, ones = np.random.default_rng(1), np.ones(20_000)
    noise = -2 + rng.normal(size=20_000)
    assert blend_weight(noise, truth, label, ones) > 0.9
    assert blend_weight(truth, noise, label, ones) < 0.1
    halves = [truth + 0.7 * rng.normal(size=20_000) for _ in range(2)]
    assert blend_weight(*halves, label, ones) == pytest.approx(0.5, abs=0.1)


def test_the_weight_has_the_least_log_loss_but_for_the_prior() -> None:
    truth, label = drawn(0, 4000)
    rng = np.random.default_rng(1)
    own, told, weight = (truth + rng.normal(size=4000), truth + 0.5 * rng.normal(size=4000), rng.random(4000))

    def loss(share: float) -> float:
        logit = own + share * (told - own)
        return float((weight * (np.logaddexp(0, logit) - label * logit)).sum())

    positives = label.sum()
    found = blend_weight(own, told, label, weight)
    plain = (found * (positives + PRIOR_POSITIVES) - PRIOR_POSITIVES / 2) / positives
    assert 0.1 < plain < 1
    assert loss(plain) == pytest.approx(min(loss(share) for share in np.linspace(0, 1, 2001)), rel=1e-7)


@pytest.mark.parametrize(("own", "told", "side"), [("truth", "noise", 0.0), ("noise", "truth", 1.0)])
def test_a_few_positives_do_not_decide(own: str, told: str, side: float) -> None:
    truth, label = drawn(2, 60, bias=-3.0)
    logit = {"truth": 4 * truth, "noise": -4 * truth}
    positives = label.sum()
    assert 0 < positives < 15
    expected = (side * positives + PRIOR_POSITIVES / 2) / (positives + PRIOR_POSITIVES)
    assert blend_weight(logit[own], logit[told], label, np.ones(60)) == pytest.approx(expected, abs=0.08)
    assert blend_weight(truth, truth, label, np.ones(60)) == pytest.approx(0.5)


def test_a_finished_training_has_trees_and_an_unfinished_one_has_none(
    trained: InProcessTrainer, data_dir: str, tables: list[pa.Table]
) -> None:
    record = trained.history[-1]
    assert record["click_trees"] > 0
    assert 0 < record["click_trees_weight"] < 1
    assert "click_trees" not in trained.history[0]
    assert len(trained.best_weights["boosted.click.model"]) > 0
    begun = InProcessTrainer(job_of(data_dir), tables)
    begun.run_epoch()
    assert len(begun.best_weights["boosted.click.model"]) == 0


def test_the_network_is_trained_as_without_trees(
    trained: InProcessTrainer, data_dir: str, tables: list[pa.Table]
) -> None:
    plain = finished(InProcessTrainer(job_of(data_dir, boosted=False), tables))
    assert [one["valid_logloss"] for one in plain.history] == [one["valid_logloss"] for one in trained.history]
    assert all(torch.equal(trained.best_weights[name], values) for name, values in plain.best_weights.items())
    assert "click_trees" not in plain.history[-1]


def test_trees_lower_the_loss_of_the_validation_period(
    trained: InProcessTrainer, tables: list[pa.Table], data_dir: str, state: FeatureState
) -> None:
    ranker = load_ranker(job_of(data_dir).describe_model(state), trained.best_weights)
    users = concat_users([encode_users(UserRows.from_table(table), state) for table in tables]).select(Split.VALID)
    label = users.impressions["click"]
    losses = []
    for _ in range(2):
        p = predict(ranker, users)["p_ctr"]
        losses.append(-np.mean(label * np.log(p) + (1 - label) * np.log1p(-p)))
        ranker.boosted.clear()
    assert losses[0] < losses[1]


def test_rows_are_read_from_files_as_a_trial_reads_them(
    trained: InProcessTrainer, data_dir: str, state: FeatureState
) -> None:
    """Trees that are there already change nothing: `rosa train` fits them again when it is called again."""
    job = job_of(data_dir)
    assert len(FileTables(job.layout.users)) == 2
    assert FileTables(job.layout.users)[1].num_rows > 0
    for weights in (trained.best_weights, {**trained.best_weights, "boosted.click.weight": torch.tensor(0.0)}):
        again, told = with_trees(job, weights, state, lambda context: reader_of(job, state, context))
        assert all(torch.equal(again[name], values) for name, values in trained.best_weights.items())
        assert "boosted trees for clicks" in told[0].line


def test_where_small_steps_are_not_done_larger_ones_are_tried(
    trained: InProcessTrainer, data_dir: str, state: FeatureState, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(data_dir)
    tried: list[float] = []

    def spy(*rows: Any, shrinkage: float, **how: Any) -> Trees:
        tried.append(shrinkage)
        return boost(*rows, shrinkage=shrinkage, **how)

    monkeypatch.setattr(module, "boost", spy)
    monkeypatch.setattr(module, "MOST_TREES", {"click": 4, "conversion": 2000})
    _, told = with_trees(job, trained.best_weights, state, lambda context: reader_of(job, state, context))
    assert tried == [*SHRINKAGES, SHRINKAGES[0]]
    assert told[0].trees <= 4


def test_a_stopped_fit_has_the_same_trees(
    trained: InProcessTrainer, data_dir: str, tables: list[pa.Table], tmp_path: Path
) -> None:
    path = str(tmp_path / "state.pt")
    stopped = InProcessTrainer(job_of(data_dir), tables)
    stopped.run_epoch()
    stopped.save(path, "d")
    again = InProcessTrainer(job_of(data_dir), tables)
    again.restore(path, "d")
    assert all(torch.equal(finished(again).best_weights[name], trained.best_weights[name]) for name in TREES)


def test_members_have_trees_of_their_own_seeds(data_dir: str, tables: list[pa.Table]) -> None:
    job = replace(job_of(data_dir), training=replace(TRAINING, members=2, epochs=1))
    members = InProcessMembers(member_jobs(job), tables)
    while not members.finished:
        members.run_epoch()
    first, second = (members.best_weights[f"members.{number}.boosted.click.model"] for number in (0, 1))
    assert len(first)
    assert len(second)
    assert not torch.equal(first, second)


def test_training_rows_read_other_users_transitions_and_validation_rows_all(
    trained: InProcessTrainer, data_dir: str, state: FeatureState, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[tuple[bool, bool]] = []

    def spy(users: EncodedUsers, sizes: dict[str, int], window: int, transitions: Transitions) -> Matrix:
        modes.append((bool((users.impressions["split"] == Split.TRAIN).all()), transitions.training))
        return users_matrix(users, sizes, window, transitions)

    monkeypatch.setattr(module, "users_matrix", spy)
    job = job_of(data_dir)
    with_trees(job, trained.best_weights, state, lambda context: reader_of(job, state, context))
    assert modes == [(True, True), (False, False)]


def test_own_logits_stand_at_their_rows(trained: InProcessTrainer, data_dir: str, state: FeatureState) -> None:
    ranker = load_ranker(job_of(data_dir).describe_model(state), trained.best_weights)
    users = tiny_users(users=12, per_user=7)[0]
    p = predict(ranker, users)
    found = own_logits(ranker, users, "cpu")
    np.testing.assert_allclose(1 / (1 + np.exp(-found["ctr_logit"])), p["p_ctr"])
    np.testing.assert_allclose(1 / (1 + np.exp(-found["cvr_logit"])), p["p_cvr"])


TOLD = ("conversion", "revenue")


def unbought(impressions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    nothing = np.zeros(len(impressions["click"]))
    return {"conversion": nothing.astype(np.int8), "revenue": nothing}


def unclicked(impressions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    late = impressions["split"] == Split.VALID
    click = np.where(late, 0, impressions["click"]).astype(np.int8)
    return {name: np.where(click == 1, impressions[name], 0).astype(impressions[name].dtype) for name in TOLD} | {
        "click": click
    }


@pytest.mark.parametrize(
    ("relabel", "reasons"),
    [
        (unbought, ["", "the training period has no conversion among"]),
        (unclicked, ["the validation period has no click among", "the validation period has no click"]),
    ],
)
def test_a_head_whose_labels_are_of_one_kind_has_no_trees_and_says_so(
    relabel: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], reasons: list[str], tmp_path: Path
) -> None:
    rows = tiny_rows(users=80, per_user=20)
    rows = replace(rows, impressions={**rows.impressions, **relabel(rows.impressions)})
    job = job_of(write_data_dir(tmp_path / "data", rows, parts=1))
    state = read_feature_state(job.layout.features)
    weights, told = with_trees(
        job, job.build(state).state_dict(), state, lambda context: reader_of(job, state, context)
    )
    for head, reason in zip(told, reasons, strict=True):
        assert head.reason.startswith(reason), head
        assert bool(head.reason) == bool(reason)
        assert (float(weights[f"boosted.{head.head}.weight"]) == 0) == bool(reason)


def test_without_validation_rows_there_are_no_trees(data_dir: str, state: FeatureState, tables: list[pa.Table]) -> None:
    class TrainingAlone(ShardReader):
        def validation(self) -> list[EncodedUsers]:  # type: ignore[override]
            return []

    job = job_of(data_dir)
    weights, told = with_trees(
        job, job.build(state).state_dict(), state, lambda context: TrainingAlone(tables, state, context)
    )
    assert [head.line for head in told] == [
        f"no boosted trees for {head}s: the validation period has no impressions" for head in ("click", "conversion")
    ]
    assert float(weights["boosted.click.weight"]) == 0


def test_other_rankers_are_left_as_they_are(data_dir: str, state: FeatureState) -> None:
    job = replace(job_of(data_dir), model=ranker_settings("din", {"width": 8, "window": 6, "hidden": (8,)}))
    weights = job.build(state).state_dict()

    def refuse(context: int) -> ShardReader:
        raise AssertionError(f"read {context} events")

    assert with_trees(job, weights, state, refuse) == (dict(weights), [])
