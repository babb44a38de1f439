"""A thinned log through training and both ways of measuring: the figures are those of the whole log."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.evaluate import labelled_metrics
from rosa_ray.features import FeatureState, Split, UserRows
from rosa_ray.metrics import Ranking
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.storage import write_parquet
from rosa_ray.studies.compare.measure import measure_trial
from rosa_ray.studies.compare.statistics import TrialStatistics
from rosa_ray.studies.sweep.held_out import held_out_figures
from rosa_ray.studies.trial import Trial, TrialRun
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.job import TrainingJob
from tests.weighted import log, repeat_rows, rows_of, state_of, thinned, weigh

SETTINGS = {"width": 8, "window": 8, "hidden": (8,), "dropout": 0.0}
TRAINING = TrainingConfig(workers=1, epochs=2, users_per_batch=4, learning_rate=3e-3, warmup_steps=0)
KEEP = 0.1


def write(folder: Path, rows: UserRows, state: FeatureState) -> str:
    (folder / "users").mkdir(parents=True)
    pq.write_table(rows.to_table(), folder / "users" / "part-00000.parquet", write_page_checksum=True)
    state.save(folder / "features")
    return str(folder)


def trial_of(folder: Path, rows: UserRows, method: str = "platt") -> Trial:
    data = write(folder / "data", rows, state_of(rows))
    return Trial(
        job=TrainingJob(ranker_settings("wide_deep", SETTINGS), LossConfig(), TRAINING, 1, data),
        calibration=CalibrationConfig(method=method),
        evaluation=EvaluationConfig(),
        log_dir=f"{data}/no-log",
        directory=str(folder / "trial"),
    )


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, dict]:
    events, table = log(impressions=24_000)
    rare = thinned(table, 1.0)
    trial = trial_of(tmp_path_factory.mktemp("thin"), rows_of(events, thinned(rare, KEEP), KEEP))
    return trial, measure_trial(trial, latency_requests=2, candidates=2)


def figures_of(trial: Trial) -> dict:
    files = [trial.place.predictions(0)]
    users = np.unique(pq.read_table(files[0])["user_key"].to_numpy())
    return TrialStatistics(files, users, trial.log_dir, Ranking("roi"))(np.ones(len(users), np.int64))


def test_compare_and_evaluate_agree_and_predict_for_the_whole_log(thin: tuple[Trial, dict]) -> None:
    trial, result = thin
    compared, test = figures_of(trial), result["test"]
    for name in ("pcoc", "cvr_pcoc", "ctcvr_pcoc", "logloss", "auc", "cvr_auc"):
        assert compared[name] == pytest.approx(test[name], rel=1e-3), name
    assert test["pcoc"] == pytest.approx(1, abs=0.1)
    assert test["raw_pcoc"] == pytest.approx(1, abs=0.2)
    assert test["ctr"] == pytest.approx(0.3, abs=0.03)
    assert test["clicks"] / test["n"] > 0.7


def test_the_monitor_and_the_sweep_measure_what_rows_stand_for(thin: tuple[Trial, dict]) -> None:
    trial, result = thin
    held_out = held_out_figures(TrialRun(trial))
    assert held_out["pcoc"] == pytest.approx(1, abs=0.2)
    epoch = result["history"][result["best_epoch"] - 1]
    assert held_out["logloss"] == pytest.approx(epoch["valid_logloss"], rel=1e-3)
    assert held_out["label_loss"] == pytest.approx(epoch["valid_logloss"] + epoch["valid_ctcvr_logloss"], rel=1e-3)
    entropy = -(0.3 * np.log(0.3) + 0.7 * np.log(0.7))
    assert held_out["logloss"] == pytest.approx(entropy, abs=0.03)


def test_a_study_takes_a_weight_as_so_many_rows(thin: tuple[Trial, dict], tmp_path: Path) -> None:
    trial, _ = thin
    table = pq.read_table(trial.place.predictions(0))
    times = np.rint(table["weight"].to_numpy()).astype(np.int64)
    repeated = table.take(np.repeat(np.arange(table.num_rows), times))
    place = repeated.column_names.index("weight")
    repeated = repeated.set_column(place, "weight", [np.ones(repeated.num_rows)])
    path = str(tmp_path / "repeated.parquet")
    write_parquet(repeated, path)
    users = np.unique(table["user_key"].to_numpy())
    one, other = (
        TrialStatistics([file], users, trial.log_dir, Ranking("roi")) for file in (trial.place.predictions(0), path)
    )
    for seed in range(3):
        drawn = np.bincount(np.random.default_rng(seed).integers(0, len(users), len(users)), minlength=len(users))
        assert one(drawn) == pytest.approx(other(drawn))
    metrics = [labelled_metrics([file], Split.TEST) for file in (trial.place.predictions(0), path)]
    for name in ("auc", "gauc", "logloss", "pcoc", "ece", "raw_pcoc", "revenue_pcoc"):
        assert metrics[0][name] == pytest.approx(metrics[1][name]), name


def test_training_takes_a_weight_as_so_many_rows(tmp_path: Path) -> None:
    """One batch holds all users, so that no order of rows decides; the averaged weights are what is compared."""
    events, table = log(users=12, impressions=400)
    rows = rows_of(events, weigh(table, np.random.default_rng(0).integers(1, 4, 400).astype(float)))
    found = []
    for name, each in (("weighted", rows), ("repeated", repeat_rows(rows))):
        trial = trial_of(tmp_path / name, each)
        result = measure_trial(trial, latency_requests=2, candidates=2)
        found.append((trial.weights(), result))
    (mine, one), (theirs, other) = found
    for name, tensor in mine.items():
        np.testing.assert_allclose(tensor.numpy(), theirs[name].numpy(), rtol=2e-2, atol=2e-4, err_msg=name)
    for name in ("pcoc", "logloss", "auc", "ctcvr_logloss"):
        assert one["test"][name] == pytest.approx(other["test"][name], rel=1e-3), name
