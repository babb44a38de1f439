import numpy as np
import pytest

from rosa_ray.metrics import evaluate_predictions
from rosa_ray.metrics.segments import OTHER, Segments, activity_segment, day_segment


def columns(rows: int = 4000, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    p_ctr, p_cvr = rng.uniform(0.02, 0.3, rows), rng.uniform(0.1, 0.5, rows)
    click = (rng.random(rows) < p_ctr).astype(np.int8)
    conversion = click * (rng.random(rows) < p_cvr)
    value = rng.uniform(1, 9, rows)
    return {
        "user_key": np.arange(rows),
        "request_key": np.arange(rows),
        "p_ctr": p_ctr,
        "p_cvr": p_cvr,
        "p_ctcvr": p_ctr * p_cvr,
        "value": value,
        "click": click,
        "conversion": conversion,
        "revenue": conversion * value,
        "expected_cost": value,
        "cost": value,
    }


def test_a_segment_is_measured_as_a_table_of_its_own() -> None:
    table, keys = columns(), np.random.default_rng(1).integers(-2, 2, 4000)
    found = Segments().update(keys, table).compute(str)
    assert list(found) == ["-2", "-1", "0", "1"]
    for key in (-2, 1):
        own = evaluate_predictions({name: values[keys == key] for name, values in table.items()})
        for name in ("n", "clicks", "conversions", "ctr", "cvr", "pcoc", "cvr_pcoc", "ctcvr_pcoc", "revenue_pcoc"):
            assert found[str(key)][name] == pytest.approx(own[name]), name


def test_ece_is_that_of_ten_bins_of_equal_mass() -> None:
    table = columns(2000)
    order = np.argsort(table["p_ctr"])
    bins = [(table["p_ctr"][rows].mean(), table["click"][rows].mean()) for rows in np.split(order, 10)]
    expected = np.mean([abs(predicted - observed) for predicted, observed in bins])
    ece = Segments().update(np.zeros(2000, np.int64), table).compute(str)["0"]["ece"]
    assert ece == pytest.approx(expected, abs=3e-3)


def test_merging_is_one_pass_over_both() -> None:
    table, keys = columns(), np.arange(4000) % 3
    first, rest = ({name: values[part] for name, values in table.items()} for part in (slice(900), slice(900, None)))
    merged = Segments().update(keys[:900], first).merge(Segments().update(keys[900:], rest)).compute(str)
    for name, metrics in Segments().update(keys, table).compute(str).items():
        assert merged[name] == pytest.approx(metrics)


def test_small_and_nameless_segments_are_put_together() -> None:
    keys = np.repeat([1, 2, 3, 4], [50, 30, 10, 10])
    found = Segments().update(keys, columns(100)).compute({1: "one", 3: "three"}.get, most=3)
    assert {name: metrics["n"] for name, metrics in found.items()} == {"one": 50, OTHER: 40, "three": 10}


def test_without_clicks_ratios_are_undefined() -> None:
    table = {**columns(10), "click": np.zeros(10), "conversion": np.zeros(10), "revenue": np.zeros(10)}
    metrics = Segments().update(np.zeros(10, np.int64), table).compute(str)["0"]
    assert metrics["ctr"] == 0
    assert [metrics[name] for name in ("cvr", "pcoc", "cvr_pcoc", "ctcvr_pcoc", "revenue_pcoc")] == [None] * 5


def test_activity_and_day_are_cut_where_they_should() -> None:
    assert activity_segment([0, 1, 9, 10, 49, 50, 999]).tolist() == [0, 1, 1, 2, 2, 3, 3]
    assert day_segment([86_399_999_999, 86_400_000_000]).tolist() == [0, 1]
