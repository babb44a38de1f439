from collections.abc import Iterator

import numpy as np
import pytest

from rosa_ray.metrics import BootstrapConfig, HeadVerdict, evaluate_predictions, judge_head

FIT = BootstrapConfig(replicates=200)
USERS = np.repeat(np.arange(60), 20)


def judge(p: np.ndarray, y: np.ndarray, base_rate: float = 0.2, users: np.ndarray = USERS) -> HeadVerdict:
    return judge_head("clicks", ("impression", "click"), base_rate, p, y, users, FIT)


def log(seed: int, level: float = 0.0, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and clicks that follow them at another level."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1.4, spread, USERS.size)
    p, true = (1 / (1 + np.exp(-x)) for x in (logits, logits + level))
    return p, (rng.random(USERS.size) < true).astype(int)


def shuffled() -> Iterator[HeadVerdict]:
    for seed in range(40):
        p, y = log(seed)
        yield judge(p, np.random.default_rng(seed).permutation(y), y.mean())


def test_a_model_that_is_right_is_better() -> None:
    verdict = judge(*log(0))
    assert verdict.finding == "better"
    assert verdict.words.startswith("clicks: better than the base rate; log loss 0.")
    assert verdict.auc.estimate == pytest.approx(evaluated_auc(*log(0)), abs=1e-12)
    assert verdict.normalised_entropy.low < verdict.normalised_entropy.estimate < verdict.normalised_entropy.high < 1


def evaluated_auc(p: np.ndarray, y: np.ndarray) -> float:
    same = dict.fromkeys(("p_ctr", "p_cvr", "p_ctcvr", "value", "expected_cost"), p)
    rows = same | {
        "user_key": USERS,
        "request_key": USERS,
        "click": y,
        "conversion": 0 * y,
        "revenue": 0 * y,
        "cost": p,
    }
    return float(evaluate_predictions(rows)["auc"])


def test_shuffled_labels_are_no_better_than_the_base_rate() -> None:
    verdicts = list(shuffled())
    assert [verdict.finding for verdict in verdicts].count("better") == 0
    plain = [
        verdict.words for verdict in verdicts if verdict.words.startswith("clicks: no better than the base rate; ")
    ]
    assert len(plain) >= 30
    assert "(95 %: " in plain[0]


def test_the_entropy_is_that_of_the_training_rate() -> None:
    p, y = log(1)
    verdict = judge(np.full(USERS.size, 0.2), y)
    assert verdict.normalised_entropy.estimate == pytest.approx(1)
    assert (verdict.auc.low, verdict.auc.high) == (0.5, 0.5)
    assert judge(p, y, base_rate=0.9).normalised_entropy.estimate < judge(p, y).normalised_entropy.estimate


def test_following_the_level_alone_is_not_better() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(USERS.size) < 0.4).astype(int)
    verdict = judge(np.clip(rng.normal(0.4, 0.01, USERS.size), 0, 1), y, base_rate=0.1)
    assert verdict.finding == "no better"
    assert "at ranking; only the general level is closer" in verdict.words


def test_ranking_with_wrong_probabilities_is_not_better() -> None:
    p, y = log(3, level=-3.0)
    verdict = judge(p, y, base_rate=y.mean())
    assert verdict.finding == "no better"
    assert "in log loss, though it ranks better than chance" in verdict.words


def test_few_positives_cannot_tell() -> None:
    y = (np.arange(USERS.size) % 200 == 0).astype(int)
    verdict = judge(np.where(y == 1, 0.5, 0.001), y, base_rate=0.005)
    assert verdict.finding == "no better"
    assert verdict.words.startswith("clicks: no better than the base rate as far as 6 clicks can tell; ")


def test_few_users_cannot_tell() -> None:
    """The interval of a single user is a point."""
    verdict = judge(*log(0), users=np.zeros(USERS.size, np.int64))
    assert verdict.auc.low == verdict.auc.high == verdict.auc.estimate > 0.5
    assert verdict.finding == "no better"
    assert verdict.words.startswith("clicks: no better than the base rate as far as 1 user can tell; ")
    assert judge(*log(0), users=np.arange(USERS.size) % 3).finding == "no better"


@pytest.mark.parametrize(
    ("labels", "base_rate", "reason"),
    [
        (np.zeros(4), 0.2, "no click among 4 impressions"),
        (np.ones(4), 0.2, "a click at each of 4 impressions"),
        (np.array([0, 1, 0, 1]), 0.0, "the training period has no clicks"),
        (np.array([]), 0.2, "no impression"),
    ],
)
def test_there_is_no_verdict_without_both_classes(labels: np.ndarray, base_rate: float, reason: str) -> None:
    verdict = judge(np.full(labels.size, 0.2), labels, base_rate, np.arange(labels.size))
    assert (verdict.finding, verdict.words) == ("undefined", f"clicks: no verdict, {reason}")
    assert verdict.to_dict()["auc"] is None
