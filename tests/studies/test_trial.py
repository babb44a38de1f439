import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.errors import TrainingError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.features import Split
from rosa_ray.metrics import Ranking
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.storage import read_json, write_json
from rosa_ray.studies import identity
from rosa_ray.studies.compare.comparison import Comparison, best_rate
from rosa_ray.studies.compare.config import StudyConfig
from rosa_ray.studies.compare.measure import measure_trial
from rosa_ray.studies.compare.statistics import TrialStatistics, bootstrap
from rosa_ray.studies.compare.variants import curve_variants
from rosa_ray.studies.identity import FIT_CODE, MEASURE_CODE, code_digest
from rosa_ray.studies.trial import Trial, TrialRun, fit_trial, pretrained_place, stale_trials
from rosa_ray.training.config import TrainingConfig
from rosa_ray.training.event_worker import EventWorker
from rosa_ray.training.in_process import InProcessTrainer
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.pretrain_config import PretrainConfig
from rosa_ray.training.schedule import monitored
from tests.tiny_users import tiny_rows, write_data_dir

SETTINGS = {"width": 8, "window": 8, "hidden": (8,), "dropout": 0.0}
TRAINING = TrainingConfig(workers=1, epochs=2, users_per_batch=4, learning_rate=1e-2, warmup_steps=0)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data_dir(tmp_path_factory.mktemp("log") / "data", tiny_rows(users=30, per_user=12), parts=2)


def trial_of(data_dir: str, directory: Path, seed: int = 1, training: TrainingConfig = TRAINING) -> Trial:
    return Trial(
        job=TrainingJob(ranker_settings("wide_deep", SETTINGS), LossConfig(), training, seed, data_dir),
        calibration=CalibrationConfig(),
        evaluation=EvaluationConfig(),
        log_dir=f"{data_dir}/no-log",
        directory=str(directory),
    )


def measured(trial: Trial) -> dict:
    return measure_trial(trial, latency_requests=3, candidates=2)


@pytest.fixture(scope="module")
def ran(data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, dict]:
    trial = trial_of(data_dir, tmp_path_factory.mktemp("trial"))
    return trial, measured(trial)


def files_of(trial: Trial) -> list[str]:
    return sorted(str(path) for path in Path(trial.directory, "predictions").iterdir())


