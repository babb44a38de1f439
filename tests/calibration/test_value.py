"""How far a learned value leaves the catalogue price, by hand and as a property of few conversions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.calibration import Calibration, CalibrationConfig, CalibrationSums, ValueSums, fit_calibration
from rosa_ray.calibration.fit import fit_value_factor
from rosa_ray.calibration.sums import VALUE_WEIGHTS
from rosa_ray.calibration.value import LEAST_SPREAD, fit_value_weight, weigh_value

SHRUNK = CalibrationConfig(value="shrunk")


def sums_of(learned: list[float], paid: list[float]) -> np.ndarray:
    """Moments of conversions at a price of 10, from logs of value and revenue over it."""
    price = np.full(len(learned), 10.0)
    sums = ValueSums().update(price * np.exp(learned), price * np.exp(paid), price=price)
    return sums.moments


def test_a_weight_by_hand() -> None:
    """l = 0, 1, 2 and y = 0, 0.5, 1: y's variance is 1/6, the slope .5 · 2 = 1 over 2, and 6 prior units add 1."""
    moments = sums_of([0, 1, 2], [0, 0.5, 1])
    assert fit_value_weight(moments, 0) == pytest.approx(0.5)
    assert fit_value_weight(moments, 6) == pytest.approx(1 / 3)


def test_without_conversions_the_value_is_the_price() -> None:
    assert fit_value_weight(np.zeros(6), 25) == 0.0
    rows = {name: np.zeros(4) for name in ("click", "conversion", "revenue")}
    scores = {"p_ctr": np.full(4, 0.1), "p_cvr": np.full(4, 0.1), "value": np.arange(4) + 30.0}
    price = np.arange(4) + 20.0
    fitted = fit_calibration(CalibrationSums().update({**rows, **scores, "price": price}), SHRUNK)
    assert fitted.value_weight == 0.0
    assert fitted.apply({**scores, "price": price})["value"].tolist() == price.tolist()


@given(
    learned=st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    seed=st.integers(0, 9),
    prior=st.floats(0, 100),
)
def test_a_weight_lies_between_price_and_value_and_falls_with_the_prior(
    learned: list[float], seed: int, prior: float
) -> None:
    paid = np.random.default_rng(seed).normal(0, 0.3, len(learned))
    moments = sums_of(learned, paid.tolist())
    weight = fit_value_weight(moments, prior)
    assert 0 <= fit_value_weight(moments, prior + 1) <= weight + 1e-12 <= 1 + 1e-12


def test_noise_is_kept_out_and_a_true_factor_comes_in_with_conversions() -> None:
    rng = np.random.default_rng(3)
    weights = {}
    for number in (5, 50, 5000):
        learned = rng.normal(0, 0.3, number)
        noise = rng.normal(0, 0.3, number)
        weights[number] = [fit_value_weight(sums_of(learned, y), 25) for y in (learned + noise, noise)]
    assert weights[5][0] < 0.3 < weights[50][0] < weights[5000][0]
    assert weights[5000][0] > 0.95
    assert max(kept_out for _, kept_out in weights.values()) < 0.15


def test_revenue_that_is_the_price_leaves_no_division_by_zero() -> None:
    moments = sums_of([-0.5, 0.5], [0.0, 0.0])
    assert fit_value_weight(moments, 25) == 0.0
    assert LEAST_SPREAD > 0


def test_the_factor_is_of_the_weighted_value() -> None:
    """Price 10, value 40, revenue 30: at weight .5 the value is 20, so a factor of 1.5 makes it right."""
    sums = ValueSums().update(np.array([40.0]), np.array([30.0]), price=np.array([10.0]))
    assert VALUE_WEIGHTS[10] == 0.5
    assert fit_value_factor(sums, 0, 0.5) == pytest.approx(1.5)
    assert fit_value_factor(sums, 0) == pytest.approx(0.75)


def test_merged_sums_fit_as_one_pass_does() -> None:
    rng = np.random.default_rng(0)
    price, value, revenue = (rng.lognormal(3, 0.5, 40) for _ in range(3))
    whole = ValueSums().update(value, revenue, price=price)
    parts = [ValueSums().update(value[part], revenue[part], price=price[part]) for part in (slice(9), slice(9, None))]
    merged = parts[0].merge(parts[1])
    assert merged.moments == pytest.approx(whole.moments)
    assert merged.at_weights == pytest.approx(whole.at_weights)
    assert whole.at_weights[[0, -1]] == pytest.approx([price.sum(), value.sum()])


def test_a_learned_value_is_untouched_by_default() -> None:
    value, price = np.array([3.7, 9.1]), np.array([2.0, 8.0])
    assert weigh_value(value, price, 1.0) is value
    assert CalibrationConfig().value == "learned"


def test_json_keeps_the_weight_and_says_so_in_its_version() -> None:
    weighted = Calibration(value_factor=1.1, value_weight=0.25)
    document = weighted.to_dict()
    assert document["version"] == 2
    assert Calibration.from_dict(document) == weighted
    plain = Calibration(value_factor=1.1).to_dict()
    assert plain["version"] == 1
    assert "weight" not in plain["value"]


def test_a_weight_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"value weight is 1.5; it must be in \[0, 1\]"):
        Calibration(value_weight=1.5)
