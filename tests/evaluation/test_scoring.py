from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.calibration import Calibration
from rosa_ray.evaluation.predictions import calibrated_columns, list_predictions, raw_columns, read_predictions
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import Split, UserRows, encode_users
from rosa_ray.models import build_ranker
from rosa_ray.storage import write_parquet
from tests.tiny_users import tiny_rows, tiny_state

SETTINGS = {"width": 8, "window": 8, "hidden": (8,), "dropout": 0.1}


@pytest.fixture(scope="module")
def rows() -> UserRows:
    return tiny_rows(users=20, per_user=12)


@pytest.fixture(scope="module")
def scored(rows: UserRows) -> dict[str, np.ndarray]:
    state = tiny_state(rows)
    scorer = UserScorer(build_ranker("din", SETTINGS, state.table_sizes, state.base_rates), state, users_per_batch=4)
    return scorer.score(scorer.encode(rows.to_table()), Split.VALID, Split.TEST)


def test_every_impression_of_the_splits_is_scored_beside_its_labels(
    scored: dict[str, np.ndarray], rows: UserRows
) -> None:
    wanted = np.isin(rows.impressions["split"], [Split.VALID, Split.TEST])
    for name in ("impression_key", "click", "revenue"):
        assert np.array_equal(scored[name], rows.impressions[name][wanted])
    visible = encode_users(rows, tiny_state(rows)).impressions["visible"]
    assert np.array_equal(scored["visible_events"], visible[wanted])  # of whole timelines, though scoring trims them
    assert ((scored["p_ctr"] > 0) & (scored["p_ctr"] < 1)).all()


def test_raw_scores_stay_beside_calibrated_ones(scored: dict[str, np.ndarray]) -> None:
    calibrated = calibrated_columns(scored, Calibration(value_factor=2.0))
    assert calibrated["value"] == pytest.approx(2 * scored["value"])
    raw = raw_columns(calibrated)
    assert all(np.array_equal(raw[name], scored[name], equal_nan=True) for name in scored)


def test_a_split_is_read_back_file_after_file(scored: dict[str, np.ndarray], tmp_path: Path) -> None:
    table = pa.table(scored)
    for part, start in enumerate((0, 5)):
        write_parquet(table.slice(start, 5 if part == 0 else None), f"{tmp_path}/part-{part:05d}.parquet")
    files = list_predictions(str(tmp_path))
    assert [Path(path).name for path in files] == ["part-00000.parquet", "part-00001.parquet"]
    test = scored["split"] == Split.TEST
    found = read_predictions(files, Split.TEST)
    assert found.keys() == scored.keys()
    assert all(np.array_equal(found[name], scored[name][test], equal_nan=True) for name in scored)
    assert list(read_predictions(files, Split.TEST, ("click",))) == ["click"]
