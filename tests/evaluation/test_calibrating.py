from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rosa_ray.calibration import CalibrationConfig, CalibrationSums, Returns, fit_calibration
from rosa_ray.errors import InputError
from rosa_ray.evaluation.calibrating import calibrate
from rosa_ray.evaluation.predictions import prediction_columns, raw_columns
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.evaluation.segments import PeriodSegments, SegmentNames
from rosa_ray.features import Split, encode_users
from rosa_ray.inference import predict
from rosa_ray.models import build_ranker
from rosa_ray.run_dir import DataDir
from tests.described import described
from tests.tiny_users import tiny_rows, tiny_state, write_data_dir

SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 6, "hidden": (16,), "dropout": 0.1}


def test_the_driver_fits_what_predictions_of_the_validation_period_give(tmp_path: Path) -> None:
    rows = tiny_rows(users=30, per_user=16)
    layout, state = DataDir(write_data_dir(tmp_path / "data", rows)), tiny_state(rows)
    torch.manual_seed(3)
    ranker = build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates)
    nn.init.normal_(ranker.heads.ctr.weight)
    description = described("rosa", SETTINGS, state)
    config = CalibrationConfig()
    fitted = calibrate(config, description=description, weights=ranker.state_dict(), state=state, layout=layout)
    valid = encode_users(rows, state).select(Split.VALID)
    columns = prediction_columns(valid, predict(ranker, valid))
    expected = fit_calibration(CalibrationSums().update(columns), config)
    assert fitted.ctr.calibrated_logit == pytest.approx(expected.ctr.calibrated_logit, abs=1e-4)
    assert fitted.cvr.calibrated_logit == pytest.approx(expected.cvr.calibrated_logit, abs=1e-4)
    assert fitted.value_factor == pytest.approx(expected.value_factor)
    assert fitted.ctr.rows == len(columns["click"])


def test_a_log_without_candidates_costs_no_second_look_at_its_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tiny_rows(users=30, per_user=16)
    assert (rows.impressions["split"] != Split.VALID_POLICY).all()
    layout, state = DataDir(write_data_dir(tmp_path / "data", rows)), tiny_state(rows)
    ranker = build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates)
    monkeypatch.setattr(UserScorer, "encode", lambda self, block: pytest.fail("a block was encoded"))
    config = CalibrationConfig(method="none")
    description = described("rosa", SETTINGS, state)
    fitted = calibrate(config, description=description, weights=ranker.state_dict(), state=state, layout=layout)
    assert fitted.returns == Returns()


def test_without_data_that_is_said(tmp_path: Path) -> None:
    state, layout = tiny_state(tiny_rows(users=5)), DataDir(str(tmp_path))
    with pytest.raises(InputError, match="holds no user rows"):
        calibrate(CalibrationConfig(), description={}, weights={}, state=state, layout=layout)


def test_raw_scores_take_the_place_of_calibrated_ones() -> None:
    columns = {
        "p_ctr": np.array([0.2]),
        "p_cvr": np.array([0.5]),
        "p_ctcvr": np.array([0.1]),
        "value": np.array([3.0]),
        "raw_p_ctr": np.array([0.4]),
        "raw_p_cvr": np.array([0.6]),
        "raw_value": np.array([2.0]),
    }
    raw = raw_columns(columns)
    assert [raw[name][0] for name in ("p_ctr", "p_cvr", "value")] == [0.4, 0.6, 2.0]
    assert raw["p_ctcvr"] == pytest.approx([0.24])


def test_segments_have_the_names_people_know(tmp_path: Path) -> None:
    names = SegmentNames(["phone", "desk"], ["summer sale"])
    keys = {name: key for key, name in names.devices.items()}
    half = np.full(3, 0.5)
    segments = PeriodSegments()
    segments.update(
        {
            "device_key": np.array([keys["phone"], 0, 77]),
            "campaign_key": np.array([next(key for key, name in names.campaigns.items() if name == "summer sale")] * 3),
            "visible_events": np.array([0, 12, 12]),
            "time_us": np.array([0, 0, 86_400_000_000]),
            **dict.fromkeys(("p_ctr", "p_cvr", "p_ctcvr", "value"), half),
            **dict.fromkeys(("click", "conversion", "revenue"), np.zeros(3)),
        }
    )
    found = segments.compute(names)
    assert {attribute: {name: one["n"] for name, one in by.items()} for attribute, by in found.items()} == {
        "device": {"missing": 1, "000000000000004d": 1, "phone": 1},
        "campaign": {"summer sale": 3},
        "activity": {"0": 1, "10-49": 2},
        "day": {"1970-01-01": 2, "1970-01-02": 1},
    }
