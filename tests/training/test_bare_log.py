"""A log of labels, times, ads and one column of its own: no users, no costs, no conversions, no timelines."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.data.leakage.guard import LeakGuardConfig, guard
from rosa_ray.data.preprocess import PreprocessConfig, preprocess
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.evaluate import evaluate
from rosa_ray.features import FeatureConfig
from rosa_ray.features.own import ColumnConfig, own_columns
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.sources import SourceConfig, open_source
from rosa_ray.tracking import TrackingConfig
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig
from rosa_ray.training.trainer import train

ROWS = 3_000
FEATURES = FeatureConfig(columns={"request.place": ColumnConfig()})
CLICK_RATE = {"top": 0.5, "side": 0.1, "foot": 0.02}


def write_log(folder: Path) -> SourceConfig:
    rng = np.random.default_rng(0)
    places = np.array(list(CLICK_RATE))[rng.integers(0, 3, ROWS)]
    table = pa.table(
        {
            "clicked": (rng.random(ROWS) < np.vectorize(CLICK_RATE.get)(places)).astype(np.int8),
            "creative": [f"a{at}" for at in rng.integers(0, 5, ROWS)],
            "slot": places,
        }
    )
    pa.csv.write_csv(table, folder / "shown.csv")
    columns = {
        "impressions": {
            "impression_id": "#row",
            "request_time": "#row",
            "ad_id": "creative",
            "click": "clicked",
            "request.place": "slot",
        },
        "ads": {"ad_id": "creative"},
    }
    shown = str(folder / "shown.csv")
    return SourceConfig(kind="csv", impressions=shown, ads=shown, columns=columns)


@pytest.fixture(scope="module")
def preprocessed(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("bare")
    config, data = write_log(folder), str(folder / "data")
    source = open_source(config, own=own_columns(FEATURES.columns))
    report = preprocess(source, data, PreprocessConfig(partitions=2), FEATURES).report
    assert not guard(data, LeakGuardConfig(), config).leaks
    return data, report


@pytest.mark.integration
@pytest.mark.parametrize("name", ["rosa", pytest.param("deepfm", marks=pytest.mark.nightly)])
def test_what_the_column_says_of_clicks_is_learned_and_the_rest_is_said_to_be_off(
    name: str, preprocessed: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    (data, report), run_dir = preprocessed, str(tmp_path / "run")
    assert (report["users"], report["impressions"]) == (0, ROWS)
    assert report["lacking"]["impressions"] == ["request_id", "user_id", "bid", "cost", "conversion", "revenue"]
    train(
        model=ranker_settings(name, {"width": 8, "hidden": (16,)}),
        loss=LossConfig(),
        training=TrainingConfig(
            workers=1, epochs=4, users_per_batch=4, learning_rate=1e-2, warmup_steps=2, cpus_per_worker=1.0
        ),
        calibration=CalibrationConfig(),
        gate=GateTrainingConfig(),
        tracking=TrackingConfig(enabled=False),
        seed=5,
        data_dir=data,
        run_dir=run_dir,
        config={"seed": 5},
    )
    metrics = evaluate(config=EvaluationConfig(), data_dir=data, log_dir="", run_dir=run_dir)["test"]
    assert metrics["n"] == report["splits"]["test"]["impressions"] > 500
    assert metrics["auc"] > 0.75
    assert metrics["cvr_auc"] is None
    assert metrics["gauc"] is None
    assert "no conversion" in metrics["undefined"]["cvr_auc"]
