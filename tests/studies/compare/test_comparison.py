"""A whole comparison without Ray: trials one after another in this process."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rosa_ray.calibration import CalibrationConfig
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.run_dir import DataDir, RunDir
from rosa_ray.storage import read_json, write_json
from rosa_ray.studies.compare import comparison
from rosa_ray.studies.compare.comparison import Comparison, run_comparison
from rosa_ray.studies.compare.config import StudyConfig
from rosa_ray.studies.compare.variants import compare_variants
from rosa_ray.studies.trial import Trial
from rosa_ray.training.config import TrainingConfig
from tests.tiny_users import tiny_rows, write_data_dir

ROSA = ranker_settings("rosa", {"width": 8, "layers": 1, "heads": 2, "window": 8, "hidden": (8,)})
TRAINING = TrainingConfig(workers=1, epochs=1, users_per_batch=8)
MODELS = ("din_exact_match", "trees")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """Trials as they are run."""
    found: list[Trial] = []

    def run_here(work: Callable[[Trial], Any], trials: Sequence[Trial], *_: object) -> list[Any]:
        found.extend(trials)
        return [work(trial) for trial in trials]

    monkeypatch.setattr(comparison, "run_trials", run_here)
    monkeypatch.setattr(comparison.ray, "cluster_resources", lambda: {"CPU": 1})
    return found


def test_trees_choose_from_rates_of_their_own_and_stand_in_the_document(tried: list[Trial], tmp_path: Path) -> None:
    data = write_data_dir(tmp_path / "data", tiny_rows(users=40), parts=2)
    counts = dict.fromkeys(("users", "events", "impressions", "start", "end"), 1)
    write_json({**counts, "splits": {"test": {"impressions": 1}}}, DataDir(data).report)
    config = StudyConfig(seeds=(1,), models=MODELS, learning_rates=(1e-3, 1e-2), replicates=5, latency_requests=2)
    study = Comparison(
        kind="compare",
        command="rosa compare",
        config=config,
        training=TRAINING,
        calibration=CalibrationConfig(),
        evaluation=EvaluationConfig(),
        data_dir=data,
        log_dir=f"{data}/no-log",
        run_dir=str(tmp_path),
    )
    variants = compare_variants(MODELS, ROSA, LossConfig())
    document = run_comparison(study, variants, "rosa", [("rosa", name) for name in MODELS], lambda line: None)

    rates = {(trial.job.model.name, trial.job.training.learning_rate) for trial in tried}
    assert rates == {("din", 1e-3), ("din", 1e-2), ("rosa", 1e-3), ("rosa", 1e-2), ("trees", 0.02), ("trees", 0.05)}
    rows = {row["name"]: row for row in document["variants"]}
    assert [*rows] == [*MODELS, "rosa"]
    assert rows["trees"]["learning_rate"] in (0.02, 0.05)
    assert rows["trees"]["settings"] == {"transitions": False, "within_category": False, "prices": False}
    assert all(0.5 < row["mean"]["auc"] < 1 for row in rows.values())
    assert document["verdicts"][0].startswith("ROSA-Rec less the best baseline, ")
    assert read_json(RunDir(str(tmp_path)).study("compare")) == json.loads(json.dumps(document))
