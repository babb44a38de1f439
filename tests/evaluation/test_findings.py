"""What evaluation says below its table: a verdict per head, and why figures are missing."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.evaluation.evaluate import findings, judge_heads, labelled_metrics
from rosa_ray.features import Split
from rosa_ray.storage import read_parquet, write_parquet

ROWS, USERS = 600, 60
TOTALS = {"impressions": 2000.0, "clicks": 500.0, "conversions": 0.0, "revenue": 0.0, "cost": 10.0}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Test rows whose clicks follow the scores, in two files; validation rows without a click; no conversion."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.6, 2 * ROWS)
    split = np.repeat([int(Split.TEST), int(Split.VALID)], ROWS)
    click = (rng.random(2 * ROWS) < p) & (split == Split.TEST)
    half = np.full(2 * ROWS, 0.5)
    columns = {
        "user_key": np.sort(rng.integers(0, USERS, 2 * ROWS)),
        "request_key": np.arange(2 * ROWS),
        "split": split,
        "click": click.astype(np.int8),
        "conversion": np.zeros(2 * ROWS, np.int8),
        "revenue": np.zeros(2 * ROWS),
        "cost": half,
        "expected_cost": half,
        "weight": np.ones(2 * ROWS),
        **{f"{raw}{name}": value for raw in ("", "raw_") for name, value in (("p_ctr", p), ("p_cvr", half))},
        "p_ctcvr": p / 2,
        "value": half,
        "raw_value": half,
    }
    paths = [str(tmp_path / f"part-{part}.parquet") for part in range(2)]
    for part, path in enumerate(paths):
        write_parquet(
            pa.table({name: values[columns["user_key"] % 2 == part] for name, values in columns.items()}), path
        )
    return paths


def test_verdicts_and_reasons_stand_below_the_table(files: list[str]) -> None:
    metrics = {
        "test": labelled_metrics(files, Split.TEST),
        "valid": labelled_metrics(files, Split.VALID),
        "verdict": judge_heads(files, TOTALS),
    }
    clicks = metrics["test"]["clicks"]
    lines = findings(metrics)
    assert lines[0].startswith("clicks: better than the base rate; ")
    assert lines[1:] == [
        f"conversions: no verdict, no conversion among {clicks} clicks",
        f"test period, no conversion among {clicks} clicks: cvr_auc, cvr_pcoc undefined",
        f"test period, no conversion among {ROWS} impressions: ctcvr_auc undefined",
        "test period, no revenue: revenue_pcoc undefined",
        f"validation period, no click among {ROWS} impressions: auc, pcoc undefined",
        "validation period, no click: cvr_auc, cvr_pcoc undefined",
        f"validation period, no conversion among {ROWS} impressions: ctcvr_auc undefined",
        "validation period, no user with both a click and an impression without one: gauc undefined",
        "validation period, no revenue: revenue_pcoc undefined",
    ]
    assert any("raw_cvr_ece" in line or "raw_cvr_pcoc" in line for line in findings(metrics, every=True))


def test_a_thinned_log_is_judged_as_the_whole_one(files: list[str]) -> None:
    """Half of the rows without a click are dropped; those left weigh two."""
    plain = judge_heads(files, TOTALS)["clicks"]
    rng = np.random.default_rng(2)
    for path in files:
        table = read_parquet(path)
        click = table["click"].to_numpy() == 1
        table = table.set_column(table.column_names.index("weight"), "weight", pa.array(np.where(click, 1.0, 2.0)))
        write_parquet(table.filter(pa.array(click | (rng.random(len(click)) < 0.5))), path)
    thinned, metrics = judge_heads(files, TOTALS)["clicks"], labelled_metrics(files, Split.TEST)
    assert metrics["n"] < 0.75 * ROWS
    assert metrics["weight"] == pytest.approx(ROWS, rel=0.06)
    assert metrics["pcoc"] == pytest.approx(1, abs=0.08)
    for name in ("auc", "normalised_entropy"):
        assert thinned[name]["estimate"] == pytest.approx(plain[name]["estimate"], abs=0.02)
