"""Figures against the simulator's truth, and intervals over users."""

from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import InputError
from rosa_ray.evaluation.evaluate import findings, metrics_table, period_metrics
from rosa_ray.evaluation.intervals import pcoc_intervals, period_intervals
from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.evaluation.true_metrics import SHOWN_FIGURES, TRUE_FIGURES, true_metrics
from rosa_ray.features import Split
from rosa_ray.metrics import Pcoc, TrueHead
from tests.true_log import ROWS, of_split, predicted_columns, true_columns, write_predictions, write_truth

_PERIODS = (("test", Split.TEST), ("valid", Split.VALID))


@pytest.fixture
def log_dir(tmp_path: Path) -> str:
    return write_truth(tmp_path / "log")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return write_predictions(tmp_path, predicted_columns())


def test_the_test_period_is_measured_over_its_candidates_and_over_what_was_shown(files, log_dir) -> None:
    found = true_metrics(files, Split.TEST, log_dir)
    assert set(found) == {*TRUE_FIGURES, *SHOWN_FIGURES, "true_rows", "undefined"}
    for split, prefix in ((Split.POLICY, ""), (Split.TEST, "shown_")):
        rows, truth = of_split(predicted_columns(), split), of_split(true_columns(), split)
        clicks = TrueHead().update(rows["p_ctr"], truth["p_ctr"], rows["weight"])
        conversions = TrueHead().update(rows["p_cvr"], truth["p_cvr"], rows["weight"] * truth["p_ctr"])
        assert found[f"true_{prefix}auc"] == pytest.approx(clicks.auc())
        assert found[f"true_{prefix}cvr_auc"] == pytest.approx(conversions.auc())
        assert found[f"true_{prefix}pcoc"] == pytest.approx(clicks.pcoc())
        assert found[f"true_{prefix}cvr_excess_logloss"] == pytest.approx(conversions.excess_logloss())
        assert found[f"true_{prefix}auc_ceiling"] > found[f"true_{prefix}auc"]
    assert (found["true_rows"], found["undefined"]) == (ROWS, {})


def test_the_validation_period_is_measured_over_what_was_shown(files, log_dir) -> None:
    found = true_metrics(files, Split.VALID, log_dir)
    assert set(found) == {*TRUE_FIGURES, "true_rows", "undefined"}
    assert 0.5 < found["true_auc"] < found["true_auc_ceiling"]


def test_without_a_truth_every_figure_has_a_reason(files, tmp_path) -> None:
    metrics = {name: period_metrics(files, split, str(tmp_path)) for name, split in _PERIODS}
    for name in (*TRUE_FIGURES, *SHOWN_FIGURES):
        assert metrics["test"][name] is None
        assert metrics["test"]["undefined"][name] == f"{tmp_path} has no truth: it is not simulated"
    shown = metrics | {"model_version": "m", "verdict": {}}
    assert "true" not in "".join(findings(shown))
    assert any("true_auc" in line for line in findings(shown, every=True))


def test_a_truth_without_probabilities_or_of_another_log_is_said(files, tmp_path) -> None:
    money = {name: values for name, values in true_columns().items() if name.startswith("expected")}
    log = write_truth(tmp_path / "other", money)
    assert "has no probabilities" in true_metrics(files, Split.TEST, log)["undefined"]["true_auc"]
    other = predicted_columns()
    other["impression_key"] = other["impression_key"] + 1
    with pytest.raises(InputError, match="lacks 400 of 400"):
        true_metrics(write_predictions(tmp_path, other), Split.TEST, write_truth(tmp_path / "log"))


def test_figures_stand_beside_their_intervals(files, log_dir) -> None:
    metrics = {
        name: period_metrics(files, split, log_dir) | {"intervals": period_intervals(files, split, log_dir)}
        for name, split in _PERIODS
    }
    for period in metrics.values():
        assert set(period["intervals"]) == {"pcoc", "cvr_pcoc", "ctcvr_pcoc", "true_auc", "true_cvr_auc"}
        for name, ends in period["intervals"].items():
            assert ends["low"] < period[name] < ends["high"]
    table = metrics_table(metrics | {"model_version": "m"})
    cells = dict(zip(table.columns[0].cells, table.columns[1].cells, strict=True))
    ends = metrics["test"]["intervals"]["pcoc"]
    assert cells["pcoc"] == f"{metrics['test']['pcoc']:.4f} ({ends['low']:.4f} to {ends['high']:.4f})"
    assert "(" in cells["true_cvr_auc"]


def test_pcoc_of_heads_is_of_the_rows_that_know_their_outcome(files) -> None:
    rows = read_predictions(files, Split.TEST)
    known = np.random.default_rng(4).integers(0, 2, ROWS)
    found = pcoc_intervals(rows | {"conversion_weight": known.astype(float)})
    clicked = (rows["click"] == 1) & (known == 1)
    weight = rows["weight"][clicked]
    expected = Pcoc().update(rows["p_cvr"][clicked], rows["conversion"][clicked], weight).compute()
    assert found["cvr_pcoc"].estimate == pytest.approx(expected)
    assert found["pcoc"].estimate == pytest.approx(
        Pcoc().update(rows["p_ctr"], rows["click"], rows["weight"]).compute()
    )
    none = pcoc_intervals(rows | {"conversion": np.zeros(ROWS)})
    assert (none["cvr_pcoc"], none["ctcvr_pcoc"]) == (None, None)
