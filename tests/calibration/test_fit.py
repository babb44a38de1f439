"""Fits against data whose true probabilities are known."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rosa_ray.calibration import CalibrationConfig, CalibrationSums, HeadSums, fit_calibration, fit_curve
from rosa_ray.calibration.curve import logit, sigmoid
from rosa_ray.calibration.fit import fit_platt

FREE = CalibrationConfig(prior_positives=0)


def drawn(truth, rows: int = 200_000, centre: float = -2.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw probabilities, labels, and true probabilities `sigmoid(truth(raw logit))`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(centre, 1.0, rows)
    p = sigmoid(truth(x))
    return sigmoid(x), (rng.random(rows) < p).astype(np.int8), p


def bent(x: np.ndarray) -> np.ndarray:
    """Overconfident at the top, flat in the middle: no line corrects it."""
    return np.where(x < -2.5, x, np.where(x < -1.5, -2.5 + 0.02 * (x + 2.5), x - 0.98))


def test_platt_is_logistic_regression_on_the_logit() -> None:
    p, y, _ = drawn(lambda x: 0.6 * x - 0.8, rows=20_000)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(p)[:, None], y)
    x = np.array([-4.0, -2.0, -0.5])
    expected = reference.coef_[0, 0] * x + reference.intercept_[0]
    assert fit_platt(HeadSums().update(p, y), 0).logits(x) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("method", ["platt", "isotonic", "auto"])
def test_a_fit_makes_sums_right_on_new_rows(method: str) -> None:
    config = CalibrationConfig(method=method)
    curve = fit_curve(HeadSums().update(*drawn(lambda x: 0.7 * x - 0.6)[:2]), config)
    assert curve.method == ("isotonic" if method == "auto" else method)
    p, _, truth = drawn(lambda x: 0.7 * x - 0.6, seed=1)
    assert curve(p).sum() / truth.sum() == pytest.approx(1, abs=0.03)
    assert np.abs(curve(p) - truth).mean() < 0.05 * truth.mean()


def test_isotonic_follows_what_no_line_can_and_never_makes_ties() -> None:
    sums = HeadSums().update(*drawn(bent)[:2])
    p, _, truth = drawn(bent, seed=1)
    isotonic, platt = (fit_curve(sums, CalibrationConfig(method=method)) for method in ("isotonic", "platt"))
    assert np.abs(isotonic(p) - truth).mean() < 0.6 * np.abs(platt(p) - truth).mean()
    some = np.unique(p[:5000])
    assert (np.diff(isotonic(some)) > 0).all()


def test_what_is_calibrated_stays() -> None:
    p, y, truth = drawn(lambda x: x)
    for method in ("platt", "isotonic"):
        curve = fit_curve(HeadSums().update(p, y), CalibrationConfig(method=method))
        assert np.abs(curve(p) / truth - 1).mean() < 0.04
        assert curve(p).sum() == pytest.approx(y.sum(), rel=0.01)


def test_few_positives_move_little_and_many_all_the_way() -> None:
    """All scores equal, half as many positives as predicted: with as many as the prior, half of the way in logits."""
    shifts = {}
    for positives in (5, 500):
        rows = positives * 200
        p, y = np.full(rows, 0.01), (np.arange(rows) < positives).astype(np.int8)
        shifts[positives] = fit_curve(HeadSums().update(p, y), CalibrationConfig(method="platt", prior_positives=25))
    assert shifts[5](np.array([0.01]))[0] == pytest.approx(0.009, rel=0.06)
    assert shifts[500](np.array([0.01]))[0] == pytest.approx(0.005, rel=0.05)


def test_a_head_that_ranks_backwards_is_flattened_not_turned() -> None:
    curve = fit_curve(HeadSums().update(*drawn(lambda x: -x - 5)[:2]), FREE)
    assert (np.diff(curve.logits(np.linspace(-8, 4, 999))) > 0).all()


@pytest.mark.parametrize("labels", [np.zeros(50, np.int8), np.ones(50, np.int8), np.zeros(0, np.int8)])
def test_one_class_or_no_rows_is_the_identity(labels: np.ndarray) -> None:
    assert fit_curve(HeadSums().update(np.full(len(labels), 0.3), labels), CalibrationConfig()).is_identity


def test_merged_sums_fit_as_one_pass_does() -> None:
    p, y, _ = drawn(bent, rows=30_000)
    whole = HeadSums().update(p, y)
    parts = HeadSums().update(p[:999], y[:999]).merge(HeadSums().update(p[999:], y[999:]))
    assert fit_curve(parts, FREE).calibrated_logit == pytest.approx(fit_curve(whole, FREE).calibrated_logit)


def test_auto_takes_isotonic_only_where_there_is_enough() -> None:
    log = table(rows=60_000)
    fitted = fit_calibration(CalibrationSums().update(log), CalibrationConfig())
    assert (fitted.ctr.method, fitted.cvr.method) == ("isotonic", "platt")
    assert fitted.cvr.rows == log["click"].sum()
    assert fitted.conversions == (log["click"] * log["conversion"]).sum()


def test_all_heads_are_right_on_new_rows() -> None:
    fitted = fit_calibration(CalibrationSums().update(table(rows=300_000)), CalibrationConfig())
    new = table(rows=300_000, seed=1)
    applied, clicked = fitted.apply(new), new["click"] == 1
    converted = clicked & (new["conversion"] == 1)
    assert applied["p_ctr"].sum() / new["click"].sum() == pytest.approx(1, abs=0.03)
    assert applied["p_cvr"][clicked].sum() / new["conversion"][clicked].sum() == pytest.approx(1, abs=0.05)
    assert applied["p_ctcvr"].sum() / converted.sum() == pytest.approx(1, abs=0.06)
    assert applied["value"][converted].sum() / new["revenue"][converted].sum() == pytest.approx(1, abs=0.03)


def test_none_leaves_scores_alone() -> None:
    assert fit_calibration(CalibrationSums().update(table()), CalibrationConfig(method="none")).is_identity


@pytest.mark.parametrize("keep", [0.05, 0.3])
def test_a_thinned_log_with_weights_is_calibrated_as_the_whole_one(keep: float) -> None:
    """Drop rows without a click, and give those that are left the weight of what they stand for."""
    whole = table(rows=400_000)
    rng = np.random.default_rng(5)
    kept = (whole["click"] == 1) | (rng.random(len(whole["click"])) < keep)
    log = {name: values[kept] for name, values in whole.items()}
    log["weight"] = np.where(log["click"] == 1, 1.0, 1 / keep)
    for method in ("platt", "isotonic"):
        config = CalibrationConfig(method=method)
        of_whole, of_kept = (fit_calibration(CalibrationSums().update(rows), config) for rows in (whole, log))
        p, expected = of_kept.apply(whole)["p_ctr"], of_whole.apply(whole)["p_ctr"]
        assert p.sum() / whole["click"].sum() == pytest.approx(1, abs=0.02)
        assert np.abs(p / expected - 1).mean() < 0.05


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_row_of_weight_three_counts_as_three_rows(method: str) -> None:
    rows = table()
    weight = np.random.default_rng(1).integers(1, 4, len(rows["click"]))
    repeated = {name: np.repeat(values, weight) for name, values in rows.items()}
    config = CalibrationConfig(method=method)
    one, other = (
        fit_calibration(CalibrationSums().update(part), config)
        for part in ({**rows, "weight": weight.astype(np.float64)}, repeated)
    )
    assert one.ctr.calibrated_logit == pytest.approx(other.ctr.calibrated_logit, abs=1e-9)
    assert one.cvr.calibrated_logit == pytest.approx(other.cvr.calibrated_logit, abs=1e-9)
    assert one.value_factor == pytest.approx(other.value_factor)
    assert (one.conversions, one.ctr.rows) == (other.conversions, other.ctr.rows)


def table(rows: int = 20_000, seed: int = 0, distort: bool = True) -> dict[str, np.ndarray]:
    """Impressions whose model overstates clicks, understates conversions and sees twice the value."""
    rng = np.random.default_rng(seed)
    click_logit, cvr_logit = rng.normal(-2.5, 0.8, rows), rng.normal(-2.0, 0.7, rows)
    click = (rng.random(rows) < sigmoid(click_logit)).astype(np.int8)
    conversion = click * (rng.random(rows) < sigmoid(cvr_logit))
    price = rng.lognormal(3, 1, rows)
    bias = (0.4, -0.5, 2.0) if distort else (0.0, 0.0, 1.0)
    return {
        "p_ctr": sigmoid(click_logit + bias[0]),
        "p_cvr": sigmoid(cvr_logit + bias[1]),
        "value": price * bias[2],
        "click": click,
        "conversion": conversion,
        "revenue": conversion * price,
    }


def test_no_conversion_but_a_prior_at_the_base_rate_gives_one_rate_for_all() -> None:
    """With prior slope 0 the few conversions of a period leave the ads nearly alike, at about the same mean."""
    p = sigmoid(np.linspace(-4, 0, 400))
    y = (np.arange(400) % 100 == 50).astype(np.int8)
    curve = fit_curve(HeadSums().update(p, y), CalibrationConfig(cvr_slope=0.0, prior_positives=1e6), 0.0)
    flat = curve(p)
    assert flat.mean() == pytest.approx(p.mean(), rel=0.07)
    assert flat.std() < 0.12 * p.std()
    assert (np.diff(flat) > 0).all()


def test_a_slope_goes_from_its_prior_to_what_the_data_say() -> None:
    """The true slope is .6. Ten rows say nothing, so that the prior stays; thousands of positives decide."""
    slopes = {}
    for rows in (10, 2_000, 200_000):
        p, y, _ = drawn(lambda x: 0.6 * x - 1.0, rows=rows, centre=-2.0)
        y[:2] = (1, 0)
        for caution in (1.0, 10.0):
            line = fit_platt(HeadSums().update(p, y), 25.0, caution)
            slopes[rows, caution] = float(np.diff(line.calibrated_logit)[0] / np.diff(line.logit)[0])
    assert slopes[10, 1.0] == pytest.approx(1, abs=0.1)
    assert slopes[10, 10.0] == pytest.approx(1, abs=0.01)
    assert slopes[200_000, 1.0] == pytest.approx(0.6, abs=0.03)
    assert slopes[2_000, 1.0] < slopes[2_000, 10.0]


def test_with_prior_slope_one_a_line_is_what_it_was() -> None:
    sums = HeadSums().update(*drawn(lambda x: 0.7 * x - 0.6, rows=3_000)[:2])
    assert fit_platt(sums, 25.0) == fit_platt(sums, 25.0, 10.0, 1.0)
    assert fit_curve(sums, CalibrationConfig(method="platt")) == fit_platt(sums, 25.0)


def test_days_that_differ_make_a_level_less_sure() -> None:
    """All scores equal at .01, 400 positives where 200 were expected. Days that differ by 20 % add 1 + 400 · .04 = 17
    times the prior of 25: the shift goes 400 / (400 + 425) of what it goes alone, with 400 / 425."""
    p, y = np.full(20_000, 0.01), (np.arange(20_000) < 400).astype(np.int8)
    sums = HeadSums().update(p, y)
    moved = []
    for spread in (0.0, 0.2):
        curve = fit_curve(sums, CalibrationConfig(method="platt", day_spread=spread))
        moved.append(float(logit(curve(p[:1]))[0] - logit(0.01)))
    assert moved[0] == pytest.approx(np.log(2), rel=0.06)
    assert 0.4 * moved[0] < moved[1] < 0.75 * moved[0]


def test_more_days_make_up_for_their_spread() -> None:
    p, y = np.full(20_000, 0.01), (np.arange(20_000) < 400).astype(np.int8)
    config = CalibrationConfig(method="platt", day_spread=0.2)
    levels = [fit_curve(HeadSums().update(p, y), config, days=days)(p[:1])[0] for days in (1, 2, 10, 1000)]
    assert levels == sorted(levels)
    assert levels[-1] == pytest.approx(fit_curve(HeadSums().update(p, y), CalibrationConfig())(p[:1])[0], rel=1e-2)


def test_the_length_of_the_period_comes_from_its_rows_and_merges() -> None:
    rows = table(rows=100)
    day_us = 86_400_000_000
    early, late = ({**rows, "time_us": np.linspace(at, at + 1, 100) * day_us} for at in (0, 2))
    assert CalibrationSums().update(early).days == pytest.approx(1)
    assert CalibrationSums().update(early).merge(CalibrationSums().update(late)).days == pytest.approx(3)
    assert CalibrationSums().merge(CalibrationSums().update(late)).days == pytest.approx(1)
    assert CalibrationSums().update(rows).days == 1
