"""What every kind of score would earn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rosa_ray.calibration import Returns
from rosa_ray.evaluation.kinds import exact_kinds, measure_kinds
from rosa_ray.evaluation.kinds_table import estimated_table, frontier_table, kinds_table
from rosa_ray.features import Split
from rosa_ray.metrics import SCORE_KINDS
from tests.true_log import CANDIDATES, ROWS, of_split, predicted_columns, true_columns, write_predictions, write_truth

RETURNS = Returns(theta=3.0, level=0.8)


def columns_of(spread: float = 0.5) -> dict[str, np.ndarray]:
    columns = predicted_columns(spread=spread)
    return columns | {"propensity": np.full(len(columns["split"]), 1 / CANDIDATES)}


def best(score: np.ndarray) -> np.ndarray:
    return score.reshape(-1, CANDIDATES).argmax(axis=1) + np.arange(ROWS // CANDIDATES) * CANDIDATES


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict:
    root = tmp_path_factory.mktemp("kinds")
    files = write_predictions(root, columns_of(spread=0.9))
    return measure_kinds(files, write_truth(root / "log"), RETURNS)


def test_each_kind_is_valued_at_the_truth(measured: dict) -> None:
    rows, truth = of_split(predicted_columns(spread=0.9), Split.POLICY), of_split(true_columns(), Split.POLICY)
    revenue, cost = rows["p_ctr"] * rows["p_cvr"] * rows["value"], rows["expected_cost"]
    by_hand = {
        "roi": best(revenue / cost),
        "roas": best(revenue / cost),
        "profit": best(0.8 * revenue - cost),
        "dual": best(0.8 * revenue - 3 * cost),
        "ecpm": best(revenue),
        "ctr": best(rows["p_ctr"]),
    }
    found = {row["kind"]: row for row in measured["exact"]}
    assert tuple(found) == SCORE_KINDS
    for kind, shown in by_hand.items():
        earned, spent = truth["expected_revenue"][shown].sum(), truth["expected_cost"][shown].sum()
        assert found[kind]["profit"] == pytest.approx(earned - spent), kind
        assert found[kind]["roi"] == pytest.approx(earned / spent - 1), kind
    assert found["dual"]["theta"] == 3.0
    assert found["profit"]["theta"] is None


def test_gaps_are_in_percent_of_the_ratios(measured: dict) -> None:
    found = {row["kind"]: row for row in measured["exact"]}
    for kind in ("profit", "dual", "ecpm"):
        for name in ("roi", "profit"):
            expected = 100 * (found[kind][name] / found["roi"][name] - 1)
            assert found[kind][f"{name}_gap"] == pytest.approx(expected), (kind, name)
            assert found[kind][f"{name}_low"] <= found[kind][f"{name}_gap"] <= found[kind][f"{name}_high"]
    assert "roi_gap" not in found["roi"]
    assert found["profit"]["oracle_profit"] == max(row["oracle_profit"] for row in measured["exact"])


def test_the_frontier_falls_in_cost(measured: dict) -> None:
    thetas, costs = ([row[name] for row in measured["frontier"]] for name in ("theta", "cost"))
    assert thetas == sorted(thetas)
    assert costs == sorted(costs, reverse=True)
    assert any(abs(theta - 3.0) < 0.11 for theta in thetas)


def test_the_frontier_meets_the_kinds(measured: dict) -> None:
    exact = {row["kind"]: row for row in measured["exact"]}
    curve = {row["theta"]: row for row in measured["frontier"]}
    assert curve[0.0]["profit"] == pytest.approx(exact["ecpm"]["profit"])
    assert curve[1.0]["profit"] == pytest.approx(exact["profit"]["profit"])


def test_a_log_without_truth_is_estimated_or_says_why(tmp_path: Path) -> None:
    found = measure_kinds(write_predictions(tmp_path, columns_of()), str(tmp_path / "none"), RETURNS)
    assert (found["exact"], found["frontier"]) == (None, None)
    # Its shown ads are other rows than its candidates, so that nothing can be weighed.
    assert found["estimated"] is None
    assert "are not among the candidates" in found["estimated_skipped"]
    assert kinds_table(found, "title") is None
    assert frontier_table(found) is None


def test_tables_have_a_row_for_each(measured: dict) -> None:
    table, frontier = kinds_table(measured, "title"), frontier_table(measured)
    assert table is not None
    assert frontier is not None
    assert (table.row_count, frontier.row_count) == (len(SCORE_KINDS), len(measured["frontier"]))
    assert list(table.columns[0].cells)[2] == "dual, theta 3.00"
    told = {
        "estimated": [
            {"kind": "roi", "roi": 1.0, "low": 0.5, "high": 1.5},
            {"kind": "ecpm", **dict.fromkeys(("roi", "low", "high"))},
        ]
    }
    estimated = estimated_table(told)
    assert estimated is not None
    assert list(estimated.columns[1].cells) == ["1.00", "–"]


def test_ratios_are_left_out_where_an_ad_is_free(tmp_path: Path) -> None:
    rows = of_split(predicted_columns(), Split.POLICY)
    rows["expected_cost"][3] = 0.0
    found = exact_kinds(rows, write_truth(tmp_path), replace(RETURNS))
    assert found is not None
    assert tuple(found) == tuple(kind for kind in SCORE_KINDS if kind not in ("roi", "roas"))


def test_nothing_is_exact_without_truth_or_candidates(tmp_path: Path) -> None:
    rows = of_split(predicted_columns(), Split.POLICY)
    assert exact_kinds(rows, str(tmp_path / "none"), RETURNS) is None
    none = {name: values[:0] for name, values in rows.items()}
    assert exact_kinds(none, write_truth(tmp_path), RETURNS) is None
