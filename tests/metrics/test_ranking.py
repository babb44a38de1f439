import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from rosa_ray.metrics import AucHistogram, Gauc, group_auc

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=60)


def _pairwise_auc(scores, labels):
    """Share of (positive, negative) pairs in the right order, a tie is half; None with one class."""
    positives = [s for s, y in zip(scores, labels, strict=True) if y]
    negatives = [s for s, y in zip(scores, labels, strict=True) if not y]
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives]
    return sum(wins) / len(wins) if wins else None


def _columns(table):
    users, levels, labels = (np.array(column) for column in zip(*table, strict=True))
    return users, levels / 6, labels


def test_histogram_agrees_with_sklearn_on_many_rows():
    rng = np.random.default_rng(0)
    logits = rng.normal(-3, 1.5, 200_000)
    labels = rng.random(200_000) < 1 / (1 + np.exp(-logits - rng.normal(0, 1, 200_000)))
    p = 1 / (1 + np.exp(-logits))
    assert AucHistogram().update(p, labels).compute() == pytest.approx(roc_auc_score(labels, p), abs=1e-6)


def test_histogram_of_float32_probabilities_agrees_with_sklearn():
    rng = np.random.default_rng(1)
    p = rng.beta(0.5, 20, 50_000).astype(np.float32)
    labels = rng.random(50_000) < p
    assert AucHistogram().update(p, labels).compute() == pytest.approx(roc_auc_score(labels, p), abs=1e-6)


def test_equal_scores_are_a_coin_flip():
    assert AucHistogram().update([0.3, 0.3, 0.3], [0, 1, 0]).compute() == 0.5


def test_sure_predictions_of_zero_and_one_are_ranked():
    assert AucHistogram().update([0.0, 0.5, 1.0], [0, 0, 1]).compute() == 1.0


@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1]])
def test_auc_of_one_class_is_undefined_not_zero(labels):
    scores = [0.5] * len(labels)
    assert AucHistogram().update(scores, labels).compute() is None
    assert Gauc().update([1] * len(labels), scores, labels).compute() is None


@given(rows, st.integers(0, 2**16), st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_histogram_is_the_same_in_any_order_and_split(table, seed, cut):
    _, p, y = _columns(table)
    order = np.random.default_rng(seed).permutation(p.size)
    whole = AucHistogram().update(p, y)
    first, second = order[:cut], order[cut:]
    merged = AucHistogram().update(p[first], y[first]).merge(AucHistogram().update(p[second], y[second]))
    np.testing.assert_array_equal(whole.positives, merged.positives)
    np.testing.assert_array_equal(whole.negatives, merged.negatives)
    assert whole.compute() == merged.compute()


@given(rows)
@settings(max_examples=40, deadline=None)
def test_auc_within_groups_equals_counting_pairs(table):
    users, p, y = _columns(table)
    result = group_auc(users, p, y)
    for user, auc, impressions, clicks in zip(result.keys, result.auc, result.impressions, result.clicks, strict=True):
        expected = _pairwise_auc(p[users == user], y[users == user])
        assert (impressions, clicks) == ((users == user).sum(), y[users == user].sum())
        assert np.isnan(auc) if expected is None else auc == pytest.approx(expected, abs=1e-12)
    assert result.keys.tolist() == sorted(set(users.tolist()))


@pytest.mark.parametrize(
    ("weight", "expected"),
    [("impressions", (3 * 1 + 4 * 0.125) / 7), ("clicks", (1 + 2 * 0.125) / 3), ("equal", (1 + 0.125) / 2)],
)
def test_gauc_weighting_by_hand(weight, expected):
    users = [1, 1, 1, 2, 2, 2, 2, 3]
    scores = [0.9, 0.2, 0.1, 0.9, 0.2, 0.1, 0.2, 0.5]
    labels = [1, 0, 0, 0, 1, 1, 0, 1]
    # User 1 ranks its click first (AUC 1). User 2: 0.2 loses to 0.9 and ties 0.2, 0.1 loses twice: 0.5/4.
    gauc = Gauc(weight=weight).update(users, scores, labels)
    assert gauc.compute() == pytest.approx(expected)
    assert (gauc.groups, gauc.excluded) == (2, 1)


@given(rows, st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_gauc_merges_over_users_in_any_order(table, seed):
    users, p, y = _columns(table)
    order = np.random.default_rng(seed).permutation(p.size)
    whole = Gauc().update(users, p, y)
    merged = Gauc()
    for part in (order[users[order] % 2 == 0], order[users[order] % 2 == 1]):
        merged.merge(Gauc().update(users[part], p[part], y[part]))
    assert (whole.groups, whole.excluded, whole.weight_sum) == (merged.groups, merged.excluded, merged.weight_sum)
    assert whole.weighted_sum == pytest.approx(merged.weighted_sum, abs=1e-9)


def test_gauc_of_other_weighting_does_not_merge():
    with pytest.raises(ValueError, match="weighted by clicks into GAUC weighted by impressions"):
        Gauc().merge(Gauc(weight="clicks"))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.5, np.nan], [0, 1], r"'probabilities': 1 of 2 values are NaN or infinite, the first at row 1 \(nan\)"),
        ([0.5, 1.5], [0, 1], r"'probabilities': 1 of 2 values are outside \[0, 1\]"),
        ([0.5, 0.5], [0, 2], r"'labels': 1 of 2 values are neither 0 nor 1"),
        ([0.5, 0.5], [0, np.nan], r"'labels': 1 of 2 values are NaN"),
        ([0.5, 0.5], [0], r"differ in length: probabilities 2, labels 1"),
        ([[0.5]], [[1]], r"needs one dimension"),
    ],
)
def test_bad_input_is_refused_by_name(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        AucHistogram().update(scores, labels)


def test_group_keys_must_be_integers():
    with pytest.raises(ValueError, match="needs 1-D integer keys"):
        group_auc([0.5, 1.0], [0.1, 0.2], [0, 1])
