"""`rosa evaluate --importance` on a small run: the pool, the file, the terminal and the page."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn
from typer.testing import CliRunner

from rosa_ray.bundle import write_bundle
from rosa_ray.calibration import Calibration
from rosa_ray.errors import InputError
from rosa_ray.evaluation import importance_job
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.importance import PermutationScorer, heads_document, of_period, ordered, scorings
from rosa_ray.evaluation.importance_job import _ReadingWorker, _SampleReader, measure_importance
from rosa_ray.evaluation.scoring import UserScorer
from rosa_ray.features import FeatureState, FitSums, Split, UserRows, encode_users
from rosa_ray.features.frozen import FrozenVectors
from rosa_ray.features.input_fields import input_fields
from rosa_ray.features.own import ColumnConfig
from rosa_ray.inference import context_events, predict
from rosa_ray.models import build_ranker
from rosa_ray.report import open_run_files, render_page
from rosa_ray.storage import write_parquet
from tests.described import described
from tests.tiny_users import BOUNDS, FEATURES, tiny_rows, tiny_state, write_data_dir
from workloads.cli import app

SETTINGS = {"width": 8, "heads": 2, "layers": 1, "window": 6, "hidden": (8,), "dropout": 0.1, "match_window": 6}
CONFIG = EvaluationConfig(importance_repeats=2, importance_replicates=20)
SET = ("evaluation.importance_repeats=2", "evaluation.importance_replicates=20")


@pytest.fixture(scope="module")
def rows() -> UserRows:
    return tiny_rows(users=30, per_user=40)


def random_ranker(state: FeatureState) -> nn.Module:
    torch.manual_seed(4)
    ranker = build_ranker("rosa", SETTINGS, state.table_sizes, state.base_rates)
    for head in (ranker.heads.ctr, ranker.heads.cvr):
        nn.init.normal_(head.weight)
    return ranker


@pytest.fixture(scope="module")
def run_dir(rows: UserRows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, state = tmp_path_factory.mktemp("runs") / "shop", tiny_state(rows)
    write_data_dir(root / "data", rows)
    write_random_bundle(root / "bundle", state)
    return root


def write_random_bundle(directory: Path, state: FeatureState) -> None:
    write_bundle(
        directory,
        weights=random_ranker(state).state_dict(),
        model=described("rosa", SETTINGS, state),
        features_saver=state.save,
        feature_fingerprint=state.fingerprint,
        metrics={},
        config={},
    )


def test_without_scores_of_the_test_period_it_says_what_to_run(run_dir: Path) -> None:
    with pytest.raises(InputError, match="run `rosa evaluate` first"):
        measure_importance(config=CONFIG, data_dir=str(run_dir / "data"), run_dir=str(run_dir))


def test_declared_vectors_come_with_the_bundle_and_not_with_the_sample(
    rows: UserRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance_job, "actor_device", lambda: "cpu")  # which asks Ray
    config = replace(FEATURES, columns={"item.image": ColumnConfig(type="vector", size=3)})
    items = np.unique(rows.impressions["item_key"])
    images = np.random.default_rng(0).normal(0, 1, (len(items), 3)).astype(np.float32)
    vectors = {"item.image": FrozenVectors(items, images)}
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us, config)], config, vectors=vectors)
    bundle = str(tmp_path / "bundle")
    write_random_bundle(tmp_path / "bundle", state)
    write_parquet(rows.to_table(), f"{tmp_path}/users.parquet")
    (sample,) = _SampleReader(bundle, rows.user_key, (BOUNDS.test_us, 2 * BOUNDS.test_us))(f"{tmp_path}/users.parquet")
    assert sample.vectors == ()
    worker = _ReadingWorker(bundle, ordered(sample), CONFIG)
    (as_it_is,), (permuted,) = worker((None, 0)), worker(("item.image", 0))
    test = encode_users(rows, state).select(Split.TEST)
    p_ctr = predict(random_ranker(state), ordered(test))["p_ctr"]
    clicks = ordered(test).impressions["click"]
    assert as_it_is["clicks"]["logloss"][0] == pytest.approx(log_loss(clicks, p_ctr), abs=1e-5)
    assert permuted["clicks"]["logloss"][0] != as_it_is["clicks"]["logloss"][0]


@pytest.mark.integration
def test_the_pool_writes_what_one_process_finds(ray_cluster: None, run_dir: Path, rows: UserRows) -> None:
    options = [part for value in (f"run_dir={run_dir}", *SET) for part in ("--set", value)]
    result = CliRunner().invoke(app, ["evaluate", "demo", "--importance", *options, "--debug"])
    assert result.exit_code == 0, result.output
    document = json.loads((run_dir / "evaluation" / "importance.json").read_text())
    metrics = json.loads((run_dir / "evaluation" / "metrics.json").read_text())
    assert document["model_version"] == metrics["model_version"]
    assert document["rows"] == document["of_rows"] == metrics["test"]["n"]
    assert document["heads"]["clicks"]["baseline"]["auc"] == pytest.approx(metrics["test"]["auc"])
    assert document["heads"] == json.loads(json.dumps(in_process(rows)))
    assert "clicks: what is lost without a field" in result.output
    assert f"importance: 11 fields permuted 2 times in {document['rows']} of {document['rows']}" in result.output
    page = render_page(open_run_files(run_dir), date(2026, 1, 31))
    assert "Clicks: AUC lost without an input" in page


def in_process(rows: UserRows) -> dict[str, object]:
    state = tiny_state(rows)
    ranker = random_ranker(state)
    users = encode_users(rows, state).select(Split.TEST)
    time_us = users.impressions["time_us"]
    sample = of_period(users, int(time_us.min()), int(time_us.max()) + 1, context_events(ranker))
    scorer = PermutationScorer(UserScorer(ranker.eval(), state), Calibration(), ordered(sample), CONFIG)
    fields = {field.name: field for field in input_fields(state)}
    readings = {
        (name, repeat): scorer.read(fields[name] if name else None, repeat)
        for name, repeat in scorings(list(fields), CONFIG)
    }
    assert np.isfinite(readings[None, 0]["clicks"]["auc"]).all()
    return heads_document(scorer.sample, list(fields), readings, CONFIG)
