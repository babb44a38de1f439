"""Boosted trees through a trial: fitted, kept, calibrated and measured as rankers are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.errors import TrainingError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.features import Split
from rosa_ray.models import LossConfig
from rosa_ray.settings import Tagged
from rosa_ray.studies.compare.measure import measure_trial
from rosa_ray.studies.identity import FIT_CODE, code_digest
from rosa_ray.studies.trees.config import TREES, TreesConfig
from rosa_ray.studies.trees.trainer import TreesTrainer
from rosa_ray.studies.trial import Trial, TrialRun
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.job import TrainingJob
from tests.tiny_users import tiny_rows, write_data_dir

TRAINING = TrainingConfig(workers=1, learning_rate=0.1)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data_dir(tmp_path_factory.mktemp("log") / "data", tiny_rows(users=80, per_user=20), parts=2)


def trial_of(data_dir: str, directory: Path, transitions: bool = True, training: TrainingConfig = TRAINING) -> Trial:
    return Trial(
        job=TrainingJob(Tagged(TREES, TreesConfig(transitions)), LossConfig(), training, 1, data_dir),
        calibration=CalibrationConfig(),
        evaluation=EvaluationConfig(),
        log_dir=f"{data_dir}/no-log",
        directory=str(directory),
    )


def measured(trial: Trial) -> dict:
    return measure_trial(trial, latency_requests=3, candidates=2)


@pytest.fixture(scope="module", params=[False, True], ids=["trees", "trees_transitions"])
def ran(data_dir: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Trial, dict]:
    trial = trial_of(data_dir, tmp_path_factory.mktemp("trial"), request.param)
    return trial, measured(trial)


def scores_of(trial: Trial, split: Split = Split.TEST) -> dict[str, np.ndarray]:
    files = [trial.place.predictions(part) for part in range(2)]
    return read_predictions(files, split, ("impression_key", "p_ctr", "p_cvr", "raw_p_ctr", "raw_value", "price"))


def test_a_trial_of_trees_learns_and_has_the_figures_of_every_trial(ran: tuple[Trial, dict]) -> None:
    trial, result = ran
    assert result["test"]["auc"] > 0.7
    assert result["epochs"] == result["best_epoch"] == 1
    assert result["history"][0]["click_trees"] > 0
    assert result["latency"]["p99_ms"] >= result["latency"]["p50_ms"] > 0
    found = scores_of(trial)
    assert np.array_equal(found["raw_value"], found["price"])


def test_the_monitor_is_of_the_rows_that_calibration_scores(ran: tuple[Trial, dict]) -> None:
    _, result = ran
    assert result["monitor"] == pytest.approx(result["valid"]["raw_logloss"], rel=1e-6)


def test_a_finished_trial_is_read(ran: tuple[Trial, dict], monkeypatch: pytest.MonkeyPatch) -> None:
    trial, result = ran

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(TreesTrainer, "run_epoch", refuse)
    assert measured(trial)["test"]["auc"] == result["test"]["auc"]


def test_a_trial_is_repeated_to_the_last_digit(ran: tuple[Trial, dict], data_dir: str, tmp_path: Path) -> None:
    trial, _ = ran
    again = replace(trial, directory=str(tmp_path))
    measured(again)
    for name, values in scores_of(trial).items():
        assert np.array_equal(values, scores_of(again)[name]), name


def test_trees_train_on_a_share_of_the_users_and_score_all(data_dir: str, tmp_path: Path) -> None:
    whole, half = (
        trial_of(data_dir, tmp_path / str(share), training=replace(TRAINING, user_share=share)) for share in (1.0, 0.5)
    )
    samples = [TrialRun(trial).fit()["history"][0]["samples"] for trial in (whole, half)]
    assert 0.3 * samples[0] < samples[1] < 0.7 * samples[0]
    kept = [TrialRun(trial).trial.weights()["transitions.item_10_before"].sum() for trial in (whole, half)]
    assert kept[1] < kept[0]


def test_the_code_of_trees_is_part_of_their_trials_alone() -> None:
    assert code_digest(FIT_CODE, TREES) != code_digest(FIT_CODE, "din")


def test_a_log_without_conversions_keeps_their_base_rate(tmp_path: Path) -> None:
    def unbought(impressions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        nothing = np.zeros(len(impressions["click"]))
        return {"conversion": nothing.astype(np.int8), "revenue": nothing}

    data = write_data_dir(tmp_path / "data", tiny_rows(users=40, relabel=unbought), parts=1)
    fitted = TrialRun(trial_of(data, tmp_path / "trial")).fit()
    assert fitted["history"][0]["conversion_trees"] == 0


def test_a_period_without_impressions_is_an_error(tmp_path: Path) -> None:
    rows = tiny_rows(users=20)
    split = np.where(rows.impressions["split"] == Split.VALID, Split.TEST, rows.impressions["split"]).astype(np.int8)
    data = write_data_dir(tmp_path / "data", replace(rows, impressions={**rows.impressions, "split": split}), parts=1)
    with pytest.raises(TrainingError, match="the validation period has no impressions"):
        TrialRun(trial_of(data, tmp_path / "trial")).fit()
