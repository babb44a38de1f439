import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.data.user_rows import list_user_files
from rosa_ray.errors import TrainingError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.features import Split, UserRows
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import hash_ids
from rosa_ray.storage import read_parquet, write_parquet
from rosa_ray.studies.sweep.config import TuneConfig
from rosa_ray.studies.sweep.front import pareto_front, pick_winner
from rosa_ray.studies.sweep.held_out import policy_value_of, policy_values, require_objectives
from rosa_ray.studies.sweep.trial import SweepTrial, trial_records
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig
from rosa_ray.training.in_process import InProcessTrainer
from rosa_ray.training.job import TrainingJob
from tests.tiny_users import tiny_rows, write_data_dir

TRAINING = TrainingConfig(workers=1, epochs=3, users_per_batch=4, warmup_steps=0, monitor="valid_auc", patience=9)
MODEL = {"width": 8, "window": 8, "hidden": (8,), "dropout": 0.1}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data_dir(tmp_path_factory.mktemp("log") / "data", tiny_rows(users=30, per_user=12), parts=2)


def trial_of(data_dir: str, directory: Path, training: TrainingConfig = TRAINING) -> SweepTrial:
    job = TrainingJob(ranker_settings("wide_deep", MODEL), LossConfig(), training, 1, data_dir)
    return SweepTrial(
        job=job,
        calibration=CalibrationConfig(),
        evaluation=EvaluationConfig(),
        log_dir=f"{data_dir}/no-log",
        directory=str(directory),
        number=0,
        params={},
        gate=GateTrainingConfig(),
        config={},
    )


def test_a_killed_trial_goes_on_and_ends_as_the_uninterrupted_one(
    data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trial_of(data_dir, tmp_path / "whole")
    records = list(trial_records(whole))
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert ["figures" in record for record in records] == [False, False, True]
    figures = records[-1]["figures"]
    assert (figures["policy_roi"], figures["policy_value"]) == (None, None)
    assert figures["label_loss"] == pytest.approx(figures["logloss"] + figures["ctcvr_logloss"])

    cut = trial_of(data_dir, tmp_path / "cut")
    epochs = trial_records(cut)
    next(epochs)
    epochs.close()
    rest = list(trial_records(cut))
    assert [record["epoch"] for record in rest] == [2, 3]
    assert rest[-1]["figures"] == records[-1]["figures"]
    for name, weight in whole.weights().items():
        torch.testing.assert_close(cut.weights()[name], weight, rtol=0, atol=0)

    monkeypatch.setattr(InProcessTrainer, "run_epoch", lambda self: pytest.fail("trained again"))
    (kept,) = trial_records(cut)
    assert kept["figures"] == rest[-1]["figures"]


def test_a_trial_that_diverges_says_so_instead_of_raising(data_dir: str, tmp_path: Path) -> None:
    wild = replace(TRAINING, learning_rate=1e30, gradient_clip=1e30)
    (record,) = trial_records(trial_of(data_dir, tmp_path, wild))
    assert "not finite" in record["error"]
    assert set(record) == {"error"}


def rows(**columns: list[Any]) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in columns.items()}


def test_policy_values_by_hand(tmp_path: Path) -> None:
    # two requests of two candidates; the model's scores (p_ctr, all else equal) choose a in the first, d in the second
    names = ["a", "b", "c", "d"]
    candidates = rows(
        request_key=[1, 1, 2, 2], p_ctr=[0.4, 0.2, 0.1, 0.3], p_cvr=[0.5] * 4, value=[10.0] * 4, expected_cost=[1.0] * 4
    ) | {"impression_key": hash_ids(pa.array(names))}
    truth = {"impression_id": names, "expected_revenue": [3.0, 9.0, 9.0, 2.0], "expected_cost": [1.0, 1.0, 1.0, 3.0]}
    write_parquet(pa.table(truth), str(tmp_path / "truth/part-0.parquet"))
    # shown were a (propensity 0.5, earned 4 for 1) and c (which the model would not show)
    shown = rows(
        user_key=[1, 2],
        request_key=[1, 2],
        propensity=[0.5, 0.5],
        weight=[1.0, 1.0],
        click=[1, 0],
        revenue=[4.0, 0.0],
        cost=[1.0, 3.0],
        p_ctr=[0.4, 0.1],
        p_cvr=[0.5, 0.5],
        value=[10.0, 10.0],
        expected_cost=[1.0, 1.0],
    ) | {"impression_key": hash_ids(pa.array(["a", "c"]))}
    config = EvaluationConfig()
    found = policy_values(shown, candidates, str(tmp_path), config)
    assert found["exact"] == pytest.approx((3 + 2) / (1 + 3) - 1)
    assert found["snips"] == pytest.approx(4 / 1 - 1)
    alone = policy_values(shown, {name: values[:0] for name, values in candidates.items()}, str(tmp_path), config)
    assert alone == {"exact": None, "snips": None}


def write_candidates(data_dir: str, propensity: float) -> DataDir:
    """The data with every test impression turned into a candidate of the validation period."""
    layout = DataDir(data_dir)
    for path, _ in list_user_files(layout.users):
        rows = UserRows.from_table(read_parquet(path))
        shown = rows.impressions
        split = np.where(shown["split"] == Split.TEST, Split.VALID_POLICY, shown["split"]).astype(np.int8)
        known = np.full(len(split), propensity, np.float32)
        changed = replace(rows, impressions={**shown, "split": split, "propensity": known})
        write_parquet(changed.to_table(), path)
    return layout


def test_only_candidates_with_a_truth_or_propensities_give_a_policy_its_value(data_dir: str, tmp_path: Path) -> None:
    assert policy_value_of(DataDir(data_dir), str(tmp_path)) is None
    unknown = write_candidates(str(shutil.copytree(data_dir, tmp_path / "unknown")), float("nan"))
    assert policy_value_of(unknown, str(tmp_path)) is None
    known = write_candidates(str(shutil.copytree(data_dir, tmp_path / "known")), 0.5)
    assert policy_value_of(known, str(tmp_path)) == "snips"
    truth = {"impression_id": ["a"], "expected_revenue": [1.0], "expected_cost": [1.0]}
    write_parquet(pa.table(truth), str(tmp_path / "truth/part-0.parquet"))
    assert policy_value_of(unknown, str(tmp_path)) == "exact"


def test_without_candidates_the_likelihood_of_the_labels_picks() -> None:
    """Trial 1 has what the best-scored impressions happened to earn; trial 0 predicts the labels best."""
    config = TuneConfig().without_policy_roi()
    values = {
        0: {"label_loss": 0.30, "auc": 0.70, "calibration": 0.1},
        1: {"label_loss": 0.35, "auc": 0.71, "calibration": 0.1},
        2: {"label_loss": 0.36, "auc": 0.69, "calibration": 0.1},
    }
    front = pareto_front(values, config.directions)
    assert front == [0, 1]
    off = {number: found["calibration"] for number, found in values.items()}
    assert pick_winner(values, front, config.directions, config.pick, config.max_calibration, off) == 0
    chosen = TuneConfig(objectives=("auc", "label_loss", "policy_roi"), pick="auc").without_policy_roi()
    assert (chosen.objectives, chosen.pick) == (("auc", "label_loss"), "auc")


def test_an_undefined_objective_is_named() -> None:
    assert require_objectives({"auc": 0.6, "calibration": 0.1}, ("auc", "calibration")) == [0.6, 0.1]
    with pytest.raises(TrainingError, match="policy_roi, calibration undefined"):
        require_objectives({"policy_roi": None, "auc": 0.6, "calibration": None}, ("policy_roi", "auc", "calibration"))
