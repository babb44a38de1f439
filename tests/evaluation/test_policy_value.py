import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.errors import ConfigError, InputError
from rosa_ray.evaluation.config import EvaluationConfig
from rosa_ray.evaluation.policy_value import estimated_value, exact_value, join_truth, policy_value, read_truth
from rosa_ray.metrics import Ranking
from rosa_ray.schema import hash_ids

ROI = Ranking("roi")

IDS = pa.array([f"{request}-{slot}" for request in range(40) for slot in range(3)])


@pytest.fixture
def candidates():
    rng = np.random.default_rng(0)
    return {
        "request_key": np.repeat(np.arange(40), 3),
        "impression_key": hash_ids(IDS),
        "p_ctr": rng.uniform(0.1, 0.5, 120),
        "p_cvr": rng.uniform(0.1, 0.5, 120),
        "value": rng.uniform(5, 50, 120),
        "expected_cost": rng.uniform(0.1, 0.4, 120),
    }


@pytest.fixture
def shown(candidates):
    rng = np.random.default_rng(1)
    row = np.arange(40) * 3 + rng.integers(0, 3, 40)
    order = rng.permutation(40)
    row = row[order]
    return {
        "user_key": candidates["request_key"][row] // 4,
        "request_key": candidates["request_key"][row],
        "impression_key": candidates["impression_key"][row],
        "propensity": np.full(40, 1 / 3),
        "weight": np.ones(40),
        "click": rng.integers(0, 2, 40).astype(float),
        "revenue": rng.exponential(3, 40),
        "cost": rng.uniform(0.1, 0.4, 40),
    }


@pytest.fixture
def log_dir(tmp_path: Path, candidates):
    (tmp_path / "truth").mkdir()
    truth = {
        "impression_id": IDS,
        "expected_revenue": candidates["p_ctr"] * candidates["p_cvr"] * candidates["value"],
        "expected_cost": candidates["expected_cost"],
    }
    pq.write_table(pa.table(truth), tmp_path / "truth" / "part-0.parquet")
    return str(tmp_path)


def test_a_uniform_log_values_random_choice_at_its_own_mean(shown, candidates):
    found = estimated_value(shown, candidates, ROI)
    random = found["off_policy_random"]
    for name in ("revenue", "cost", "click"):
        assert random["ips"][name]["estimate"] == pytest.approx(shown[name].mean())
    assert random["effective_sample_size"] == pytest.approx(40)
    assert (found["off_policy"]["requests"], found["off_policy"]["users"], found["off_policy"]["left_out"]) == (
        40,
        10,
        0,
    )


def test_the_greedy_policy_weighs_only_its_own_choices(shown, candidates):
    revenue = candidates["p_ctr"] * candidates["p_cvr"] * candidates["value"]
    roi = (revenue / candidates["expected_cost"] - 1).reshape(40, 3)
    top = candidates["impression_key"].reshape(40, 3)[np.arange(40), roi.argmax(axis=1)]
    chosen = np.isin(shown["impression_key"], top)
    found = estimated_value(shown, candidates, ROI)["off_policy"]
    assert found["effective_sample_size"] == pytest.approx(chosen.sum())
    assert found["ips"]["revenue"]["estimate"] == pytest.approx(3 * shown["revenue"][chosen].sum() / 40)
    row = {key: number for number, key in enumerate(candidates["impression_key"].tolist())}
    model_shown = revenue[[row[key] for key in shown["impression_key"].tolist()]]
    model = revenue.reshape(40, 3)[np.arange(40), roi.argmax(axis=1)]
    correction = 3 * chosen * (shown["revenue"] - model_shown)
    assert found["dr"]["revenue"]["estimate"] == pytest.approx((model.sum() + correction.sum()) / 40)
    clipped = estimated_value(shown, candidates, ROI, 2.0)["off_policy"]
    assert (clipped["clip"], clipped["clipped_share"]) == (2.0, pytest.approx(1 / 3))


def test_what_cannot_be_estimated_has_a_reason(shown, candidates):
    none = {name: values[:0] for name, values in candidates.items()}
    cases = {
        "are not among the candidates": (shown, candidates | {"impression_key": candidates["impression_key"] + 1}),
        "have no propensities": (shown | {"propensity": np.full(40, np.nan)}, candidates),
        "have no candidates": (shown, none),
        "more than one ad each": ({name: np.tile(values, 2) for name, values in shown.items()}, candidates),
        "'propensity': 40 of 40 values are 0 or below": (shown | {"propensity": np.zeros(40)}, candidates),
    }
    for reason, (rows, offered) in cases.items():
        found = estimated_value(rows, offered, ROI)
        assert (found["off_policy"], found["off_policy_random"]) == (None, None)
        assert reason in found["off_policy_skipped"]


def test_requests_without_a_propensity_are_left_out(shown, candidates):
    shown["propensity"][:5] = np.nan
    found = estimated_value(shown, candidates, ROI)["off_policy"]
    assert (found["requests"], found["left_out"]) == (35, 5)


def test_exact_value_and_equal_budgets(shown, candidates, log_dir):
    found = policy_value(shown, candidates, log_dir, ROI)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    budget = found["budget"]
    assert budget["policy"] == budget["oracle"]
    assert budget["random"][-1]["cost"] == pytest.approx(budget["random_cost"])
    assert [row["roi"] for row in budget["random"]] == pytest.approx([found["random_policy_roi"]] * 22)
    assert budget["policy"][0]["roi"] > budget["policy"][-1]["roi"] > found["random_policy_roi"]
    assert budget["thresholds"]["policy"][-1]["roi"] == pytest.approx(found["policy_roi"])
    assert found["off_policy"]["requests"] == 40


def test_without_truth_the_exact_value_has_a_reason(candidates, tmp_path):
    found = exact_value(candidates, str(tmp_path), ROI)
    assert (found["policy_roi"], found["budget"]) == (None, None)
    assert "has no truth" in found["policy_skipped"]


def test_a_clip_of_zero_is_refused():
    with pytest.raises(ConfigError, match=r"evaluation.off_policy_clip is 0; it must be above 0, or null"):
        EvaluationConfig(off_policy_clip=0)


def test_truth_is_joined_by_impression(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    ids = pa.array(["a", "b", "c"])
    columns = {"impression_id": ids, "expected_revenue": [1.0, 2.0, 3.0], "expected_cost": [0.1, 0.2, 0.3]}
    pq.write_table(pa.table(columns), tmp_path / "truth" / "part-0.parquet")
    truth = read_truth(str(tmp_path))
    joined = join_truth(truth, hash_ids(pa.array(["c", "a"])), "log")
    assert joined["expected_revenue"].tolist() == [3.0, 1.0]
    with pytest.raises(InputError, match="log/truth lacks 1 of 2 candidates"):
        join_truth(truth, hash_ids(pa.array(["c", "x"])), "log")
