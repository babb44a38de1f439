"""Logs that lack labels, users or campaigns: everything ends, and says what is missing."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rosa_ray.bundle import open_bundle
from rosa_ray.calibration import CalibrationConfig
from rosa_ray.data.user_rows import list_user_files, read_feature_state
from rosa_ray.evaluation.calibrating import calibrate
from rosa_ray.evaluation.predictions import calibrated_columns
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import Split
from rosa_ray.metrics import Evaluation
from rosa_ray.models import LossConfig, LossScales, ranker_settings
from rosa_ray.storage import read_json, read_parquet
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig
from rosa_ray.training.in_process import InProcessTrainer
from rosa_ray.training.job import TrainingJob
from rosa_ray.training.lines import epoch_line, off_lines, undefined_monitor_line
from rosa_ray.training.trainer import make_bundle
from tests.tiny_users import BOUNDS, tiny_rows, tiny_state, write_data_dir

SETTINGS: dict[str, dict[str, Any]] = {
    "rosa": {"width": 16, "heads": 2, "layers": 1, "window": 6, "hidden": (16,)},
    "wide_deep": {"width": 8, "window": 6, "hidden": (8,)},
}
TRAINING = TrainingConfig(workers=1, epochs=2, users_per_batch=8)
Impressions = dict[str, np.ndarray]


def no_conversion(shown: Impressions) -> Impressions:
    return {name: np.zeros_like(shown[name]) for name in ("conversion", "revenue")}


def no_revenue(shown: Impressions) -> Impressions:
    return {"revenue": np.zeros_like(shown["revenue"])}


def one_click(shown: Impressions) -> Impressions:
    first = np.flatnonzero(shown["click"] & (shown["time_us"] < BOUNDS.valid_us))[0]
    return {"click": (np.arange(len(shown["click"])) == first).astype(np.int8), **no_conversion(shown)}


def no_click_in_validation(shown: Impressions) -> Impressions:
    kept = (shown["time_us"] < BOUNDS.valid_us) | (shown["time_us"] >= BOUNDS.test_us)
    return {name: shown[name] * kept for name in ("click", "conversion", "revenue")}


def cost_of_clicks(shown: Impressions) -> Impressions:
    return {"cost": shown["cost"] * 5 * shown["click"]}


def one_campaign(shown: Impressions) -> Impressions:
    return {"campaign_key": np.full_like(shown["campaign_key"], 200)}


CASES = {
    "no conversion": (no_conversion, 12),
    "no revenue": (no_revenue, 12),
    "one click": (one_click, 12),
    "no click in validation": (no_click_in_validation, 12),
    "one campaign": (one_campaign, 12),
    "one user": (lambda shown: {}, 1),
}


def job_of(data_dir: str, model: str = "wide_deep") -> TrainingJob:
    return TrainingJob(ranker_settings(model, SETTINGS[model]), LossConfig(), TRAINING, 3, data_dir)


def data_of(case: str, directory: Path) -> str:
    relabel, users = CASES[case]
    return write_data_dir(directory / "data", tiny_rows(users, per_user=40, relabel=relabel), parts=1)


def trained(job: TrainingJob) -> InProcessTrainer:
    trainer = InProcessTrainer(job, [read_parquet(path) for path, _ in list_user_files(job.layout.users)])
    while not trainer.finished:
        trainer.run_epoch()
    return trainer


@pytest.mark.parametrize("model", SETTINGS)
@pytest.mark.parametrize("case", CASES)
def test_training_ends_and_every_figure_is_a_number_or_missing(case: str, model: str, tmp_path: Path) -> None:
    trainer = trained(job_of(data_of(case, tmp_path), model))
    assert len(trainer.history) == 2
    for record in trainer.history:
        assert all(math.isfinite(value) for value in record.values() if value is not None)
        assert record["train_loss"] < 3
        assert record["valid_loss"] < 3
        assert "\n" not in epoch_line(record)
    assert all(torch.isfinite(weight).all() for weight in trainer.best_weights.values())


def test_tasks_without_labels_are_off_and_said(tmp_path: Path) -> None:
    """The ROI term was 36.99 in every epoch, and 18.65 of the validation loss."""
    job = job_of(data_of("no conversion", tmp_path))
    record = trained(job).history[-1]
    assert [record[f"train_{task}_loss"] for task in ("cvr", "roi", "value")] == [None] * 3
    assert [record[f"valid_{task}_loss"] for task in ("cvr", "roi", "value")] == [None] * 3
    assert record["valid_loss"] == pytest.approx(record["valid_ctr_loss"])
    assert record["train_weight_roi"] == 0
    assert "roi" not in epoch_line(record)
    totals = read_feature_state(job.layout.features).totals
    assert off_lines(LossConfig(), totals) == [
        f"conversions are not learned: no conversion among {totals['clicks']:.0f} clicks of the training period; their "
        f"rate stays at 0.5 in {totals['clicks']:.0f}",
        "ROI is not learned: no revenue in the training period; the ROI term of the loss is off",
        "the value of a conversion is not learned: no revenue in the training period; it is the ad's price",
    ]
    assert off_lines(LossConfig(beta=0.0, gamma=0.0, value=0.0), totals) == []


@pytest.mark.parametrize(
    ("case", "fallbacks"),
    [
        ("no conversion", {"cvr": "no conversion among", "value": "no conversion in the validation"}),
        ("no revenue", {"value": "no revenue in the validation"}),
        ("no click in validation", {"ctr": "no click among", "cvr": "no click in the", "value": "no conversion in"}),
        ("one campaign", {}),
    ],
)
def test_calibration_says_what_it_fell_back_to(case: str, fallbacks: dict[str, str], tmp_path: Path) -> None:
    job, told = job_of(data_of(case, tmp_path)), list[str]()
    trainer = trained(job)
    make_bundle(
        str(tmp_path / "bundle"),
        job=job,
        state=read_feature_state(job.layout.features),
        weights=trainer.best_weights,
        best=trainer.history[-1],
        config={},
        calibration=CalibrationConfig(),
        gate=GateTrainingConfig(),
        tell=told.append,
    )
    found = open_bundle(tmp_path / "bundle").calibration
    assert list(found.fallbacks) == list(fallbacks)
    assert all(found.fallbacks[part].startswith(reason) for part, reason in fallbacks.items())
    assert len(told) == len(fallbacks)
    assert all(line.endswith(reason) for line, reason in zip(told, found.fallbacks.values(), strict=True))
    assert ("fallbacks" in read_json(str(tmp_path / "bundle" / "calibration.json"))) == bool(fallbacks)
    assert found.cvr.is_identity == ("cvr" in fallbacks)


@pytest.mark.parametrize("case", CASES)
def test_every_missing_metric_has_its_reason(case: str, tmp_path: Path) -> None:
    job = job_of(data_of(case, tmp_path))
    state, weights = read_feature_state(job.layout.features), trained(job).best_weights
    calibration = calibrate(
        CalibrationConfig(),
        description=job.describe_model(state),
        weights=weights,
        state=state,
        layout=job.layout,
        use_gpu=False,
    )
    scorer = UserScorer.load(job.describe_model(state), weights, state)
    rows = scorer.score(scorer.encode(read_parquet(list_user_files(job.layout.users)[0][0])), Split.TEST)
    evaluation = Evaluation().update(calibrated_columns(rows, calibration))
    missing = {name for name, value in evaluation.compute().items() if value is None}
    assert set(evaluation.undefined()) == missing
    if case == "no conversion":
        clicks = evaluation.compute()["clicks"]
        assert evaluation.undefined()["cvr_auc"] == f"no conversion among {clicks} clicks"
    if case == "one click":
        assert evaluation.undefined()["auc"].startswith("no click among")
        assert evaluation.undefined()["cvr_auc"] == "no click"


def test_training_says_when_clicks_are_billed_and_expects_their_costs() -> None:
    paid, billed = (tiny_state(rows) for rows in (tiny_rows(), tiny_rows(relabel=cost_of_clicks)))
    line = "costs come with clicks: the ROI term divides by the cost expected before the request"
    assert off_lines(LossConfig(), billed.totals) == [line]
    assert off_lines(LossConfig(gamma=0.0), billed.totals) == off_lines(LossConfig(), paid.totals) == []
    scales = LossScales.of(billed.base_rates, billed.totals)
    assert scales.spend == "expected_cost"
    assert scales.revenue_per_cost == pytest.approx(billed.totals["revenue"] / billed.totals["expected_cost"])
    assert LossScales.of(paid.base_rates, paid.totals) == LossScales.of(paid.base_rates)


def test_a_monitor_that_validation_does_not_define_leaves_the_choice_to_the_log_loss(tmp_path: Path) -> None:
    job = job_of(data_of("no click in validation", tmp_path))
    job = replace(job, training=replace(job.training, monitor="valid_auc"))
    history = trained(job).history
    assert [record["valid_auc"] for record in history] == [None] * len(history)
    assert [record["monitor_score"] for record in history] == [-record["valid_logloss"] for record in history]
    line = undefined_monitor_line(job.training, history[0])
    assert line is not None
    assert line.endswith("which has one class only: valid_logloss chose epoch 1")
    assert undefined_monitor_line(TRAINING, history[0]) is None
