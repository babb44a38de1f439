"""Labels ripen: what is too young to know is left out or weighted, and never a negative in silence."""

from dataclasses import asdict

import numpy as np
import pytest

from rosa_ray.calibration import CalibrationSums
from rosa_ray.features import FeatureState, FitSums
from rosa_ray.labels import DelayCurve, LabelsConfig, Maturity, count_delays, forget_late
from rosa_ray.metrics import EVALUATED_COLUMNS, Evaluation, evaluate_predictions
from rosa_ray.metrics.segments import SegmentMetrics
from rosa_ray.settings import SettingError
from rosa_ray.units import DAY_US, HOUR_US
from tests.tiny_users import BOUNDS, FEATURES, tiny_rows

WINDOW_US = 3 * DAY_US


def rows_of(count: int, seed: int = 0, rate: float = 0.3, days: int = 12) -> dict[str, np.ndarray]:
    """Impressions over some days, a third clicked; conversions take from no time to three days, most of them hours."""
    rng = np.random.default_rng(seed)
    time_us = rng.integers(0, days * DAY_US, count)
    click = (rng.random(count) < 1 / 3).astype(np.int8)
    conversion = (click * (rng.random(count) < rate)).astype(np.int8)
    delay = np.exp(rng.uniform(np.log(HOUR_US / 10), np.log(WINDOW_US - 1), count)).astype(np.int64)
    return {
        "time_us": time_us,
        "click": click,
        "click_time_us": time_us,
        "conversion": conversion,
        "conversion_time_us": np.where(conversion > 0, time_us + delay, time_us),
        "revenue": conversion * 2.0,
    }


def rate_of(rows: dict[str, np.ndarray], weight: np.ndarray) -> float:
    clicked = rows["click"] * weight
    return float((clicked * rows["conversion"]).sum() / clicked.sum())


def test_what_came_after_the_moment_is_not_known() -> None:
    rows = rows_of(4000)
    known, counts = forget_late(rows, 10 * DAY_US, None)
    late = (rows["conversion"] > 0) & (rows["conversion_time_us"] > 10 * DAY_US)
    assert counts["conversions_after_as_of"] == late.sum() > 0
    np.testing.assert_array_equal(known["conversion"], np.where(late, 0, rows["conversion"]))
    assert not known["revenue"][known["conversion"] == 0].any()
    assert (known["conversion_time_us"] <= 10 * DAY_US).all() | (known["time_us"] > 10 * DAY_US).any()


def test_a_click_after_the_moment_is_none_and_neither_is_its_revenue() -> None:
    rows = {name: values[:1] for name, values in rows_of(1).items()}
    rows |= {
        "click": np.array([1]),
        "click_time_us": np.array([9]),
        "time_us": np.array([1]),
        "revenue": np.array([3.0]),
    }
    known, counts = forget_late(rows, 8, None)
    assert (known["click"][0], known["click_time_us"][0], known["revenue"][0]) == (0, 1, 0.0)
    assert counts["clicks_after_as_of"] == 1


def test_conversions_after_the_window_are_none() -> None:
    rows = rows_of(4000)
    known, counts = forget_late(rows, None, DAY_US)
    late = rows["conversion_time_us"] - rows["time_us"] > DAY_US
    assert counts == {"conversions_after_window": late.sum()}
    assert known["conversion"].sum() == rows["conversion"].sum() - late.sum()


def test_young_rows_are_left_out_whether_they_have_converted_or_not() -> None:
    rows, _ = forget_late(rows_of(4000), 10 * DAY_US, WINDOW_US)
    weight = Maturity(10 * DAY_US, WINDOW_US).weights(rows)
    np.testing.assert_array_equal(weight, (rows["time_us"] <= 7 * DAY_US).astype(float))
    assert rows["conversion"][weight == 0].any()


def test_weights_give_the_final_rate_where_silent_negatives_do_not() -> None:
    final = rows_of(200_000)
    rows, _ = forget_late(final, 10 * DAY_US, WINDOW_US)
    rows = {name: values[rows["time_us"] < 10 * DAY_US] for name, values in rows.items()}
    curve = DelayCurve.fit([count_delays(rows)], 7 * DAY_US)
    weight = Maturity(10 * DAY_US, WINDOW_US, curve).weights(rows)
    young = (rows["time_us"] > 7 * DAY_US) & (weight > 0)
    assert rate_of(rows, young) < 0.27
    assert rate_of(rows, young * weight) == pytest.approx(0.3, abs=0.012)
    clicked = young & (rows["click"] > 0)
    assert weight[clicked].sum() / clicked.sum() == pytest.approx(1, abs=0.02)
    assert (weight[young & (rows["click"] == 0)] == 1).all()