def test_trials_that_share_a_pretraining_pay_once(
    data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = PretrainConfig(epochs=1, users_per_batch=8, holdout=0.3)
    settings = {**SETTINGS, "layers": 1, "heads": 2}
    rosa = replace(trial_of(data_dir, tmp_path / "a"), run_dir=str(tmp_path))
    job = replace(rosa.job, model=ranker_settings("rosa", settings), pretrain=before)
    first, second = (
        replace(rosa, job=replace(job, loss=loss), directory=str(tmp_path / name))
        for name, loss in (("a", LossConfig()), ("b", LossConfig(gamma=0.0)))
    )
    assert pretrained_place(first) == pretrained_place(second)
    fit_trial(first)
    assert read_json(pretrained_place(first).document)["epochs"] == 1

    def refuse(*_: object) -> None:
        raise AssertionError("pre-trained again")

    monkeypatch.setattr(EventWorker, "_validate", refuse)
    assert fit_trial(second)["digest"] != fit_trial(first)["digest"]
    with pytest.raises(AssertionError, match="pre-trained again"):
        fit_trial(replace(second, job=replace(second.job, seed=9), directory=str(tmp_path / "c")))


def test_figures_are_those_of_the_predictions(ran: tuple[Trial, dict]) -> None:
    trial, result = ran
    test = read_predictions(files_of(trial), Split.TEST, ("click", "p_ctr"))
    assert result["test"]["auc"] == pytest.approx(roc_auc_score(test["click"], test["p_ctr"]), abs=2e-3)
    assert result["test"]["logloss"] == pytest.approx(log_loss(test["click"], test["p_ctr"]))
    assert result["test"]["policy_roi"] is None
    assert len(result["history"]) == result["epochs"] == 2
    assert result["latency"]["p99_ms"] >= result["latency"]["p50_ms"] > 0


def test_a_finished_trial_is_read_and_a_changed_one_is_run_again(
    ran: tuple[Trial, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, result = ran
    trial = replace(finished, directory=str(shutil.copytree(finished.directory, tmp_path / "copy")))

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(InProcessTrainer, "run_epoch", refuse)
    assert measured(trial) == json.loads(json.dumps(result))
    other = measured(replace(trial, calibration=CalibrationConfig(method="none")))
    assert other["test"]["pcoc"] == other["test"]["raw_pcoc"] == result["test"]["raw_pcoc"]
    with pytest.raises(AssertionError, match="trained again"):
        fit_trial(replace(trial, job=replace(trial.job, seed=2)))


def test_a_trial_of_other_settings_data_or_code_is_fitted_again(
    ran: tuple[Trial, dict], data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of these go on from each other's checkpoints in `rosa train`, whose digest says no more than that."""
    finished, _ = ran
    trial = replace(finished, directory=str(shutil.copytree(finished.directory, tmp_path / "copy")))

    def with_training(**changed: object) -> Trial:
        return replace(trial, job=replace(trial.job, training=replace(TRAINING, **changed)))

    def is_kept(other: Trial) -> bool:
        run = TrialRun(other)
        return run.kept(other.place.fit) is not None

    assert is_kept(trial)
    assert is_kept(with_training(keep_checkpoints=7, max_failures=0))
    assert stale_trials([trial, replace(trial, directory=str(tmp_path / "none"))]) is None
    longer, patient = with_training(epochs=9), with_training(patience=9)
    assert not any(map(is_kept, (longer, patient, with_training(memory_gb=0))))
    assert longer.job.digest("features", 30) == trial.job.digest("features", 30)
    assert stale_trials([longer]) == "1 kept trial fitted again: trained under other settings"

    copied = shutil.copytree(data_dir, tmp_path / "data")
    same = replace(trial, job=replace(trial.job, data_dir=str(copied)))
    assert is_kept(same)
    part = copied / "users" / "part-00000.parquet"
    rows = pq.read_table(part)
    pq.write_table(rows.take(pa.array(range(rows.num_rows)[::-1])), part)
    assert not is_kept(same)
    assert stale_trials([same, longer]) == "2 kept trials fitted again: trained under other data and other settings"

    monkeypatch.setattr(identity, "code_digest", lambda parts, model: "another version")
    assert not is_kept(trial)
    assert stale_trials([trial]) == "1 kept trial fitted again: trained under other code"


def test_a_trial_kept_by_an_earlier_version_is_fitted_again(ran: tuple[Trial, dict], tmp_path: Path) -> None:
    finished, _ = ran
    trial = replace(finished, directory=str(shutil.copytree(finished.directory, tmp_path / "copy")))
    former = {name: value for name, value in read_json(trial.place.fit).items() if name != "identity"}
    write_json({**former, "digest": trial.job.digest("features", 30)}, trial.place.fit)
    assert stale_trials([trial]) == "1 kept trial fitted again: trained under an earlier version"


def test_the_code_of_a_model_is_part_of_its_trials(tmp_path: Path) -> None:
    assert code_digest(FIT_CODE, "din") != code_digest(FIT_CODE, "examples.my_model")
    assert code_digest(FIT_CODE, "din") != code_digest(MEASURE_CODE, "din")


def test_a_killed_fit_goes_on_from_its_last_epoch(ran: tuple[Trial, dict], data_dir: str, tmp_path: Path) -> None:
    trial = trial_of(data_dir, tmp_path)
    epochs = TrialRun(trial).epochs()
    next(epochs)
    epochs.close()
    assert Path(trial.place.state).exists()
    fitted = fit_trial(trial)
    assert [record["resumed_from_step"] is None for record in fitted["history"]] == [True, False]
    assert fitted["monitor"] == ran[1]["monitor"]
    assert not list(Path(trial.directory).glob("state.pt*"))
    for name, weight in ran[0].weights().items():
        torch.testing.assert_close(trial.weights()[name], weight, rtol=0, atol=0)


def test_divergence_is_an_error(data_dir: str, tmp_path: Path) -> None:
    wild = replace(TRAINING, learning_rate=1e30, gradient_clip=1e30)
    with pytest.raises(TrainingError, match="not finite"):
        fit_trial(trial_of(data_dir, tmp_path, training=wild))


def test_the_whole_sample_gives_the_plain_figures_and_seeds_are_averaged(
    ran: tuple[Trial, dict], data_dir: str, tmp_path: Path
) -> None:
    trial, result = ran
    other = trial_of(data_dir, tmp_path, seed=2)
    second = measured(other)
    users = np.unique(read_predictions(files_of(trial), Split.TEST, ("user_key",))["user_key"])
    one, two = (TrialStatistics(files_of(each), users, trial.log_dir, Ranking("roi")) for each in (trial, other))
    drawn = bootstrap({"a": [one, two], "b": [one]}, "a", len(users), replicates=20)
    mean = (result["test"]["auc"] + second["test"]["auc"]) / 2
    assert drawn["a"][0]["auc"] == pytest.approx(mean, abs=2e-3)
    assert drawn["b"][0]["logloss"] == pytest.approx(result["test"]["logloss"])
    assert drawn["a"][0]["roi_gain"] is None
    assert len({figures["auc"] for figures in drawn["a"]}) > 10


def test_the_best_rate_follows_the_monitor() -> None:
    def rate(monitor: str, *values: float | None) -> float:
        config = TrainingConfig(monitor=monitor)
        records = [{monitor: value, "valid_logloss": loss} for value, loss in zip(values, (0.5, 0.4), strict=True)]
        results = [
            {"learning_rate": rate, "monitor_score": monitored(config, record)}
            for rate, record in zip((1e-3, 2e-3), records, strict=True)
        ]
        return best_rate(results)

    assert rate("valid_loss", 0.3, 0.2) == 2e-3
    assert rate("valid_auc", 0.3, 0.2) == 1e-3
    assert rate("valid_auc", None, None) == 2e-3


def test_a_trial_of_a_curve_differs_in_what_its_name_says(data_dir: str) -> None:
    plain = Comparison(
        "curve", "", StudyConfig(), TRAINING, CalibrationConfig(), EvaluationConfig(), data_dir, "", "/run"
    )
    rosa = ranker_settings("rosa", {"width": 8, "hidden": (8,), "layers": 1})
    variants = curve_variants(("wide_deep",), rosa, LossConfig(), (0.5,), 7)
    trials = {variant.name: plain.trial(variant, 1, 1e-2) for variant in variants}
    assert trials["wide_deep-share0.5"].directory == "/run/trials/wide_deep-share0.5-lr0.01-s1"
    assert [name for name, trial in trials.items() if trial.job.training.user_share == 0.5] == [
        "wide_deep-share0.5",
        "rosa-share0.5",
    ]
    assert trials["rosa-longer"].job.training == replace(trials["rosa"].job.training, patience=7)
    assert trials["rosa-wider"].job.model.settings == replace(rosa.settings, width=16, hidden=(16,))
    assert trials["rosa-deeper"].job.model.settings == replace(rosa.settings, layers=2)
