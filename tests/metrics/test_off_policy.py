import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.metrics import BootstrapConfig, OffPolicy

FEW = BootstrapConfig(replicates=50)


def _log(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "user_key": rng.integers(0, 12, rows),
        "propensity": rng.uniform(0.1, 1.0, rows),
        "target": rng.random(rows),
        "rewards": {"revenue": rng.exponential(3.0, rows), "cost": rng.uniform(0.5, 1.0, rows)},
        "model_shown": {"revenue": rng.uniform(1, 5, rows), "cost": rng.uniform(0.5, 1.0, rows)},
        "model_target": {"revenue": rng.uniform(1, 5, rows), "cost": rng.uniform(0.5, 1.0, rows)},
    }


def _part(log, kept):
    return {
        name: {key: part[kept] for key, part in values.items()} if isinstance(values, dict) else values[kept]
        for name, values in log.items()
    }


def _estimates(found):
    return {
        (estimator, name): one["estimate"]
        for estimator in ("ips", "snips", "dr")
        for name, one in found[estimator].items()
    }


def test_a_hand_worked_log():
    # Weights 2, 0.5 and 0: IPS (2·6 + 0.5·4)/3, SNIPS the same over 2.5, ROI 14/(2·1 + 0.5·2) - 1, ESS 2.5²/4.25.
    found = OffPolicy().update(
        user_key=[1, 1, 2],
        propensity=[0.5, 1.0, 0.2],
        target=[1.0, 0.5, 0.0],
        rewards={"revenue": [6.0, 4.0, 100.0], "cost": [1.0, 2.0, 3.0]},
        model_shown={"revenue": [5.0, 4.0, 9.0], "cost": [1.0, 1.0, 1.0]},
        model_target={"revenue": [1.0, 2.0, 3.0], "cost": [1.0, 1.0, 1.0]},
    )
    found = found.compute(FEW)
    assert found["ips"]["revenue"]["estimate"] == pytest.approx(14 / 3)
    assert found["snips"]["revenue"]["estimate"] == pytest.approx(14 / 2.5)
    assert found["ips"]["roi"]["estimate"] == pytest.approx(14 / 3 - 1)
    assert found["snips"]["roi"] == found["ips"]["roi"]
    assert found["dr"]["revenue"]["estimate"] == pytest.approx((1 + 2 * 1 + 2 + 0 + 3) / 3)
    assert found["dr"]["cost"]["estimate"] == pytest.approx((3 + 0.5) / 3)
    assert found["effective_sample_size"] == pytest.approx(2.5**2 / 4.25)
    assert (found["requests"], found["users"], found["clip"], found["clipped_share"]) == (3, 2, None, 0.0)
    assert found["mean_weight"] == pytest.approx(2.5 / 3)


def test_ips_standard_error_is_that_of_independent_rows_when_every_user_has_one():
    log = _log() | {"user_key": np.arange(60)}
    weighted = log["target"] / log["propensity"] * log["rewards"]["revenue"]
    found = OffPolicy().update(**log).compute(FEW)["ips"]["revenue"]
    assert found["estimate"] == pytest.approx(weighted.mean())
    assert found["standard_error"] == pytest.approx(weighted.std(ddof=1) / np.sqrt(60))


def test_repeating_a_users_requests_does_not_narrow_the_interval():
    log = _log()
    once = OffPolicy().update(**log).compute(FEW)["dr"]["roi"]
    tenfold = OffPolicy()
    for _ in range(10):
        tenfold.update(**log)
    assert tenfold.compute(FEW)["dr"]["roi"] == pytest.approx(once)


@given(st.lists(st.integers(0, 2), min_size=60, max_size=60), st.permutations([0, 1, 2]))
@settings(max_examples=15, deadline=None)
def test_workers_merge_to_the_whole_in_any_order(worker, order):
    log, worker = _log(), np.array(worker)
    merged = OffPolicy()
    for one in order:
        merged.merge(OffPolicy().update(**_part(log, worker == one)))
    whole = OffPolicy().update(**log)
    assert _estimates(merged.compute(FEW)) == pytest.approx(_estimates(whole.compute(FEW)))
    np.testing.assert_array_equal(merged.users, whole.users)
    for name, values in whole.sums.items():
        np.testing.assert_allclose(merged.sums[name], values)


def test_the_logging_policy_itself_earns_the_plain_mean():
    log = _log()
    found = OffPolicy().update(**log | {"target": log["propensity"]}).compute(FEW)
    for name, values in log["rewards"].items():
        assert found["ips"][name]["estimate"] == pytest.approx(values.mean())
        assert found["snips"][name]["estimate"] == pytest.approx(values.mean())
    assert found["effective_sample_size"] == pytest.approx(60)


def test_a_perfect_model_leaves_nothing_to_correct():
    log = _log()
    log["model_shown"] = log["rewards"]
    found = OffPolicy().update(**log).compute(FEW)
    by_model = OffPolicy().update(
        **log | {"propensity": np.ones(60), "target": np.ones(60), "rewards": log["model_target"], "model_shown": None}
        | {"model_target": None}
    )  # fmt: skip
    for name in ("revenue", "cost"):
        assert found["dr"][name] == pytest.approx(by_model.compute(FEW)["ips"][name])


