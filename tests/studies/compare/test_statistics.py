"""Figures of trials against the truth, and gaps that are paired by users and seeds."""

from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import InputError
from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.evaluation.true_metrics import true_metrics
from rosa_ray.features import Split
from rosa_ray.metrics import Ranking
from rosa_ray.studies.compare.statistics import TrialStatistics, bootstrap
from rosa_ray.studies.compare.summary import bounds, gaps
from rosa_ray.studies.compare.true_statistics import OVER_CANDIDATES, OVER_SHOWN, truth_ceilings
from tests.true_log import predicted_columns, write_predictions, write_truth


@pytest.fixture
def log_dir(tmp_path: Path) -> str:
    return write_truth(tmp_path / "log")


def _trial(root: Path, log_dir: str, seed: int, spread: float) -> tuple[TrialStatistics, list[str], np.ndarray]:
    root.mkdir()
    files = write_predictions(root, predicted_columns(seed, spread))
    keys = [read_predictions(files, split, ("user_key",))["user_key"] for split in (Split.TEST, Split.POLICY)]
    users = np.unique(np.concatenate(keys))
    return TrialStatistics(files, users, log_dir, Ranking("roi")), files, users


def test_the_whole_sample_gives_the_figures_of_evaluation(tmp_path: Path, log_dir: str) -> None:
    trial, files, users = _trial(tmp_path / "a", log_dir, 1, 0.5)
    figures, expected = trial(np.ones(len(users), np.int64)), true_metrics(files, Split.TEST, log_dir)
    for name in (*OVER_CANDIDATES, *OVER_SHOWN):
        assert figures[name] == pytest.approx(expected[name], rel=1e-9)
    ceilings = truth_ceilings(files, log_dir)
    assert ceilings["true_shown_cvr_auc"] == expected["true_shown_cvr_auc_ceiling"]
    assert set(ceilings) == {"true_auc", "true_cvr_auc", *OVER_SHOWN}


def test_without_a_truth_there_are_no_such_figures(tmp_path: Path) -> None:
    trial, files, users = _trial(tmp_path / "a", str(tmp_path), 1, 0.5)
    figures = trial(np.ones(len(users), np.int64))
    assert {figures[name] for name in (*OVER_CANDIDATES, *OVER_SHOWN)} == {None}
    assert set(truth_ceilings(files, str(tmp_path)).values()) == {None}
    assert figures["auc"] is not None


def test_a_trial_of_other_users_is_refused(tmp_path: Path, log_dir: str) -> None:
    _, files, users = _trial(tmp_path / "a", log_dir, 1, 0.5)
    with pytest.raises(InputError, match="holds other users"):
        TrialStatistics(files, users[:-1], log_dir, Ranking("roi"))


def test_verdicts_on_a_nearer_model_the_same_one_and_a_worse_one(tmp_path: Path, log_dir: str) -> None:
    spreads = {"near": 0.1, "far": 0.9, "again": 0.1}
    trials = {
        name: [_trial(tmp_path / f"{name}{seed}", log_dir, seed + 10 * (name == "again"), spread) for seed in (1, 2, 3)]
        for name, spread in spreads.items()
    }
    users = trials["near"][0][2]
    statistics = {name: [trial for trial, *_ in each] for name, each in trials.items()}
    drawn = bootstrap(statistics, "near", len(users), replicates=100)

    def verdicts(one: str, other: str) -> dict[str, str]:
        return {gap["metric"]: gap["verdict"] for gap in gaps((one, other), drawn[one], drawn[other])}

    better, worse = verdicts("near", "far"), verdicts("far", "near")
    for metric in ("true_auc", "true_cvr_auc", "true_excess_logloss", "true_cvr_excess_logloss"):
        assert (better[metric], worse[metric]) == ("helps", "hurts")
    same = verdicts("near", "near")
    assert {same[metric] for metric in better} == {"within the noise"}


def _made_up(noise: float, gap: float = 0.0):
    figures = dict.fromkeys(("policy_roas", "policy_revenue"))
    return lambda drawn: figures | {"auc": 0.7 + noise + gap + 0.01 * float(drawn[0])}


def test_seeds_are_drawn_together() -> None:
    trial = _made_up
    noises = (0.0, 0.1, -0.1, 0.2, -0.2)
    drawn = bootstrap(
        {"a": [trial(noise, 0.001) for noise in noises], "b": [trial(noise, 0.0) for noise in noises]}, "b", 20, 50
    )
    differences = [one["auc"] - other["auc"] for one, other in zip(drawn["a"], drawn["b"], strict=True)]
    assert differences == pytest.approx([0.001] * 51)
    assert len({figures["auc"] for figures in drawn["a"]}) > 20


@pytest.mark.parametrize("seeds", [3, 5])
def test_models_that_differ_in_seeds_alone_seldom_get_a_verdict(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    missed = 0
    for _ in range(200):
        trials = {name: [_made_up(noise) for noise in rng.normal(0, 0.01, seeds)] for name in ("a", "b")}
        drawn = bootstrap(trials, "a", 3, 200)
        low, high = bounds([one["auc"] - other["auc"] for one, other in zip(drawn["a"], drawn["b"], strict=True)][1:])
        missed += not low <= 0 <= high
    assert 2 <= missed <= 20, "one in twenty, and not one in five"
