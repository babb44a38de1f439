import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from rosa_ray.metrics import (
    BootstrapConfig,
    Pcoc,
    TrueHead,
    excess_logloss,
    pcoc_interval,
    ratio_statistic,
    soft_auc,
    soft_auc_statistic,
)


def _rows(count=400, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.beta(1, 8, count)
    scores = np.round(np.clip(truth * np.exp(0.8 * rng.standard_normal(count)), 1e-4, 1), 2)
    return scores, truth, rng.uniform(0.5, 3.0, count)


def test_three_rows_by_hand():
    # Clicks .1, .2, .9; no clicks .9, .8, .1. The first two tie, the third stands above both.
    # Pairs won: (.1 + .2) · (.9 + .8)/2 + .9 · (.9 + .8 + .1/2) = .255 + 1.575 = 1.83 of 1.2 · 1.8 = 2.16.
    head = TrueHead().update([0.3, 0.3, 0.5], [0.1, 0.2, 0.9])
    assert head.auc() == pytest.approx(1.83 / 2.16)
    assert head.pcoc() == pytest.approx(1.1 / 1.2)


def test_excess_loss_by_hand_and_weighted():
    assert excess_logloss([0.5], [0.25])[0] == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5))
    head = TrueHead().update([0.5, 0.25], [0.25, 0.25], [1.0, 3.0])
    assert head.excess_logloss() == pytest.approx((0.25 * np.log(0.5) + 0.75 * np.log(1.5)) / 4)
    assert head.pcoc() == pytest.approx((0.5 + 0.75) / 1.0)


def test_each_row_is_a_positive_and_a_negative_row_with_weights():
    scores, truth, weights = _rows()
    labels = np.repeat([1, 0], truth.size)
    sides = np.concatenate([weights * truth, weights * (1 - truth)])
    expected = roc_auc_score(labels, np.tile(scores, 2), sample_weight=sides)
    assert TrueHead().update(scores, truth, weights).auc() == pytest.approx(expected, abs=1e-12)


def test_sampled_labels_have_the_true_auc_in_expectation():
    scores, truth, _ = _rows(800)
    rng = np.random.default_rng(5)
    sampled = [roc_auc_score(rng.random(800) < truth, scores) for _ in range(200)]
    error = np.std(sampled) / np.sqrt(len(sampled))
    assert TrueHead().update(scores, truth).auc() == pytest.approx(np.mean(sampled), abs=4 * error + 1 / 800)


def test_a_perfect_prediction_loses_nothing_and_reaches_the_ceiling():
    truth = np.array([0.0, 0.02, 0.3, 1.0])
    head = TrueHead().update(truth, truth)
    assert (head.excess_logloss(), head.pcoc(), head.auc()) == (0.0, 1.0, head.ceiling())
    scores, truth, weights = _rows()
    head = TrueHead().update(scores, truth, weights)
    assert head.auc() < head.ceiling()
    assert head.excess_logloss() > 0
    assert (excess_logloss(scores, truth) >= 0).all()


@pytest.mark.parametrize("cuts", [(0,), (1, 7), (100, 100, 399)])
def test_parts_merge_to_the_whole(cuts):
    scores, truth, weights = _rows()
    whole = TrueHead().update(scores, truth, weights).compute("cvr_")
    parts = [np.split(values, cuts) for values in (scores, truth, weights)]
    merged = TrueHead()
    for part in reversed(list(zip(*parts, strict=True))):
        merged.merge(TrueHead().update(*part))
    assert merged.compute("cvr_") == pytest.approx(whole, rel=1e-12)
    assert set(whole) == {f"true_cvr_{name}" for name in ("auc", "auc_ceiling", "excess_logloss", "pcoc")}


def test_any_rising_change_of_scores_keeps_the_auc():
    scores, truth, weights = _rows()
    changed = TrueHead().update(scores**2 / 2, truth, weights)
    assert changed.auc() == pytest.approx(TrueHead().update(scores, truth, weights).auc(), abs=1e-12)


def test_without_rows_or_with_one_class_there_is_no_value():
    assert set(TrueHead().compute().values()) == {None}
    assert soft_auc([0.5, 0.6], [0.0, 0.0], [1.0, 1.0]) is None
    assert soft_auc_statistic([0.5, 0.6], [0.0, 0.0], [1.0, 1.0], [1, 2])[0](np.ones(2, np.int64)) is None
    assert TrueHead().update([0.5], [0.0]).pcoc() is None
    with pytest.raises(ValueError, match=r"'truth': 1 of 1 values are outside \[0, 1\]"):
        TrueHead().update([0.5], [1.5])
    with pytest.raises(ValueError, match="differ in length"):
        TrueHead().update([0.5], [0.5, 0.5])


@pytest.mark.parametrize("decimals", [1, 12])
def test_a_draw_of_users_is_the_auc_of_their_repeated_rows_to_first_order(decimals):
    rng = np.random.default_rng(2)
    truth, user = rng.random(6000), rng.integers(-9, 1500, 6000)
    scores = np.round(truth + rng.normal(0, 0.3, 6000), decimals)
    statistic, users = soft_auc_statistic(scores, truth, 1 - truth, user)
    assert statistic(np.ones(users, np.int64)) == soft_auc(scores, truth, 1 - truth)
    draws = [np.bincount(rng.integers(0, users, users), minlength=users) for _ in range(60)]
    times = [drawn[np.searchsorted(np.unique(user), user)] for drawn in draws]
    exact = np.array([soft_auc(scores, drawn * truth, drawn * (1 - truth)) for drawn in times])
    found = np.array([statistic(drawn) for drawn in draws])
    assert np.abs(found - exact).max() < exact.std() / 10
    assert np.std(found) == pytest.approx(exact.std(), rel=0.03)


def test_the_first_order_of_one_user_drawn_once_more():
    scores, truth, _ = _rows(300)
    user = np.arange(300) // 3
    statistic, users = soft_auc_statistic(scores, truth, 1 - truth, user)
    little = 1e-6
    more = np.ones(users) + little * (np.arange(users) == 11)
    weight = more[user]
    change = soft_auc(scores, weight * truth, weight * (1 - truth)) - soft_auc(scores, truth, 1 - truth)
    assert statistic(more) - statistic(np.ones(users)) == pytest.approx(change, rel=1e-3)


def test_pcoc_interval_is_around_the_pcoc_and_wider_with_fewer_users():
    rng = np.random.default_rng(0)
    truth = rng.beta(1, 9, 4000)
    clicks, users, weights = rng.random(4000) < truth, np.arange(4000) // 4, rng.uniform(1, 2, 4000)
    config = BootstrapConfig(replicates=200)
    found = pcoc_interval(truth, clicks, users, config, weights)
    assert found.estimate == pytest.approx(Pcoc().update(truth, clicks, weights).compute(), rel=1e-12)
    assert found.low < 1 < found.high
    assert found.low < found.estimate < found.high
    few = pcoc_interval(truth[:800], clicks[:800], users[:800], config, weights[:800])
    assert few.high - few.low > 1.5 * (found.high - found.low)
    assert pcoc_interval(truth, np.zeros(4000), users, config) is None


def test_a_ratio_of_drawn_users_by_hand():
    statistic, users = ratio_statistic([1.0, 2.0, 4.0], [1.0, 1.0, 2.0], [5, 5, 9])
    assert users == 2
    assert statistic(np.array([1, 1])) == pytest.approx(7 / 4)
    assert statistic(np.array([2, 0])) == pytest.approx(3 / 2)
    assert statistic(np.array([0, 0])) is None