@given(st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_a_constant_added_to_rewards_moves_snips_by_itself_and_ips_by_its_weight(constant):
    log = _log()
    only = {name: log[name] for name in ("user_key", "propensity", "target")}
    before = OffPolicy().update(**only, rewards={"gain": log["rewards"]["revenue"]}).compute(FEW)
    after = OffPolicy().update(**only, rewards={"gain": log["rewards"]["revenue"] + constant}).compute(FEW)
    moved = {name: after[name]["gain"]["estimate"] - before[name]["gain"]["estimate"] for name in ("ips", "snips")}
    assert moved["snips"] == pytest.approx(constant, abs=1e-9)
    assert moved["ips"] == pytest.approx(constant * before["mean_weight"], abs=1e-9)
    assert after["dr"] is None


def test_ips_and_dr_are_unbiased_over_every_log_there_can_be():
    # Two requests of two ads; an ad converts (worth 10 or 4) or not. All 16 logs, weighted by their probability.
    logging, target = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[1.0, 0.0], [0.3, 0.7]])
    chance, value = np.array([[0.3, 0.6], [0.1, 0.9]]), np.array([[10.0, 4.0], [4.0, 10.0]])
    model = np.array([[7.0, 1.0], [0.5, 2.0]])
    requests = np.arange(2)
    total = {"ips": 0.0, "dr": 0.0}
    for shown in itertools.product((0, 1), repeat=2):
        for converted in itertools.product((0, 1), repeat=2):
            ad = np.array(shown)
            happened = np.where(converted, chance[requests, ad], 1 - chance[requests, ad])
            estimate = OffPolicy().update(
                user_key=requests,
                propensity=logging[requests, ad],
                target=target[requests, ad],
                rewards={"gain": np.array(converted) * value[requests, ad]},
                model_shown={"gain": model[requests, ad]},
                model_target={"gain": (target * model).sum(axis=1)},
            )
            for name, prefix in (("ips", "ips_gain"), ("dr", "dr_gain")):
                probability = np.prod(logging[requests, ad] * happened)
                total[name] += probability * estimate.sums[prefix].sum() / 2
    truth = float((target * chance * value).sum() / 2)
    assert total == {"ips": pytest.approx(truth), "dr": pytest.approx(truth)}


def test_clipping_is_named_and_lowers_ips():
    log = _log()
    free, clipped = OffPolicy().update(**log).compute(FEW), OffPolicy(1.5).update(**log).compute(FEW)
    weight = log["target"] / log["propensity"]
    assert clipped["clip"] == 1.5
    assert clipped["clipped_share"] == pytest.approx(1 - np.minimum(weight, 1.5).sum() / weight.sum())
    assert clipped["ips"]["revenue"]["estimate"] < free["ips"]["revenue"]["estimate"]
    assert clipped["mean_weight"] == free["mean_weight"]
    with pytest.raises(ValueError, match=r"clipped at 1.5 and at None cannot be added"):
        OffPolicy(1.5).merge(OffPolicy())
    with pytest.raises(ValueError, match="clip is 0; it must be above 0, or None"):
        OffPolicy(0)


def test_without_overlap_or_requests_there_is_no_estimate():
    log = _log()
    for found in (OffPolicy().compute(), OffPolicy().update(**log | {"target": np.zeros(60)}).compute()):
        found = json.loads(json.dumps(found, allow_nan=False))
        assert (found["ips"], found["snips"], found["dr"], found["effective_sample_size"]) == (None, None, None, 0.0)


def test_no_sale_seen_is_no_proof_of_none():
    log = _log()
    log["rewards"]["revenue"] = np.zeros(60)
    found = OffPolicy().update(**log).compute(FEW)["ips"]
    assert (found["revenue"]["estimate"], found["revenue"]["low"], found["revenue"]["high"]) == (0.0, None, None)
    assert (found["roi"]["estimate"], found["roi"]["low"], found["roi"]["bootstrap_low"]) == (-1.0, None, None)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("propensity", np.nan, "'propensity': 1 of 60 values are missing: the log does not say"),
        ("propensity", 0.0, "'propensity': 1 of 60 values are 0 or below, so no weight exists, the first at row 7"),
        ("propensity", 1.5, "'propensity': 1 of 60 values are above 1"),
        ("target", 1.5, r"'target': 1 of 60 values are outside \[0, 1\]"),
    ],
)
def test_bad_probabilities_are_refused(name, value, message):
    log = _log()
    log[name][7] = value
    with pytest.raises(ValueError, match=message):
        OffPolicy().update(**log)


def test_incomplete_input_is_refused():
    log = _log()
    with pytest.raises(ValueError, match="doubly robust estimate needs model_target of cost, revenue"):
        OffPolicy().update(**log | {"model_target": None})
    with pytest.raises(ValueError, match="'cost': 1 of 60 values are negative"):
        OffPolicy().update(**log | {"rewards": log["rewards"] | {"cost": np.r_[-1.0, np.ones(59)]}})
    with pytest.raises(ValueError, match="sums differ"):
        OffPolicy().update(**log).update(**log | {"model_shown": None, "model_target": None})
