from pathlib import Path

import pytest
import torch

from rosa_ray.calibration import Calibration, CalibrationConfig
from rosa_ray.evaluation import calibrating
from rosa_ray.models import build_ranker
from rosa_ray.run_dir import DataDir
from tests.tiny_users import tiny_rows, tiny_state, write_data_dir

SETTINGS = {"width": 8, "window": 6, "hidden": (8,), "dropout": 0.1}


@pytest.mark.integration
def test_the_pool_fits_what_the_driver_fits(ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tiny_rows(users=30, per_user=16)
    layout, state = DataDir(write_data_dir(tmp_path / "data", rows)), tiny_state(rows)
    torch.manual_seed(3)
    ranker = build_ranker("din", SETTINGS, state.table_sizes, state.base_rates)
    description = {"name": "din", "config": SETTINGS, "sizes": state.table_sizes, "base_rates": state.base_rates}

    def fitted() -> Calibration:
        config, weights = CalibrationConfig(), ranker.state_dict()
        return calibrating.calibrate(config, description=description, weights=weights, state=state, layout=layout)

    by_driver = fitted()
    monkeypatch.setattr(calibrating, "DRIVER_USERS", 0)
    by_pool = fitted()
    assert by_pool.ctr.rows == by_driver.ctr.rows > 0
    assert by_pool.ctr.calibrated_logit == pytest.approx(by_driver.ctr.calibrated_logit, abs=1e-5)
    assert by_pool.value_factor == pytest.approx(by_driver.value_factor)
