"""One sweep on a real cluster: two trials, a winner, and the same command again."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.bundle import open_bundle
from rosa_ray.calibration import CalibrationConfig
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.models import LossConfig, ranker_settings
from rosa_ray.storage import read_json
from rosa_ray.studies.sweep import sweep as sweep_module
from rosa_ray.studies.sweep.config import TuneConfig
from rosa_ray.studies.sweep.space import TrialSettings
from rosa_ray.studies.sweep.sweep import Sweep, run_sweep
from rosa_ray.studies.sweep.tables import sweep_summary, sweep_tables
from rosa_ray.tracking import TrackingConfig, default_uri
from rosa_ray.training.config import GateTrainingConfig, TrainingConfig
from rosa_ray.training.job import TrainingJob
from tests.tiny_users import tiny_rows, write_data_dir

TRAINING = TrainingConfig(workers=1, epochs=2, users_per_batch=4, warmup_steps=0)


def sweep_of(root: Path) -> Sweep:
    def settle(params: Mapping[str, Any]) -> TrialSettings:
        loss = replace(LossConfig(), **{key.removeprefix("loss."): value for key, value in params.items()})
        model = ranker_settings("wide_deep", {"width": 8, "window": 8, "hidden": (8,)})
        job = TrainingJob(model, loss, TRAINING, 7, f"{root}/data")
        config = {"model": {}, "loss": asdict(loss), "training": asdict(TRAINING), "evaluation": {}, "seed": 7}
        return TrialSettings(job, CalibrationConfig(), GateTrainingConfig(), EvaluationConfig(), config)

    objectives = ("policy_roi", "auc")
    return Sweep(
        config=TuneConfig(space={"loss.beta": {"log": (0.1, 5.0)}}, trials=2, objectives=objectives),
        settle=settle,
        configured={"loss.beta": 1.0},
        tracking=TrackingConfig(),
        seed=7,
        command="rosa tune CONFIG",
        log_dir=f"{root}/no-log",
        run_dir=f"{root}/run",
    )


@pytest.mark.nightly
def test_a_sweep_finds_a_winner_and_runs_nothing_twice(ray_cluster: None, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    write_data_dir(tmp_path / "data", tiny_rows(users=30, per_user=12), parts=2)
    sweep, lines = sweep_of(tmp_path), []
    document = run_sweep(sweep, lines.append)
    assert lines[0].startswith("policy_roi cannot be measured: ")
    assert lines[1] == "2 of 2 trials to run, 2 at once"
    states = {trial["number"]: trial["state"] for trial in document["trials"]}
    assert states[0] == "complete"
    assert states.keys() == {0, 1}
    assert states[document["winner"]] == "complete"
    assert document["policy_value"] is None
    assert document["objectives"] == {"label_loss": "min", "auc": "max"}
    assert read_json(f"{sweep.run_dir}/tune/sweep.json") == document
    bundle = open_bundle(f"{sweep.run_dir}/tune/bundle")
    assert bundle.model_version == document["test"]["winner"]["model_version"]
    assert next(table.row_count for table in sweep_tables(document)) >= 1
    assert sweep_summary(document).startswith("2 trials: ")

    client = MlflowClient(default_uri(sweep.run_dir))
    runs = client.search_runs([client.get_experiment_by_name("rosa-rec").experiment_id])
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == document["mlflow_run_id"]]
    assert len(children) == 2
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}

    again = run_sweep(sweep, lines.append)
    assert again["winner"] == document["winner"]
    assert sum("to run" in line for line in lines) == 1


def test_the_name_of_a_sweep_follows_settings_data_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data_dir(tmp_path / "data", tiny_rows(users=30, per_user=12), parts=2)
    plain = sweep_module._name(sweep_of(tmp_path))
    assert sweep_module._name(sweep_of(tmp_path)) == plain
    part = tmp_path / "data" / "users" / "part-00000.parquet"
    rows = pq.read_table(part)
    pq.write_table(rows.take(pa.array(range(rows.num_rows)[::-1])), part)
    other_data = sweep_module._name(sweep_of(tmp_path))
    monkeypatch.setattr(sweep_module, "code_digest", lambda parts, model: "another version")
    assert len({plain, other_data, sweep_module._name(sweep_of(tmp_path))}) == 3
