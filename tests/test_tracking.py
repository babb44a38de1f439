import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from rosa_ray.bundle import write_bundle
from rosa_ray.errors import BundleError
from rosa_ray.tracking import TrackingConfig, default_uri, open_run, start_run

CONFIG = TrackingConfig(experiment="test", model_name="ranker")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    """One run directory for the module: creating MLflow's database takes seconds."""
    return tmp_path_factory.mktemp("runs") / "demo"


@pytest.fixture
def client(run_dir):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        client = MlflowClient(default_uri(run_dir), default_uri(run_dir))
        client.search_experiments()
    return client


def _bundle(directory: Path) -> Path:
    write_bundle(
        directory,
        weights={"w": torch.ones(2)},
        model={},
        features_saver=lambda path: (path / "vocab.json").write_text("{}"),
        feature_fingerprint="f00d",
        metrics={},
        config={},
    )
    return directory


def test_a_run_holds_what_was_logged(run_dir, client, tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "roc.txt").write_text("roc")
    with start_run(CONFIG, run_dir, "train", tags={"git": "abc"}) as run:
        run.log_params({"model": {"d": 32, "note": "x" * 9000}, "seed": 1})
        run.log_params({f"p{i}": i for i in range(150)})
        for step in range(3):
            run.log_metrics({"loss": {"ctr": 1.0 - step / 10}, "cvr_auc": None, "name": "demo"}, step)
        run.set_tags({"stage": "demo"})
        run.log_artifacts(tmp_path / "plots", "plots")
        assert client.get_run(run.run_id).info.status == "RUNNING"
    stored = client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "train"
    assert (stored.data.params["model.d"], stored.data.params["seed"], len(stored.data.params)) == ("32", "1", 153)
    assert stored.data.metrics == {"loss.ctr": 0.8}
    assert [point.step for point in client.get_metric_history(run.run_id, "loss.ctr")] == [0, 1, 2]
    assert stored.data.tags["stage"] == "demo"
    assert [entry.path for entry in client.list_artifacts(run.run_id, "plots")] == ["plots/roc.txt"]
    assert stored.info.artifact_uri.startswith((run_dir.parent / "mlartifacts").as_uri())


@pytest.mark.parametrize(("error", "status"), [(ValueError("boom"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_run_that_does_not_end_well_says_so(run_dir, client, error, status):
    def fail() -> None:
        with start_run(CONFIG, run_dir, "train") as run:
            seen.append(run.run_id)
            raise error

    seen: list[str] = []
    with pytest.raises(type(error)):
        fail()
    assert client.get_run(seen[0]).info.status == status


def test_a_restart_continues_the_run(run_dir, client):
    with start_run(CONFIG, run_dir, "train") as run:
        run.log_metrics({"loss": 1.0}, 0)
    with start_run(CONFIG, run_dir, "train", run_id=run.run_id) as again:
        assert again.run_id == run.run_id
        assert client.get_run(run.run_id).info.status == "RUNNING"
        again.log_metrics({"loss": 0.5}, 1)
    assert [point.value for point in client.get_metric_history(run.run_id, "loss")] == [1.0, 0.5]
    assert client.get_run(run.run_id).info.status == "FINISHED"


def test_trials_nest_under_their_parent(run_dir, client):
    with (
        start_run(CONFIG, run_dir, "sweep") as parent,
        start_run(CONFIG, run_dir, "trial", parent_run_id=parent.run_id) as trial,
    ):
        assert client.get_run(trial.run_id).data.tags["mlflow.parentRunId"] == parent.run_id


def test_trials_that_a_killed_sweep_left_open_are_closed_and_go_on_as_the_same_run(run_dir, client):
    with start_run(CONFIG, run_dir, "other") as other, start_run(CONFIG, run_dir, "sweep") as parent:
        left, done = (open_run(CONFIG, run_dir, name, parent_run_id=parent.run_id) for name in ("left", "done"))
        stranger = open_run(CONFIG, run_dir, "stranger", parent_run_id=other.run_id)
        done.end("FINISHED")
        assert parent.end_children("KILLED") == 1
        assert client.get_run(left.run_id).info.status == "KILLED"
        assert client.get_run(done.run_id).info.status == "FINISHED"
        assert client.get_run(stranger.run_id).info.status == "RUNNING"
        again = open_run(CONFIG, run_dir, "left", run_id=left.run_id)
        assert client.get_run(left.run_id).info.status == "RUNNING"
        again.end("FINISHED")


def test_bundles_become_versions_of_the_registered_model(run_dir, client, tmp_path):
    bundle = _bundle(tmp_path / "bundle")
    with start_run(CONFIG, run_dir, "train") as run:
        assert [run.register_bundle(bundle), run.register_bundle(bundle)] == ["1", "2"]
    stored = client.get_model_version("ranker", "2")
    assert stored.run_id == run.run_id
    assert stored.tags["feature_fingerprint"] == "f00d"
    assert Path(stored.source.removeprefix("file://"), "manifest.json").is_file()


def test_a_damaged_bundle_is_not_registered(run_dir, tmp_path):
    bundle = _bundle(tmp_path / "bundle")
    (bundle / "model.json").unlink()
    with start_run(CONFIG, run_dir, "train") as run, pytest.raises(BundleError, match=r"'model.json' is missing"):
        run.register_bundle(bundle)


def test_an_unreachable_store_warns_once_and_the_work_goes_on(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    config = TrackingConfig(uri=f"sqlite:///{tmp_path}/file/mlflow.db")
    with caplog.at_level(logging.WARNING, "rosa_ray.tracking"), start_run(config, tmp_path / "run", "train") as run:
        run.log_params({"a": 1})
        run.log_metrics({"loss": 1.0})
    assert run.run_id is None
    [warning] = [record.message for record in caplog.records if record.name == "rosa_ray.tracking"]
    assert warning.startswith("tracking could not start, the run goes on without: ")


def test_an_outage_in_the_middle_warns_once_pauses_and_still_ends_the_run(run_dir, client, caplog, monkeypatch):
    calls: list[str] = []

    def outage(self: object, run_id: str, **batch: object) -> None:
        calls.append(run_id)
        raise ConnectionError("server gone")

    with caplog.at_level(logging.WARNING, "rosa_ray.tracking"), start_run(CONFIG, run_dir, "train") as run:
        monkeypatch.setattr("mlflow.MlflowClient.log_batch", outage)
        for step in range(3):
            run.log_metrics({"loss": 1.0}, step)
    assert len(calls) == 1
    assert caplog.text.count("tracking could not log metrics, the run goes on without: server gone") == 1
    assert client.get_run(run.run_id).info.status == "FINISHED"


def test_disabled_tracking_and_the_import_never_load_mlflow(tmp_path):
    code = (
        "import sys, rosa_ray.tracking as t\n"
        f"with t.start_run(t.TrackingConfig(enabled=False), {str(tmp_path)!r}, 'x') as run:\n"
        "    run.log_metrics({'a': 1})\n"
        "assert run.run_id is None and 'mlflow' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
