"""Pre-training on events in one process: what it sees, what it leaves alone, and what is kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.errors import ConfigError, InputError, TrainingError
from rosa_ray.features import EncodedUsers, UserRows, cut_timelines
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.run_dir import PretrainedDir, RunDir
from rosa_ray.storage import read_json
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.event_reader import EventReader
from rosa_ray.training.in_process import InProcessTrainer, pretrain_in_process
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import PretrainConfig
from rosa_ray.training.pretrain_job import PretrainJob
from rosa_ray.training.pretrained import pretrainable
from rosa_ray.training.start_weights import read_start
from tests.tiny_users import BOUNDS, tiny_rows, write_data_dir

SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 8, "hidden": (16,)}
PRETRAIN = PretrainConfig(epochs=2, users_per_batch=8, holdout=0.2, learning_rate=5e-3)
Epochs = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows() -> UserRows:
    return tiny_rows(users=60, per_user=6)


@pytest.fixture(scope="module")
def data_dir(rows: UserRows, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data_dir(tmp_path_factory.mktemp("log") / "data", rows)


def job(data_dir: str, name: str = "rosa", **changed: Any) -> TrainingJob:
    model = ranker_settings(name, {} if name == "din" else SETTINGS)
    training = TrainingConfig(workers=1, epochs=1, warmup_steps=2)
    return replace(TrainingJob(model, LossConfig(), training, 5, data_dir, pretrain=PRETRAIN), **changed)


def tables_of(data_dir: str) -> list[pa.Table]:
    return [pq.read_table(path) for path in sorted(Path(data_dir, "users").iterdir())]


def weights_of(started: TrainingJob) -> dict[str, torch.Tensor]:
    return dict(read_start(started.start).weights)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def done(data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingJob, Epochs]:
    seen: Epochs = []
    root = str(tmp_path_factory.mktemp("run"))
    return pretrain_in_process(job(data_dir), tables_of(data_dir), root, on_epoch=seen.append), seen


def test_held_out_events_are_told_better_from_epoch_to_epoch(done: tuple[TrainingJob, Epochs]) -> None:
    first, last = done[1][0], done[1][-1]
    assert last["valid_loss"] < first["valid_loss"] < first["valid_blank_loss"]
    assert first["valid_blank_loss"] == last["valid_blank_loss"]
    document = read_json(PretrainedDir(done[0].start).document)
    assert (document["epochs"], document["best_epoch"], document["loss"]) == (2, 2, last["valid_loss"])


def test_every_user_with_two_events_in_the_training_period_is_learned_from_or_held_out(
    rows: UserRows, data_dir: str
) -> None:
    past = rows.events["time_us"] < BOUNDS.valid_us
    counts = np.add.reduceat(np.r_[past, False], rows.event_offsets[:-1]) * (np.diff(rows.event_offsets) > 0)
    reader = EventReader(
        tables_of(data_dir), read_feature_state(f"{data_dir}/features"), 24, until_us=BOUNDS.valid_us, holdout=0.2
    )
    learned, held_out = next(reader.training(np.random.default_rng(0))), next(reader.validation())
    assert sorted([*learned.user_key, *held_out.user_key]) == rows.user_key[counts >= 2].tolist()
    assert len(learned.events["time_us"]) + len(held_out.events["time_us"]) == counts[counts >= 2].sum()
    assert 0 < len(held_out) < len(learned)


def test_users_without_impressions_teach_the_same(
    data_dir: str, done: tuple[TrainingJob, Epochs], tmp_path: Path
) -> None:
    bare = [UserRows.from_table(table).timelines(BOUNDS.test_us).to_table() for table in tables_of(data_dir)]
    again = pretrain_in_process(job(data_dir), bare, str(tmp_path))
    assert equal(weights_of(again), weights_of(done[0]))


def test_events_after_the_training_period_change_nothing(
    data_dir: str, done: tuple[TrainingJob, Epochs], tmp_path: Path
) -> None:
    def other_later(table: pa.Table) -> pa.Table:
        rows = UserRows.from_table(table)
        later = rows.events["time_us"] >= BOUNDS.valid_us
        assert later.any()
        moved = {name: np.where(later, rows.events[name][::-1], rows.events[name]) for name in ("item_key", "behavior")}
        return replace(rows, events={**rows.events, **moved}).to_table()

    again = pretrain_in_process(job(data_dir), [other_later(table) for table in tables_of(data_dir)], str(tmp_path))
    assert equal(weights_of(again), weights_of(done[0]))


def test_an_event_of_the_training_period_changes_the_weights(
    data_dir: str, done: tuple[TrainingJob, Epochs], tmp_path: Path
) -> None:
    def others(table: pa.Table) -> pa.Table:
        rows = UserRows.from_table(table)
        return replace(rows, events={**rows.events, "item_key": rows.events["item_key"][::-1]}).to_table()

    again = pretrain_in_process(job(data_dir), [others(table) for table in tables_of(data_dir)], str(tmp_path))
    assert not equal(weights_of(again), weights_of(done[0]))


def test_a_pretraining_that_was_stopped_ends_in_the_same_weights(
    data_dir: str, done: tuple[TrainingJob, Epochs], tmp_path: Path
) -> None:
    seen: Epochs = []
    trainer = InProcessTrainer(PretrainJob(job(data_dir)), tables_of(data_dir))
    place = RunDir(str(tmp_path)).pretrained(PretrainJob(job(data_dir)).digest)
    trainer.run_epoch()
    trainer.save(place.state, PretrainJob(job(data_dir)).digest)
    again = pretrain_in_process(job(data_dir), tables_of(data_dir), str(tmp_path), on_epoch=seen.append)
    assert [record["epoch"] for record in seen] == [2]
    assert equal(weights_of(again), weights_of(done[0]))
    assert not Path(place.state).exists()


def test_a_finished_pretraining_is_taken_as_it_is(data_dir: str, tmp_path: Path) -> None:
    seen: Epochs = []
    first = pretrain_in_process(job(data_dir), tables_of(data_dir), str(tmp_path))
    second = pretrain_in_process(job(data_dir), tables_of(data_dir), str(tmp_path), on_epoch=seen.append)
    assert (second, seen) == (first, [])


def test_training_starts_from_the_weights_and_ads_start_afresh(data_dir: str, done: tuple[TrainingJob, Epochs]) -> None:
    weights = weights_of(done[0])
    assert {"tables.item.weight", "tables.category.weight", "next_event.project.weight"} <= weights.keys()
    assert {name.split(".")[0] for name in weights} == {"tables", "events", "encoder", "next_event"}
    trained = InProcessTrainer(done[0], tables_of(data_dir))._worker.ranker.state_dict()
    fresh = InProcessTrainer(job(data_dir), tables_of(data_dir))._worker.ranker.state_dict()
    assert all(torch.equal(trained[name], weights[name]) for name in weights)
    assert all(torch.equal(trained[name], fresh[name]) for name in fresh.keys() - weights.keys())


def test_trainings_share_a_pretraining_that_they_cannot_change(data_dir: str) -> None:
    digest = PretrainJob(job(data_dir)).digest
    same: dict[str, Callable[[TrainingJob], TrainingJob]] = {
        "head": lambda one: replace(one, model=ranker_settings("rosa", {**SETTINGS, "hidden": (8,)})),
        "transitions": lambda one: replace(one, model=ranker_settings("rosa", {**SETTINGS, "transitions": False})),
        "boosted": lambda one: replace(one, model=ranker_settings("rosa", {**SETTINGS, "boosted": False})),
        "scale": lambda one: replace(one, model=ranker_settings("rosa", {**SETTINGS, "state_scale": 1.0})),
        "loss": lambda one: replace(one, loss=LossConfig(gamma=0)),
        "rate": lambda one: replace(one, training=replace(one.training, learning_rate=0.5, patience=9)),
    }
    other: dict[str, Callable[[TrainingJob], TrainingJob]] = {
        "width": lambda one: replace(one, model=ranker_settings("rosa", {**SETTINGS, "width": 8})),
        "seed": lambda one: replace(one, seed=6),
        "epochs": lambda one: replace(one, pretrain=replace(PRETRAIN, epochs=3)),
        "holdout": lambda one: replace(one, pretrain=replace(PRETRAIN, holdout=0.3)),
        "users": lambda one: replace(one, training=replace(one.training, user_share=0.5)),
    }
    assert {name for name, change in same.items() if PretrainJob(change(job(data_dir))).digest != digest} == set()
    assert {name for name, change in other.items() if PretrainJob(change(job(data_dir))).digest == digest} == set()


def test_what_no_event_touches_changes_no_pretrained_weight(
    data_dir: str, done: tuple[TrainingJob, Epochs], tmp_path: Path
) -> None:
    plain = ranker_settings("rosa", {**SETTINGS, "transitions": False, "boosted": False, "state_scale": 1.0})
    started = pretrain_in_process(job(data_dir, model=plain), tables_of(data_dir), str(tmp_path))
    assert equal(weights_of(started), weights_of(done[0]))
    InProcessTrainer(replace(started, start=done[0].start), tables_of(data_dir))


def test_the_digest_of_a_training_covers_what_it_starts_from(data_dir: str, done: tuple[TrainingJob, Epochs]) -> None:
    fresh = replace(done[0], pretrain=PretrainConfig(), start="", start_digest="")
    elsewhere = replace(done[0], start="/elsewhere")
    assert done[0].digest("f", 1) == elsewhere.digest("f", 1) != fresh.digest("f", 1)
    assert fresh.digest("f", 1) == job(data_dir).digest("f", 1)


def test_a_shard_that_does_not_fit_in_memory_is_learned_from_whole(
    data_dir: str, done: tuple[TrainingJob, Epochs], tmp_path: Path
) -> None:
    seen: Epochs = []
    training = replace(job(data_dir).training, memory_gb=0.0)
    pretrain_in_process(job(data_dir, training=training), tables_of(data_dir), str(tmp_path), on_epoch=seen.append)
    assert seen[0]["samples"] == done[1][0]["samples"]


def test_rows_of_known_ids_are_taken_along_to_another_log(
    data_dir: str, done: tuple[TrainingJob, Epochs], tmp_path: Path
) -> None:
    rows = tiny_rows(users=30, per_user=6, seed=3)
    moved = replace(rows, events={**rows.events, "item_key": rows.events["item_key"] + 7})
    moved = replace(moved, impressions={**rows.impressions, "item_key": rows.impressions["item_key"] + 7})
    tomorrow = write_data_dir(tmp_path / "data", moved)
    warm = replace(PRETRAIN, epochs=0, start_from=done[0].start)
    again = pretrain_in_process(job(tomorrow, pretrain=warm), tables_of(tomorrow), str(tmp_path))
    before, now = (read_feature_state(f"{one}/features").vocabularies["item"] for one in (data_dir, tomorrow))
    known = np.intersect1d(before.keys, now.keys)
    assert 0 < len(known) < len(before.keys)
    assert before.keys.tolist() != now.keys.tolist()
    given, taken = (weights_of(one)["tables.item.weight"] for one in (done[0], again))
    assert torch.equal(taken[now.lookup(known)], given[before.lookup(known)])
    assert torch.equal(weights_of(again)["encoder.norm.weight"], weights_of(done[0])["encoder.norm.weight"])


def test_a_warm_start_goes_on_learning_from_there(
    data_dir: str, done: tuple[TrainingJob, Epochs], tmp_path: Path
) -> None:
    seen: Epochs = []
    warm = replace(PRETRAIN, start_from=done[0].start)
    pretrain_in_process(job(data_dir, pretrain=warm), tables_of(data_dir), str(tmp_path), on_epoch=seen.append)
    assert seen[0]["valid_loss"] < done[1][-1]["valid_loss"]
    assert seen[0]["valid_blank_loss"] == done[1][0]["valid_blank_loss"]


def test_weights_of_another_width_are_refused(data_dir: str, done: tuple[TrainingJob, Epochs], tmp_path: Path) -> None:
    narrow = ranker_settings("rosa", {**SETTINGS, "width": 8})
    warm = job(data_dir, model=narrow, pretrain=replace(PRETRAIN, start_from=done[0].start))
    with pytest.raises(TrainingError, match=r"do not fit the model: .* the model has"):
        pretrain_in_process(warm, tables_of(data_dir), str(tmp_path))


def test_nothing_to_start_from_is_said(data_dir: str, tmp_path: Path) -> None:
    warm = job(data_dir, pretrain=replace(PRETRAIN, start_from=str(tmp_path)))
    with pytest.raises(InputError, match=r"pretrain\.start_from .* holds no weights"):
        pretrain_in_process(warm, tables_of(data_dir), str(tmp_path))


def test_damaged_weights_are_refused(data_dir: str, tmp_path: Path) -> None:
    started = pretrain_in_process(job(data_dir), tables_of(data_dir), str(tmp_path))
    path = Path(PretrainedDir(started.start).weights)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged, SHA-256"):
        InProcessTrainer(started, tables_of(data_dir))


def test_a_ranker_without_a_causal_encoder_says_so_in_one_line(data_dir: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.name is 'din', which has no encode and cannot be pre-trained"):
        pretrain_in_process(job(data_dir, "din"), tables_of(data_dir), str(tmp_path))


def test_studies_leave_pretraining_out_where_the_model_cannot(data_dir: str) -> None:
    assert not pretrainable(job(data_dir, "din")).pretrain.enabled
    assert pretrainable(job(data_dir, "sasrec")) == job(data_dir, "sasrec")


def test_a_log_of_one_timeline_says_that_none_can_be_held_out(tmp_path: Path) -> None:
    tiny = write_data_dir(tmp_path / "data", tiny_rows(users=2, per_user=60))
    with pytest.raises(TrainingError, match=r"held out|two events"):
        pretrain_in_process(job(tiny), tables_of(tiny), str(tmp_path))


def test_unknown_objectives_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"pretrain\.objective is .* some of .*next_event"):
        PretrainConfig(objective={"telepathy": 1.0})
    with pytest.raises(ConfigError, match=r"pretrain\.objective"):
        PretrainConfig(objective={"next_event": 0.0})


def test_pieces_of_a_long_timeline_hold_every_event_and_the_context_before_it() -> None:
    lengths = np.array([3, 9000, 0, 4097])
    offsets = np.r_[0, np.cumsum(lengths)]
    none = np.zeros(5, np.int64)
    users = EncodedUsers(np.arange(4), offsets, {"time_us": np.arange(offsets[-1])}, none, {}, np.empty((0, 2)))
    pieces = cut_timelines(users, context=100)
    assert pieces.user_key[pieces.user_key != 1].tolist() == [0, 2, *[3] * 5]
    assert np.unique(pieces.events["time_us"]).tolist() == list(range(offsets[-1]))
    assert np.diff(pieces.event_offsets).max() == 1024
    begins = pieces.events["time_us"][pieces.event_offsets[:-1][pieces.user_key == 1]]
    assert np.diff(begins).tolist() == [924] * (len(begins) - 1)
