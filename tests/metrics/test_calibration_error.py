import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from rosa_ray.metrics import LOGLOSS_EPS, Ece, LogLoss, Pcoc

tables = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), min_size=1, max_size=60)


def _columns(table):
    levels, labels = (np.array(column) for column in zip(*table, strict=True))
    return levels / 20, labels


def test_logloss_agrees_with_sklearn():
    rng = np.random.default_rng(0)
    p = rng.random(5000)
    y = rng.random(5000) < p
    assert LogLoss().update(p, y).compute() == pytest.approx(log_loss(y, p), rel=1e-12)


def test_a_sure_mistake_costs_the_named_clip():
    assert LogLoss().update([1.0], [0]).compute() == pytest.approx(-np.log(LOGLOSS_EPS), rel=1e-6)


def test_normalised_entropy_by_hand():
    # Base rate 1/2 costs ln 2; predicting 0.75 for the label that came costs -ln 0.75.
    metric = LogLoss().update([0.75, 0.25], [1, 0])
    assert metric.normalised_entropy() == pytest.approx(-np.log(0.75) / np.log(2))


def test_undefined_calibration_is_none():
    assert LogLoss().compute() is None
    assert LogLoss().update([0.2], [0]).normalised_entropy() is None
    assert Pcoc().update([0.2], [0]).compute() is None
    assert Ece().compute() is None


def test_pcoc_of_money_by_hand():
    assert Pcoc().update([2.0, 4.0], [0.0, 4.0]).merge(Pcoc().update([2.0], [0.0])).compute() == 2.0


def test_pcoc_refuses_negative_money():
    with pytest.raises(ValueError, match="'observed': 1 of 1 values are negative"):
        Pcoc().update([1.0], [-1.0])


def test_equal_mass_table_by_hand():
    p = [0.1, 0.2, 0.3, 0.4, 0.6, 0.8]
    ece = Ece(bins=2).update(p, [0, 0, 1, 0, 1, 1])
    low, high = ece.table()
    assert (low.rows, high.rows) == (3, 3)
    assert (low.predicted, low.observed) == (pytest.approx(0.2), pytest.approx(1 / 3))
    assert (high.predicted, high.observed) == (pytest.approx(0.6), pytest.approx(2 / 3))
    assert ece.compute() == pytest.approx((1 / 3 - 0.2 + 2 / 3 - 0.6) / 2)


def test_equal_width_bins_hold_their_upper_end():
    table = Ece(bins=4, binning="equal_width").update([0.0, 0.25, 1.0], [0, 0, 1]).table()
    assert [(row.rows, row.predicted) for row in table] == [(1, 0.0), (1, 0.25), (1, 1.0)]


def test_calibrated_predictions_have_small_error_and_shifted_ones_their_shift():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 0.5, 100_000)
    y = rng.random(100_000) < p
    assert Ece().update(p, y).compute() < 0.01
    assert Ece().update(p + 0.2, y).compute() == pytest.approx(0.2, abs=0.01)


@given(tables, st.integers(0, 2**16), st.integers(0, 60), st.sampled_from(["equal_mass", "equal_width"]))
@settings(max_examples=25, deadline=None)
def test_states_merge_in_any_order_and_split(table, seed, cut, binning):
    p, y = _columns(table)
    order = np.random.default_rng(seed).permutation(p.size)
    first, second = order[:cut], order[cut:]
    for make in (LogLoss, Pcoc, lambda: Ece(bins=5, binning=binning)):
        whole, merged = make().update(p, y), make().update(p[first], y[first])
        merged.merge(make().update(p[second], y[second]))
        expected = whole.compute()
        assert merged.compute() == (None if expected is None else pytest.approx(expected, rel=1e-12, abs=1e-12))
    merged_ece = Ece(bins=5, binning=binning).update(p[second], y[second])
    merged_ece.merge(Ece(bins=5, binning=binning).update(p[first], y[first]))
    whole_ece = Ece(bins=5, binning=binning).update(p, y)
    np.testing.assert_array_equal(merged_ece.rows, whole_ece.rows)
    np.testing.assert_array_equal(merged_ece.positives, whole_ece.positives)
    assert sum(row.rows for row in whole_ece.table()) == p.size


def test_ece_of_other_bins_does_not_merge():
    with pytest.raises(ValueError, match="10 equal_mass bins into 20 equal_mass bins"):
        Ece().merge(Ece(bins=10))


@pytest.mark.parametrize("metric", [LogLoss(), Pcoc(), Ece()])
def test_nan_is_refused_and_changes_nothing(metric):
    with pytest.raises(ValueError, match="NaN"):
        metric.update([0.5, np.nan], [1, 0])
    assert metric.compute() is None
