"""What a statistic loses over permutations, against plain NumPy."""

import numpy as np
import pytest

from rosa_ray.metrics import BootstrapConfig, Draws, auc_statistic, mean_statistic

FIT = BootstrapConfig(replicates=40, seed=3)


def plain_auc(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> float:
    """Every pair of a positive and a negative row, each row `counts` times."""
    won, pairs = 0.0, 0.0
    for score, count in zip(scores[labels == 1], counts[labels == 1], strict=True):
        below = (scores[labels == 0] < score) + 0.5 * (scores[labels == 0] == score)
        won += count * float(below @ counts[labels == 0])
        pairs += count * float(counts[labels == 0].sum())
    return won / pairs


def test_the_change_of_auc_is_that_of_all_pairs_in_every_draw() -> None:
    rng = np.random.default_rng(0)
    user, labels = np.repeat(np.arange(12), 10), rng.integers(0, 2, 120)
    before = labels + rng.normal(0, 1, 120)
    after = [rng.normal(0, 1, 120).round(1) for _ in range(3)]
    draws = Draws.of(12, 3, FIT)
    assert draws.users.shape == (41, 12)
    assert (draws.users.sum(axis=1) == 12).all()
    values = [draws.values(auc_statistic(scores, labels, user)[0]) for scores in (before, *after)]
    plain = np.array([[plain_auc(scores, labels, drawn[user]) for drawn in draws.users] for scores in (before, *after)])
    assert np.array(values) == pytest.approx(plain)
    lost = draws.change(-values[0], -np.stack(values[1:]))
    assert lost is not None
    expected = plain[0] - np.sum(draws.repeats.T * plain[1:], axis=0)
    assert lost.estimate == pytest.approx(plain[0, 0] - plain[1:, 0].mean())
    assert (lost.low, lost.high) == pytest.approx(tuple(np.quantile(expected[1:], [0.025, 0.975])))


def test_nothing_changed_is_exactly_zero() -> None:
    draws = Draws.of(5, 4, FIT)
    values = np.random.default_rng(0).random(41)
    same = draws.change(values, np.stack([values] * 4))
    assert same is not None
    assert (same.estimate, same.low, same.high) == (0.0, 0.0, 0.0)


def test_the_interval_holds_the_chance_of_the_permutations_too() -> None:
    draws = Draws.of(5, 4, FIT)
    of_repeats = np.array([0.0, 1.0, 2.0, 3.0])[:, None] * np.ones(41)
    change = draws.change(np.zeros(41), of_repeats)
    assert change is not None
    assert change.low < change.estimate == 1.5 < change.high


def test_draws_without_a_value_are_left_out_and_counted() -> None:
    draws, values = Draws.of(5, 1, FIT), np.zeros(41)
    after = np.where(np.arange(41) % 2, np.nan, 1.0)[None]
    change = draws.change(values, after)
    assert change is not None
    assert change.replicates == 20
    assert draws.change(np.full(41, np.nan), after) is None


def test_a_weighted_mean_of_drawn_users() -> None:
    rng = np.random.default_rng(1)
    user, values, weights = rng.integers(0, 6, 50), rng.normal(0, 1, 50), rng.uniform(1, 3, 50)
    mean, users = mean_statistic(values, user, weights)
    drawn = np.array([0, 2, 1, 1, 0, 3])
    assert users == 6
    assert mean(drawn) == pytest.approx(np.average(values, weights=weights * drawn[user]))
    assert mean(np.zeros(6, np.int64)) is None
