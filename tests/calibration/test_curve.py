import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.calibration import Calibration, CalibrationConfig, Curve, correct_sampling
from rosa_ray.errors import ConfigError

STEPS = st.lists(st.floats(0.01, 3), min_size=2, max_size=6)


def curve_of(start: float, right: list[float], up: list[float]) -> Curve:
    count = min(len(right), len(up))
    x, y = start + np.cumsum(right[:count]), np.cumsum(up[:count]) - 1
    return Curve(tuple(x.tolist()), tuple(y.tolist()))


@given(start=st.floats(-8, 4), right=STEPS, up=STEPS)
def test_a_curve_rises_strictly_everywhere(start: float, right: list[float], up: list[float]) -> None:
    x = np.linspace(-25, 25, 2001)
    assert (np.diff(curve_of(start, right, up).logits(x)) > 0).all()


def test_a_curve_by_hand() -> None:
    """Between knots a line, beyond them a shift; p 0.5 lies half way between the knots' logits -1 and 1."""
    curve = Curve((-1.0, 1.0), (-3.0, 0.0))
    assert curve(np.array([0.5])) == pytest.approx(1 / (1 + np.exp(1.5)))
    assert curve.logits(np.array([-6.0, 11.0])).tolist() == [-8.0, 10.0]
    assert curve(np.array([0.0, 1.0])) == pytest.approx([0, 1], abs=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((0.0, 0.0), (0.0, 1.0), "'logit' are not finite and strictly rising"),
        ((0.0, 1.0), (1.0, 1.0), "'calibrated_logit' are not finite and strictly rising"),
        ((0.0, float("inf")), (0.0, 1.0), "'logit' are not finite"),
        ((0.0,), (0.0, 1.0), "1 logits but 2 calibrated logits"),
    ],
)
def test_knots_that_could_turn_a_ranking_are_refused(x: tuple, y: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curve(x, y)


def test_the_identity_returns_scores_bit_for_bit() -> None:
    scores = {name: np.random.default_rng(0).random(9) for name in ("p_ctr", "p_cvr", "p_ctcvr", "value")}
    applied = Calibration().apply(scores)
    assert all(applied[name] is scores[name] for name in scores)


def test_the_product_is_of_the_calibrated_heads_and_other_columns_stay() -> None:
    calibration = Calibration(ctr=Curve((0.0,), (1.0,)), cvr=Curve((0.0,), (-1.0,)), value_factor=3.0)
    scores = {"p_ctr": np.array([0.2]), "p_cvr": np.array([0.4]), "value": np.array([2.0]), "user_key": np.array([7])}
    applied = calibration.apply(scores)
    odds = {"p_ctr": 0.25 * np.e, "p_cvr": (2 / 3) / np.e}
    for name, odd in odds.items():
        assert applied[name] == pytest.approx(odd / (1 + odd))
    assert applied["p_ctcvr"] == applied["p_ctr"] * applied["p_cvr"]
    assert applied["value"].tolist() == [6.0]
    assert applied["user_key"].tolist() == [7]


def test_json_and_back() -> None:
    curve = Curve((-1.0, 0.1), (-2.0, 0.3), "isotonic", 100.0, 7.0)
    calibration = Calibration(curve, Curve(), 1.25, 0.5, 40)
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 9}, "its version is 9, this code reads 1"),
        ({"heads": {}}, "lacks or misspells 'ctr'"),
        ({"value": {"factor": 0.0, "conversions": 1}}, "value factor is 0.0"),
        ({"negative_keep_rate": 2.0}, "negative keep rate is 2.0"),
    ],
)
def test_a_damaged_document_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Calibration.from_dict({**Calibration().to_dict(), **changes})


@given(p=st.floats(1e-6, 1 - 1e-6), keep=st.floats(0.001, 1))
def test_the_sampling_correction_divides_the_odds(p: float, keep: float) -> None:
    corrected = correct_sampling([p], keep)[0]
    assert corrected / (1 - corrected) == pytest.approx(keep * p / (1 - p), rel=1e-6)


def test_a_bundle_of_a_thinned_log_from_before_weights_is_still_corrected() -> None:
    kept = Calibration.from_dict({**Calibration().to_dict(), "negative_keep_rate": 0.25})
    scores = {"p_ctr": np.array([0.5]), "p_cvr": np.array([0.5]), "value": np.array([1.0])}
    assert kept.apply(scores)["p_ctr"].tolist() == [0.2]


@pytest.mark.parametrize(
    ("name", "value"),
    [("isotonic_positives", 0), ("knot_positives", 0), ("prior_positives", -1.0)],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"calibration.{name} is {value}"):
        CalibrationConfig(**{name: value})
