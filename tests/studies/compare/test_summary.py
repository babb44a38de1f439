import numpy as np
import pytest
from sklearn.metrics import roc_curve as reference_roc

from rosa_ray.studies.compare.summary import GAP_METRICS, bounds, gaps, roc_curve


def test_roc_curve_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(300), 1)
    labels = (rng.random(300) < scores).astype(int)
    weights = rng.integers(0, 4, 300).astype(float)
    fpr, tpr, _ = reference_roc(labels, scores, sample_weight=weights)
    assert roc_curve(scores, labels, weights, fpr)[1:] == pytest.approx(tpr[1:])


def test_bounds_leave_undefined_replicates_out() -> None:
    assert bounds([None, 1.0, 1.0]) == (1.0, 1.0)
    assert bounds([None]) == (None, None)


def test_gaps_are_differences_and_percent() -> None:
    names = (*GAP_METRICS, "policy_roas")
    mine = [dict.fromkeys(names, 0.75) | {"policy_roas": 3.0}] * 3
    theirs = [dict.fromkeys(names, 0.5) | {"policy_roas": 2.0, "cvr_auc": None}] * 3
    found = {gap["metric"]: gap for gap in gaps(("rosa", "din"), mine, theirs)}
    interval = {"gap": 0.25, "low": 0.25, "high": 0.25, "verdict": "helps"}
    assert found["auc"] == {"champion": "rosa", "baseline": "din", "metric": "auc", **interval, "target": 0.028}
    assert found["roi_gain_percent"]["gap"] == pytest.approx(50.0)
    assert found["logloss"]["verdict"] == found["true_excess_logloss"]["verdict"] == "hurts"
    assert (found["cvr_auc"]["gap"], found["cvr_auc"]["verdict"]) == (None, None)
