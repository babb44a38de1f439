"""Figures against the simulator's truth, and intervals over users."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.errors import InputError
from rosa_ray.evaluation.evaluate import findings, metrics_table, period_metrics
from rosa_ray.evaluation.intervals import pcoc_intervals, period_intervals
from rosa_ray.evaluation.predictions import read_predictions
from rosa_ray.evaluation.true_metrics import SHOWN_FIGURES, TRUE_FIGURES, true_metrics
from rosa_ray.features import Split
from rosa_ray.metrics import Pcoc, TrueHead
from rosa_ray.schema import hash_ids
from rosa_ray.storage import write_parquet

ROWS, USERS = 400, 50
SPLITS = (Split.TEST, Split.VALID, Split.POLICY)


@pytest.fixture
def truth() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    p_ctr, p_cvr = rng.uniform(0.02, 0.6, len(SPLITS) * ROWS), rng.uniform(0.05, 0.5, len(SPLITS) * ROWS)
    return {"p_ctr": p_ctr, "p_cvr": p_cvr, "expected_revenue": p_ctr * p_cvr * 20, "expected_cost": p_ctr + 0.1}


@pytest.fixture
def log_dir(tmp_path: Path, truth: dict[str, np.ndarray]) -> str:
    (tmp_path / "log" / "truth").mkdir(parents=True)
    order = np.random.default_rng(3).permutation(len(truth["p_ctr"]))
    table = pa.table({"impression_id": _ids(), **truth}).take(order)
    pq.write_table(table, tmp_path / "log" / "truth" / "part-0.parquet")
    return str(tmp_path / "log")


@pytest.fixture
def files(tmp_path: Path, truth: dict[str, np.ndarray]) -> list[str]:
    """Predictions near the truth, a test click weighing 2, in two files of whole users."""
    rng = np.random.default_rng(1)
    split = np.repeat([int(one) for one in SPLITS], ROWS)
    p_ctr, p_cvr = (np.clip(truth[name] * rng.uniform(0.5, 1.6, split.size), 0, 1) for name in ("p_ctr", "p_cvr"))
    click = (rng.random(split.size) < truth["p_ctr"]) & (split != Split.POLICY)
    half = np.full(split.size, 0.5)
    columns = {
        "user_key": np.tile(np.sort(rng.integers(0, USERS, ROWS)), len(SPLITS)),
        "request_key": np.arange(split.size),
        "impression_key": hash_ids(_ids()),
        "split": split,
        "click": click.astype(np.int8),
        "conversion": (click & (rng.random(split.size) < truth["p_cvr"])).astype(np.int8),
        "revenue": np.zeros(split.size),
        "cost": half,
        "expected_cost": half,
        "weight": np.where(click & (split == Split.TEST), 2.0, 1.0),
        **{f"{raw}{name}": value for raw in ("", "raw_") for name, value in (("p_ctr", p_ctr), ("p_cvr", p_cvr))},
        "p_ctcvr": p_ctr * p_cvr,
        "value": half,
        "raw_value": half,
    }
    paths = [str(tmp_path / f"part-{part}.parquet") for part in range(2)]
    for part, path in enumerate(paths):
        mine = columns["user_key"] % 2 == part
        write_parquet(pa.table({name: values[mine] for name, values in columns.items()}), path)
    return paths


def _ids() -> pa.Array:
    return pa.array([f"{split}-{row}" for split in SPLITS for row in range(ROWS)])


def _true(truth: dict[str, np.ndarray], split: Split) -> dict[str, np.ndarray]:
    at = SPLITS.index(split) * ROWS
    return {name: values[at : at + ROWS] for name, values in truth.items()}


def test_the_test_period_is_measured_over_its_candidates_and_over_what_was_shown(files, truth, log_dir) -> None:
    found = true_metrics(files, Split.TEST, log_dir)
    assert set(found) == {*TRUE_FIGURES, *SHOWN_FIGURES, "true_rows", "undefined"}
    for split, prefix in ((Split.POLICY, ""), (Split.TEST, "shown_")):
        rows, key = read_predictions(files, split), {}
        for name, values in _true(truth, split).items():
            key[name] = dict(zip(hash_ids(_ids_of(split)).tolist(), values.tolist(), strict=True))
        p_ctr, p_cvr = (
            np.array([key[name][one] for one in rows["impression_key"].tolist()]) for name in ("p_ctr", "p_cvr")
        )
        clicks = TrueHead().update(rows["p_ctr"], p_ctr, rows["weight"])
        conversions = TrueHead().update(rows["p_cvr"], p_cvr, rows["weight"] * p_ctr)
        assert found[f"true_{prefix}auc"] == pytest.approx(clicks.auc())
        assert found[f"true_{prefix}cvr_auc"] == pytest.approx(conversions.auc())
        assert found[f"true_{prefix}pcoc"] == pytest.approx(clicks.pcoc())
        assert found[f"true_{prefix}cvr_excess_logloss"] == pytest.approx(conversions.excess_logloss())
        assert found[f"true_{prefix}auc_ceiling"] > found[f"true_{prefix}auc"]
    assert (found["true_rows"], found["undefined"]) == (ROWS, {})


def _ids_of(split: Split) -> pa.Array:
    return pa.array([f"{split}-{row}" for row in range(ROWS)])


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


def test_a_truth_without_probabilities_or_of_another_log_is_said(files, tmp_path, truth) -> None:
    log = tmp_path / "other"
    (log / "truth").mkdir(parents=True)
    table = pa.table({"impression_id": _ids(), **truth})
    pq.write_table(table.drop_columns(["p_ctr"]), log / "truth" / "part-0.parquet")
    assert "has no probabilities" in true_metrics(files, Split.TEST, str(log))["undefined"]["true_auc"]
    pq.write_table(table.slice(0, 100), log / "truth" / "part-0.parquet")
    with pytest.raises(InputError, match="lacks"):
        true_metrics(files, Split.TEST, str(log))


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


_PERIODS = (("test", Split.TEST), ("valid", Split.VALID))
