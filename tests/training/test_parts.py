"""What events taught can be kept: parts that learn slower, that stand still at first, and rows that are held."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rosa_ray.features import FeatureState, Split, UserRows, collate, encode_users
from rosa_ray.models import (
    PARTS,
    LossConfig,
    LossScales,
    UserBatch,
    build_ranker,
    parameter_groups,
    part_of,
    ranker_names,
    ranker_settings,
)
from rosa_ray.settings.plain import to_plain
from rosa_ray.training.config import PartRates, TrainingConfig
from rosa_ray.training.in_process import InProcessTrainer, pretrain_in_process
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import PretrainConfig
from rosa_ray.training.step import Stepper
from tests.tiny_users import tiny_rows, tiny_state, write_data_dir

SETTINGS = {"width": 8, "heads": 2, "layers": 1, "window": 4, "hidden": (8,), "dropout": 0.1}


@pytest.fixture(scope="module")
def rows() -> UserRows:
    return tiny_rows(users=30)


def build(name: str, state: FeatureState) -> nn.Module:
    known = to_plain(ranker_settings(name, {}).settings)
    settings = {key: value for key, value in SETTINGS.items() if key in known}
    torch.manual_seed(1)
    return build_ranker(name, settings, state.table_sizes, state.base_rates)


def after(rows: UserRows, steps: int, factors: dict[str, float], **training: Any) -> tuple[dict, dict[str, Tensor]]:
    """Weights of a ranker before and after some steps."""
    state = tiny_state(rows)
    ranker = build("rosa", state)
    before = {name: weight.detach().clone() for name, weight in ranker.named_parameters()}
    stepper = Stepper(
        ranker,
        training=TrainingConfig(**training),
        loss=LossConfig(),
        scales=LossScales.of(state.base_rates),
        device=torch.device("cpu"),
    )
    users = encode_users(rows, state).select(Split.TRAIN)
    batch = UserBatch.from_numpy(collate(users, np.arange(len(users))))
    stepper.part_factors = factors
    for _ in range(steps):
        stepper(batch, 1e-2)
    return before, {name: weight.detach() for name, weight in ranker.named_parameters()}


def moved(before: dict[str, Tensor], now: dict[str, Tensor], part: str) -> float:
    """How far the weights of a part went, all together."""
    return sum(float((now[name] - start).abs().sum()) for name, start in before.items() if part_of(name) == part)


@pytest.mark.parametrize("name", ranker_names())
def test_every_weight_is_in_one_group_and_only_matrices_decay(name: str, rows: UserRows) -> None:
    ranker = build(name, tiny_state(rows))
    groups = parameter_groups(ranker, 0.5)
    found = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(found) == sorted(id(weight) for weight in ranker.parameters())
    decaying = {id(weight) for group in groups if group["weight_decay"] for weight in group["params"]}
    tables = {id(module.weight) for module in ranker.modules() if isinstance(module, nn.Embedding)}
    assert decaying == {id(weight) for weight in ranker.parameters() if weight.ndim >= 2} - tables


@pytest.mark.parametrize("name", ["rosa", "sasrec"])
def test_the_parts_are_what_the_next_event_teaches(name: str, rows: UserRows) -> None:
    state = tiny_state(rows)
    ranker = build(name, state).train()
    users = encode_users(rows, state)
    batch = UserBatch.from_numpy(collate(users, np.arange(len(users))))
    ranker(batch).next_event[0].backward()
    taught = {entry for entry, weight in ranker.named_parameters() if weight.grad is not None}
    assert taught == {entry for entry, _ in ranker.named_parameters() if part_of(entry) in PARTS}


def test_a_part_at_rate_zero_stands_still_and_the_others_learn(rows: UserRows) -> None:
    before, now = after(rows, 3, {"tables": 0.0})
    assert moved(before, now, "tables") == 0
    assert min(moved(before, now, part) for part in ("encoder", "heads")) > 0
    before, now = after(rows, 3, {"tables": 0.0, "encoder": 0.0})
    assert moved(before, now, "encoder") == 0 < moved(before, now, "heads")


def test_a_slower_part_goes_less_far(rows: UserRows) -> None:
    slow, fast = (after(rows, 3, {"encoder": factor}) for factor in (0.1, 1.0))
    assert moved(*slow, "encoder") < 0.2 * moved(*fast, "encoder")


def test_held_rows_stay_nearer_to_where_they_started(rows: UserRows) -> None:
    free, held, tight = (after(rows, 20, {}, row_anchor=strength) for strength in (0.0, 20.0, 100.0))
    assert moved(*held, "tables") < 0.8 * moved(*free, "tables")
    assert moved(*tight, "tables") == 0
    assert moved(*tight, "encoder") > 0


def job_of(data: str, pretrain: int = 1, **training: Any) -> TrainingJob:
    given = TrainingConfig(workers=1, users_per_batch=4, warmup_steps=0, patience=9, **training)
    events = PretrainConfig(epochs=pretrain, users_per_batch=4, holdout=0.3)
    return TrainingJob(ranker_settings("rosa", SETTINGS), LossConfig(), given, 3, data, pretrain=events)


@pytest.fixture(scope="module")
def data(rows: UserRows, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data_dir(tmp_path_factory.mktemp("log") / "data", rows)


def test_parts_at_rate_zero_are_to_the_bit_what_they_were_and_cost_no_gradient(
    rows: UserRows, data: str, tmp_path: Path
) -> None:
    job = job_of(data, epochs=1, rates=PartRates(tables=0, encoder=0))
    trainer = InProcessTrainer(pretrain_in_process(job, [rows.to_table()], str(tmp_path)), [rows.to_table()])
    ranker, start = trainer._worker.ranker, copy.deepcopy(trainer._worker.ranker.state_dict())
    trainer.run_epoch()
    still = {name for name in start if part_of(name) in PARTS}
    assert all(torch.equal(trainer.best_weights[name], start[name]) for name in still)
    assert still.isdisjoint(name for name, weight in ranker.named_parameters() if weight.grad is not None)
    assert not torch.equal(trainer.best_weights["heads.trunk.0.weight"], start["heads.trunk.0.weight"])


def test_without_pre_training_there_is_nothing_to_keep(rows: UserRows, data: str) -> None:
    keeping = {"rates": PartRates(tables=0, encoder=0.1), "freeze_epochs": 1, "row_anchor": 5.0}
    jobs = [job_of(data, pretrain=0, epochs=1, **training) for training in ({}, keeping)]
    plain, kept = (InProcessTrainer(job, [rows.to_table()]) for job in jobs)
    for trainer in (plain, kept):
        trainer.run_epoch()
    assert all(torch.equal(values, kept.best_weights[name]) for name, values in plain.best_weights.items())


def test_training_goes_on_to_the_bit_where_it_was_stopped(rows: UserRows, data: str, tmp_path: Path) -> None:
    job = job_of(data, epochs=3, rates=PartRates(tables=0.5, encoder=0.3), freeze_epochs=1, row_anchor=5.0)
    job = pretrain_in_process(job, [rows.to_table()], str(tmp_path))
    whole, first = (InProcessTrainer(job, [rows.to_table()]) for _ in range(2))
    for _ in range(3):
        whole.run_epoch()
    first.run_epoch()
    first.save(str(tmp_path / "state.pt"), "job")
    second = InProcessTrainer(job, [rows.to_table()])
    second.restore(str(tmp_path / "state.pt"), "job")
    while not second.finished:
        second.run_epoch()
    one, other = (trainer._worker.state_dict() for trainer in (whole, second))
    for name in ("model", "current", "anchor"):
        assert one[name].keys() == other[name].keys() != set()
        assert all(torch.equal(values, other[name][entry]) for entry, values in one[name].items())
