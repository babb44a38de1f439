import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from rosa_ray.metrics import BootstrapConfig, auc_interval, auc_statistic, interval, roi_interval, roi_statistic

CONFIG = BootstrapConfig(replicates=200, seed=3)


def _rows(users=60, per_user=10, seed=0):
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), per_user) * 7 - 11
    scores = np.round(rng.random(user.size), 2)
    labels = (rng.random(user.size) < scores).astype(int)
    order = rng.permutation(user.size)
    return scores[order], labels[order], user[order]


def test_auc_of_a_draw_equals_sklearn_on_the_repeated_rows():
    scores, labels, user = _rows()
    statistic, users = auc_statistic(scores, labels, user)
    drawn = np.random.default_rng(1).integers(0, 4, users)
    repeats = drawn[np.searchsorted(np.unique(user), user)]
    expected = roc_auc_score(np.repeat(labels, repeats), np.repeat(scores, repeats))
    assert statistic(drawn) == pytest.approx(expected, abs=1e-12)


def test_interval_holds_its_estimate_and_repeats_with_its_seed():
    scores, labels, user = _rows()
    first, again = auc_interval(scores, labels, user, CONFIG), auc_interval(scores, labels, user, CONFIG)
    assert first == again
    assert first.estimate == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert first.low < first.estimate < first.high
    assert (first.level, first.replicates) == (0.95, 200)


def test_repeating_every_row_of_a_user_does_not_narrow_the_interval():
    scores, labels, user = _rows()
    once = auc_interval(scores, labels, user, CONFIG)
    tenfold = auc_interval(np.tile(scores, 10), np.tile(labels, 10), np.tile(user, 10), CONFIG)
    assert (tenfold.low, tenfold.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_roi_interval_covers_the_truth_at_about_its_level():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        revenue, cost, user = rng.exponential(2.0, 150), rng.uniform(0.5, 1.5, 150), np.arange(150) // 3
        found = roi_interval(np.ones(150), revenue, cost, user, CONFIG)
        hits += found.low <= 1.0 <= found.high
    assert hits >= 50


def test_paired_difference_of_two_policies_is_narrower_than_either():
    rng = np.random.default_rng(0)
    revenue, cost, user = rng.exponential(2.0, 300), np.ones(300), np.arange(300) // 3
    a, users = roi_statistic(np.ones(300), revenue * 1.1, cost, user)
    b, _ = roi_statistic(np.ones(300), revenue, cost, user)
    gap = interval(lambda drawn: a(drawn) - b(drawn), users, CONFIG)
    alone = interval(a, users, CONFIG)
    assert gap.low > 0
    assert gap.high - gap.low < (alone.high - alone.low) / 5


def test_undefined_statistics_have_no_interval():
    assert auc_interval([0.1, 0.2], [0, 0], [1, 2], CONFIG) is None
    assert auc_interval([], [], np.zeros(0, int), CONFIG) is None
    assert roi_interval([1.0], [1.0], [0.0], [1], CONFIG) is None


def test_draws_without_a_class_are_left_out_and_counted():
    found = auc_interval([0.1, 0.2], [0, 1], [1, 2], CONFIG)
    assert found.estimate == 1.0
    assert 0 < found.replicates < CONFIG.replicates


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="'scores': 1 of 2 values are NaN"):
        auc_interval([0.1, np.nan], [0, 1], [1, 2], CONFIG)
