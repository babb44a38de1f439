"""What is committed of a study: its means, intervals and gaps to the digit, a line each, and the report draws it."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from condense import condense
from record import save, to_text

from rosa_ray.report import open_run_files, render_page
from tests.report import studies
from tests.report.runs import write_json

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks/results"
TODAY = date(2026, 1, 31)


def drawn(tmp_path: Path, *documents: Path) -> str:
    write_json({"history": []}, tmp_path / "run/train.json")
    return render_page(open_run_files(tmp_path / "run", documents), TODAY)


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(item)


def test_summaries_and_gaps_stay_to_the_digit_and_curves_go() -> None:
    whole = studies.comparison()
    study = json.loads(to_text(condense(whole)))
    assert study["gaps"] == whole["gaps"]
    for one, other in zip(study["variants"], whole["variants"], strict=True):
        assert all(one[part] == other[part] for part in ("mean", "std", "low", "high", "settings"))
        assert [trial["test"] for trial in one["trials"]] == [trial["test"] for trial in other["trials"]]
        assert {trial["samples"] for trial in one["trials"]} == {100_000}
    assert {"roc", "history", "fpr"}.isdisjoint(keys(study))


def test_what_is_condensed_stays_as_it_is() -> None:
    once = condense(studies.curve())
    assert condense(once) == once


@pytest.mark.parametrize("kind", ["comparison", "ablation", "weights", "curve"])
def test_the_report_draws_a_condensed_study(tmp_path: Path, kind: str) -> None:
    whole = getattr(studies, kind)()
    save(condense(whole), tmp_path / "study.json")
    page = drawn(tmp_path, tmp_path / "study.json")
    assert all(one["label"].replace("&", "&amp;") in page for one in whole["variants"])
    assert "seed 3" in page
    assert "true positive rate" not in page


def test_a_condensed_learning_curve_is_drawn_over_the_impressions_trained_on(tmp_path: Path) -> None:
    save(condense(studies.curve()), tmp_path / "study.json")
    page = drawn(tmp_path, tmp_path / "study.json")
    assert "DIN: 2.5e+04, 0.7" in page
    assert "ROSA-Rec: 1e+05, 0.748" in page


def test_rows_stand_on_a_line_each_and_long_entries_are_opened_up() -> None:
    document = {
        "seeds": [1, 2],
        "rows": [{"auc": 0.5}, {"auc": 0.25}],
        "none": [],
        "training": {"x" * 400: 1, "y" * 400: 2},
    }
    opened = f'  "training": {{\n    "{"x" * 400}": 1,\n    "{"y" * 400}": 2\n  }}\n'
    rows = '  "rows": [\n    {"auc": 0.5},\n    {"auc": 0.25}\n  ],\n'
    assert to_text(document) == '{\n  "seeds": [1, 2],\n' + rows + '  "none": [],\n' + opened + "}\n"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_committed_results_are_as_they_are_written(path: Path) -> None:
    document = json.loads(path.read_text())
    assert path.read_text() == to_text(document)
    assert {"roc", "history"}.isdisjoint(keys(document))


def test_committed_results_are_summaries() -> None:
    assert sum(len(path.read_text().splitlines()) for path in RESULTS.glob("*.json")) < 3000


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*_simulator.json")), ids=lambda path: path.stem)
def test_the_report_draws_committed_studies(tmp_path: Path, path: Path) -> None:
    study = json.loads(path.read_text())
    page = drawn(tmp_path, path)
    assert all(one["label"].replace("&", "&amp;") in page for one in study["variants"])
    assert ("impressions trained on" in page) == (study["kind"] == "curve")
