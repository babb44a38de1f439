import numpy as np
import pytest
from scipy.stats import t

from rosa_ray.metrics import ratio_of_sums, student_quantile


def test_a_mean_has_the_textbook_interval():
    values = np.array([2.0, 4.0, 9.0, 1.0])
    found = ratio_of_sums(values, np.ones(4), method="normal")
    error = values.std(ddof=1) / 2
    assert (found.estimate, found.standard_error) == (pytest.approx(4.0), pytest.approx(error))
    assert (found.low, found.high) == (pytest.approx(4 - 1.959964 * error), pytest.approx(4 + 1.959964 * error))


def test_the_log_interval_is_positive_and_the_student_one_contains_it():
    values = np.r_[np.zeros(98), 50.0, 90.0]
    plain, log, student = (ratio_of_sums(values, np.ones(100), method=method) for method in ("normal", "log", "log_t"))
    assert plain.low < 0 < student.low < log.low < log.estimate < log.high < student.high
    assert log.low * log.high == pytest.approx(log.estimate**2)


@pytest.mark.parametrize(("degrees", "tolerance"), [(2.0, 0.01), (3.0, 0.003), (10.0, 1e-4), (1e6, 1e-6)])
def test_student_quantile_agrees_with_scipy(degrees, tolerance):
    assert student_quantile(0.95, degrees) == pytest.approx(t.ppf(0.975, degrees), rel=tolerance)


def test_undefined_ratios():
    assert ratio_of_sums([], []) is None
    assert ratio_of_sums([1.0], [0.0]) is None
    assert ratio_of_sums([1.0], [2.0]).low is None
    below = ratio_of_sums([-3.0, -1.0, -2.0], np.ones(3))
    assert below.low < below.estimate == -2.0 < below.high
    with pytest.raises(ValueError, match="level is 1; it must lie between 0 and 1"):
        ratio_of_sums([1.0], [1.0], level=1)
    with pytest.raises(ValueError, match="method 'exact' is unknown"):
        ratio_of_sums([1.0], [1.0], method="exact")


def test_heavy_tails_are_covered_by_log_t_and_missed_by_the_normal_interval():
    rng = np.random.default_rng(0)
    hits = dict.fromkeys(("normal", "log_t"), 0)
    for _ in range(400):
        sold = rng.random(400) < 0.05
        values = np.where(sold, rng.lognormal(-0.5, 1.0, 400), 0.0)
        for method in hits:
            found = ratio_of_sums(values, np.ones(400), method=method)
            hits[method] += found.low <= 0.05 <= found.high
    assert hits["normal"] < 365
    assert hits["log_t"] >= 370