def test_the_delays_are_learned_from_days_that_are_final() -> None:
    rows, _ = forget_late(rows_of(50_000), 10 * DAY_US, WINDOW_US)
    old = {name: values[rows["time_us"] < 7 * DAY_US] for name, values in rows.items()}
    every, some = (DelayCurve.fit([count_delays(part)], 7 * DAY_US) for part in (rows, old))
    assert every.rate == some.rate == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(every.share, some.share)
    halves = [count_delays({name: values[part::2] for name, values in rows.items()}) for part in (0, 1)]
    np.testing.assert_allclose(DelayCurve.fit(halves, 7 * DAY_US).share, every.share)


def test_without_a_conversion_all_young_rows_are_left_out() -> None:
    rows = rows_of(100) | {"conversion": np.zeros(100, np.int8)}
    weight = Maturity(10 * DAY_US, WINDOW_US, DelayCurve.fit([count_delays(rows)], 7 * DAY_US)).weights(rows)
    np.testing.assert_array_equal(weight, (rows["time_us"] <= 7 * DAY_US).astype(float))


def predictions(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    click = (rng.random(count) < 0.4).astype(float)
    conversion = click * (rng.random(count) < 0.5)
    columns = {name: rng.random(count) for name in EVALUATED_COLUMNS}
    columns |= {"user_key": np.arange(count) // 4, "request_key": np.arange(count) // 2}
    return columns | {"click": click, "conversion": conversion, "revenue": conversion * 3.0}


def test_metrics_of_conversions_are_those_of_the_known_rows() -> None:
    columns = predictions(400, 0)
    known = np.random.default_rng(1).random(400) < 0.6
    found = evaluate_predictions(columns | {"conversion_weight": known.astype(float)})
    every = evaluate_predictions(columns)
    few = evaluate_predictions({name: values[known] for name, values in columns.items()})
    of_conversions = [name for name in found if name.startswith(("cvr", "ctcvr", "revenue", "conversions"))]
    assert {name: found[name] for name in of_conversions} == {name: few[name] for name in of_conversions}
    rest = [name for name in found if name not in (*of_conversions, "unknown_conversions")]
    assert {name: found[name] for name in rest} == {name: every[name] for name in rest}
    assert found["cvr"] != every["cvr"]
    assert (found["unknown_conversions"], every["unknown_conversions"]) == ((~known).sum(), 0)


def test_figures_of_young_rows_alone_are_missing_with_their_reason() -> None:
    columns = predictions(100, 0) | {"conversion_weight": np.zeros(100)}
    reasons = Evaluation().update(columns).undefined()
    assert reasons["cvr"] == reasons["cvr_auc"] == "no final click"
    assert reasons["ctcvr_auc"] == "no final impression"


def test_segments_and_calibration_too() -> None:
    columns = predictions(400, 2)
    known = np.random.default_rng(3).random(400) < 0.6
    masked, few = columns | {"conversion_weight": known.astype(float)}, {n: v[known] for n, v in columns.items()}
    segment, of_few = (SegmentMetrics().update(part).compute() for part in (masked, few))
    for name in ("cvr", "cvr_pcoc", "ctcvr_pcoc", "revenue_pcoc"):
        assert segment[name] == pytest.approx(of_few[name])
    assert segment["clicks"] == columns["click"].sum()
    sums, of_few_sums = (CalibrationSums().update(part) for part in (masked, few))
    np.testing.assert_array_equal(sums.cvr.rows, of_few_sums.cvr.rows)
    for name, value in asdict(sums.value).items():
        np.testing.assert_allclose(value, asdict(of_few_sums.value)[name], rtol=1e-12, err_msg=name)
    assert sums.ctr.total_rows == 400


def test_base_rates_are_of_known_rows() -> None:
    rows = tiny_rows()
    known = rows.impressions["time_us"] < 5 * DAY_US
    rows.impressions["conversion_weight"] = known.astype(float)
    state = FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], FEATURES)
    shown = {name: values[known] for name, values in rows.impressions.items()}
    assert state.base_rates["cvr"] == (shown["click"] * shown["conversion"]).sum() / shown["click"].sum()
    assert state.base_rates["revenue_per_cost"] == pytest.approx(shown["revenue"].sum() / shown["cost"].sum())
    train = rows.impressions["split"] == 0
    assert state.base_rates["ctr"] == rows.impressions["click"][train].mean()


def test_a_moment_without_an_offset_is_refused() -> None:
    assert LabelsConfig(as_of="2026-01-01T00:00:00Z").as_of_us == 1_767_225_600_000_000
    for wrong in ("2026-01-01", "yesterday"):
        with pytest.raises(SettingError, match=r"labels\.as_of"):
            LabelsConfig(as_of=wrong)
