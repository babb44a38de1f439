from pathlib import Path

import pytest
from open_bandit import compare, read_log, target_policy


@pytest.fixture(scope="module")
def logs(shared_data: Path):
    folder = shared_data / "open_bandit"
    return {name: read_log(folder / f"{name}_all.csv.gz") for name in ("random", "bts")}


def test_the_sample_is_what_it_is_said_to_be(logs):
    assert {name: (len(log.item), log.click.sum()) for name, log in logs.items()} == {
        "random": (10000, 38),
        "bts": (10000, 42),
    }
    assert logs["random"].propensity == pytest.approx(1 / 80)
    for target in logs:
        policy = target_policy(logs, target)
        assert policy.shape == (3, 80)
        assert policy.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("target", ["random", "bts"])
def test_estimates_from_the_other_log_agree_with_the_own_mean(logs, target):
    found = compare(logs, target)
    assert found["mean_weight"] == pytest.approx(1, abs=0.15)
    assert found["effective_sample_size"] > 300
    for estimator in ("ips", "snips", "dr"):
        assert found[estimator]["low"] < found["on_policy"]["estimate"] < found[estimator]["high"]
        assert abs(found[estimator]["errors_from_on_policy"]) < 2
