import json

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from rosa_ray.metrics import Evaluation, Ranking, evaluate_policy, evaluate_predictions


def _predictions(rows=3000, seed=0):
    rng = np.random.default_rng(seed)
    p_ctr, p_cvr = rng.uniform(0.1, 0.6, rows), rng.uniform(0.1, 0.7, rows)
    click = (rng.random(rows) < p_ctr).astype(np.int8)
    conversion = click * (rng.random(rows) < p_cvr).astype(np.int8)
    value = rng.uniform(1, 9, rows)
    cost = rng.uniform(0.1, 1, rows)
    user = np.sort(rng.integers(0, 200, rows))
    return {
        "user_key": user,
        "request_key": user * 1000 + rng.integers(0, 5, rows),
        "impression_key": np.arange(rows),
        "p_ctr": p_ctr,
        "p_cvr": p_cvr,
        "p_ctcvr": p_ctr * p_cvr,
        "value": value,
        "expected_cost": cost * 1.5,
        "click": click,
        "conversion": conversion,
        "revenue": value * conversion,
        "cost": cost,
    }


def test_metrics_agree_with_sklearn_and_the_plain_sums():
    table = _predictions()
    found = evaluate_predictions(table)
    clicked = table["click"] == 1
    assert found["auc"] == pytest.approx(roc_auc_score(table["click"], table["p_ctr"]), abs=1e-5)
    assert found["logloss"] == pytest.approx(log_loss(table["click"], table["p_ctr"]))
    cvr_auc = roc_auc_score(table["conversion"][clicked], table["p_cvr"][clicked])
    assert found["cvr_auc"] == pytest.approx(cvr_auc, abs=1e-5)
    assert found["ctcvr_auc"] == pytest.approx(roc_auc_score(table["conversion"], table["p_ctcvr"]), abs=1e-5)
    assert found["pcoc"] == pytest.approx(table["p_ctr"].sum() / clicked.sum())
    assert found["cvr_pcoc"] == pytest.approx(table["p_cvr"][clicked].sum() / table["conversion"].sum())
    assert found["cost_pcoc"] == pytest.approx(1.5)
    assert (found["n"], found["clicks"], found["ctr"]) == (3000, clicked.sum(), clicked.mean())
    assert found["gauc_users"] + found["gauc_users_excluded"] == np.unique(table["user_key"]).size
    assert 0.8 < found["revenue_pcoc"] < 1.25


def test_workers_with_other_users_merge_to_the_whole():
    table = _predictions()
    whole, merged = Evaluation().update(table), Evaluation()
    for worker in range(3):
        mine = table["user_key"] % 3 == worker
        merged.merge(Evaluation().update({name: column[mine] for name, column in table.items()}))
    expected, found = whole.compute(), merged.compute()
    assert found["auc"] == expected["auc"]
    assert found == {k: pytest.approx(v) if isinstance(v, float) else v for k, v in expected.items()}


def test_no_rows_give_nulls_that_survive_json():
    empty = {name: column[:0] for name, column in _predictions().items()}
    found = json.loads(json.dumps(evaluate_predictions(empty), allow_nan=False))
    assert found["n"] == 0
    assert all(found[name] is None for name in ("auc", "logloss", "gauc", "cvr_auc", "pcoc", "ece", "ctr", "cvr"))


def test_without_clicks_only_the_click_rate_is_defined():
    table = _predictions(10) | {"click": np.zeros(10), "conversion": np.zeros(10), "revenue": np.zeros(10)}
    found = evaluate_predictions(table)
    assert (found["ctr"], found["cvr"], found["auc"], found["cvr_auc"], found["revenue_pcoc"]) == (0, *[None] * 4)


def test_missing_and_broken_columns_are_named():
    table = _predictions(10)
    with pytest.raises(ValueError, match="predictions lack columns p_cvr, value; found user_key"):
        evaluate_predictions({k: v for k, v in table.items() if k not in ("p_cvr", "value")})
    with pytest.raises(ValueError, match="'p_ctr': 10 of 10 values are NaN"):
        evaluate_predictions(table | {"p_ctr": np.full(10, np.nan)})


def test_policies_are_ordered_from_random_to_best():
    table = _predictions()
    truth = {"expected_revenue": table["p_ctcvr"] * table["value"], "expected_cost": table["cost"]}
    noisy = table | {"p_ctr": np.random.default_rng(1).permutation(table["p_ctr"])}
    found = evaluate_policy(Ranking("roi"), noisy, truth)
    assert found["random_policy_roi"] < found["policy_roi"] < found["oracle_policy_roi"] <= found["best_policy_roi"]
    assert 0 < found["policy_roi_share"] < 1
    assert found["policies"]["policy"]["requests"] == np.unique(table["request_key"]).size
    json.dumps(found, allow_nan=False)


def test_predictions_equal_to_the_truth_reach_the_oracle():
    table = _predictions()
    truth = {"expected_revenue": table["p_ctr"] * table["p_cvr"] * table["value"], "expected_cost": table["cost"]}
    found = evaluate_policy(Ranking("profit"), table | {"expected_cost": table["cost"]}, truth)
    assert found["policy_roi"] == found["oracle_policy_roi"]
    assert found["policy_roi_share"] == 1.0
