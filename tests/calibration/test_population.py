"""Calibration for the ads that compete, from the ads that were shown and their propensities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.calibration import Calibration, CalibrationConfig, CalibrationSums, HeadSums, fit_calibration
from rosa_ray.calibration.curve import logit, sigmoid

CANDIDATES = CalibrationConfig(population="candidates", prior_positives=0, slope_caution=0)


def shown_by_a_policy(requests: int, seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two candidates a request, of which the model sees one part of the logit and the policy another one as well.

    Returns:
        The rows shown, with labels and propensities, and all candidates with their true probabilities.
    """
    rng = np.random.default_rng(seed)
    seen, unseen = rng.normal(-2, 0.8, (requests, 2)), rng.normal(0, 1.0, (requests, 2))
    truth = sigmoid(seen + unseen)
    odds = np.exp(1.5 * unseen)
    propensity = 0.1 + 0.8 * odds / odds.sum(1, keepdims=True)
    pick = (rng.random(requests) > propensity[:, 0]).astype(int)
    at = np.arange(requests), pick
    click = (rng.random(requests) < truth[at]).astype(np.int8)
    shown = {
        "p_ctr": sigmoid(seen[at]),
        "p_cvr": np.full(requests, 0.1),
        "value": np.ones(requests),
        "click": click,
        "conversion": np.zeros(requests, np.int8),
        "revenue": np.zeros(requests),
        "propensity": propensity[at],
    }
    return shown, {"p_ctr": sigmoid(seen).ravel(), "true": truth.ravel()}


def test_candidates_are_right_where_the_policy_knew_more_than_the_model() -> None:
    shown, every = shown_by_a_policy(200_000)
    sums = CalibrationSums().update(shown)
    rights = {}
    for population in ("shown", "candidates"):
        config = CalibrationConfig(method="platt", population=population, prior_positives=0, slope_caution=0)
        p = fit_calibration(sums, config).ctr(every["p_ctr"])
        rights[population] = p.sum() / every["true"].sum()
    assert rights["shown"] > 1.15
    assert rights["candidates"] == pytest.approx(1, abs=0.02)


def test_equal_propensities_change_nothing() -> None:
    shown, _ = shown_by_a_policy(5_000)
    sums = CalibrationSums().update({**shown, "propensity": np.full(5_000, 0.2)})
    plain, weighed = (
        fit_calibration(sums, CalibrationConfig(method="platt", population=population))
        for population in ("shown", "candidates")
    )
    assert weighed.ctr.calibrated_logit == pytest.approx(plain.ctr.calibrated_logit, abs=1e-9)
    assert weighed.ctr.positives == pytest.approx(plain.ctr.positives)


def test_one_row_of_a_tiny_propensity_does_not_decide() -> None:
    """100 clicks of weight 2 and one of weight 1e6 are worth hardly more than one positive: the prior stays."""
    p, y = np.full(20_000, 0.01), np.zeros(20_000, np.int8)
    y[:101] = 1
    rows = {"p_ctr": p, "p_cvr": p, "value": p, "click": y, "conversion": 0 * y, "revenue": 0 * p}
    propensity = np.where(np.arange(20_000) == 100, 1e-6, 0.5)
    sums = CalibrationSums().update({**rows, "propensity": propensity})
    assert sums.candidate_ctr.effective().total_positives == pytest.approx(1, abs=0.01)
    fitted = fit_calibration(sums, CalibrationConfig(population="candidates"))
    assert abs(logit(fitted.ctr(p[:1]))[0] - logit(0.01)) < 0.35


def test_without_propensities_rows_count_as_shown_and_it_is_said() -> None:
    shown, _ = shown_by_a_policy(2_000)
    rows = {**shown, "propensity": np.full(2_000, np.nan)}
    sums = CalibrationSums().update(rows)
    fitted, plain = (fit_calibration(sums, CalibrationConfig(population=name)) for name in ("candidates", "shown"))
    assert fitted.ctr == plain.ctr
    assert fitted.fallbacks["population"] == "no propensity in the validation period"
    assert "population" not in plain.fallbacks
    assert Calibration.from_dict(fitted.to_dict()).fallbacks == fitted.fallbacks


@given(st.lists(st.floats(0.1, 50), min_size=1, max_size=20))
def test_weights_are_never_worth_more_than_their_rows(weights: list[float]) -> None:
    count = len(weights)
    sums = HeadSums().update(np.full(count, 0.2), np.ones(count, np.int8), np.array(weights))
    assert sums.effective().total_positives <= count * (1 + 1e-9)


def test_merged_sums_are_those_of_one_pass() -> None:
    shown, _ = shown_by_a_policy(3_000)
    parts = [{name: values[rows] for name, values in shown.items()} for rows in (slice(700), slice(700, None))]
    merged = CalibrationSums().update(parts[0]).merge(CalibrationSums().update(parts[1]))
    whole = CalibrationSums().update(shown)
    assert merged.candidate_ctr.rows == pytest.approx(whole.candidate_ctr.rows)
    assert fit_calibration(merged, CANDIDATES).ctr.positives == pytest.approx(
        fit_calibration(whole, CANDIDATES).ctr.positives
    )
