"""`rosa calibrate`: the model stays, its calibration follows the newest data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from rosa_ray.bundle import ADS, open_bundle, write_bundle
from rosa_ray.calibration import Calibration, CalibrationConfig, Curve
from rosa_ray.errors import BundleError, InputError
from rosa_ray.features import FeatureState, UserRows
from rosa_ray.models import build_ranker
from rosa_ray.training.recalibrate import recalibrate
from tests.described import described
from tests.tiny_users import BOUNDS, tiny_rows, tiny_state, write_data_dir

SETTINGS = {"width": 16, "heads": 2, "layers": 1, "window": 6, "hidden": (16,), "dropout": 0.1}
OLD = Calibration(ctr=Curve((-1.0, 1.0), (-3.0, -1.0)))
CONFIG = CalibrationConfig(prior_positives=0.01)


def run_of(home: Path, rows: UserRows) -> Path:
    """A run whose model knows base rates alone, calibrated far too low."""
    data = write_data_dir(home / "data", rows)
    state = tiny_state(rows)
    torch.manual_seed(0)
    description = described("rosa", SETTINGS, state)
    write_bundle(
        home / "bundle",
        weights=build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates).state_dict(),
        model=description,
        features_saver=state.save,
        feature_fingerprint=state.fingerprint,
        metrics={"valid_auc": 0.7},
        config={"seed": 1},
        calibration=OLD,
        extra_files={ADS: Path(data) / "ads.parquet"},
    )
    return home


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_of(tmp_path, tiny_rows(users=30, per_user=16))


def test_only_the_calibration_is_another(run: Path) -> None:
    before = open_bundle(run / "bundle")
    found = recalibrate(CONFIG, data_dir=str(run / "data"), run_dir=str(run))
    after = open_bundle(run / "bundle")
    assert (found.former, found.version) == (before.model_version, after.model_version)
    assert after.model_version != before.model_version
    assert after.feature_fingerprint == before.feature_fingerprint
    assert all(torch.equal(after.weights()[name], tensor) for name, tensor in before.weights().items())
    assert after.file(ADS).read_bytes() == before.file(ADS).read_bytes()
    assert (after.model, after.metrics, after.config) == (before.model, before.metrics, before.config)


def test_the_level_follows_the_labels_of_new_days(run: Path) -> None:
    rows = UserRows.from_table(pq.read_table(run / "data" / "users"))
    inside = (rows.impressions["time_us"] >= BOUNDS.valid_us) & (rows.impressions["time_us"] < BOUNDS.test_us)
    found = recalibrate(CONFIG, data_dir=str(run / "data"), run_dir=str(run))
    assert (found.impressions, found.clicks) == (inside.sum(), rows.impressions["click"][inside].sum())
    before, after = found.pcoc["clicks"]
    assert before < 0.5
    assert after == pytest.approx(1, abs=0.01)
    assert open_bundle(run / "bundle").calibration.ctr != OLD.ctr


def test_again_on_the_same_data_it_is_the_same_model(run: Path) -> None:
    first = recalibrate(CONFIG, data_dir=str(run / "data"), run_dir=str(run))
    second = recalibrate(CONFIG, data_dir=str(run / "data"), run_dir=str(run))
    assert second.former == second.version == first.version


def test_a_day_preprocessed_since_is_scored_with_the_features_of_the_model(run: Path, tmp_path: Path) -> None:
    fingerprint = open_bundle(run / "bundle").feature_fingerprint
    later = write_data_dir(tmp_path / "later", tiny_rows(users=25, per_user=12, seed=4))
    recalibrate(CONFIG, data_dir=later, run_dir=str(run))
    bundle = open_bundle(run / "bundle")
    assert bundle.feature_fingerprint == fingerprint == bundle.features(FeatureState.load).fingerprint


def test_data_of_other_features_is_refused(run: Path, tmp_path: Path) -> None:
    rows = tiny_rows(users=10)
    other = tmp_path / "other"
    write_data_dir(other, rows)
    state = tiny_state(rows)
    replace(state, config=replace(state.config, views=("user_events",))).save(other / "features")
    with pytest.raises(BundleError, match="has other settings of features; train again"):
        recalibrate(CONFIG, data_dir=str(other), run_dir=str(run))


def test_a_period_without_impressions_is_said(run: Path, tmp_path: Path) -> None:
    rows = tiny_rows(users=10, relabel=lambda impressions: {"time_us": np.zeros_like(impressions["time_us"])})
    with pytest.raises(InputError, match="the validation period has no impressions"):
        recalibrate(CONFIG, data_dir=write_data_dir(tmp_path / "early", rows), run_dir=str(run))
