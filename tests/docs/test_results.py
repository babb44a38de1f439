"""Figures of the results page are those of the files that the benchmarks wrote."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "explanation" / "results.md").read_text()
_NUMBER = re.compile(r"[-+]?\d*\.?\d+")


@pytest.mark.parametrize("label", ["DeepFM", "SASRec", "DIN", "Wide & Deep", "ROSA-Rec"])
def test_models_beside_each_other(label: str) -> None:
    means = {variant["label"]: variant["mean"] for variant in _load("compare_simulator")["variants"]}
    row = _row("ROSA-Rec against four models", label)
    _agree(row, [means[label][name] for name in ("auc", "cvr_auc", "logloss", "policy_roi", "covered_share")])


def test_one_part_taken_away() -> None:
    for variant in _load("ablation_simulator")["variants"]:
        names = ("auc", "cvr_auc", "ctcvr_auc", "policy_roi")
        _agree(_row("One part taken away", variant["label"]), [variant["mean"][name] for name in names])


def test_task_weights() -> None:
    rows = _rows("Task weights")
    for row, variant in zip(rows[:8], _load("weights_simulator")["variants"], strict=True):
        clicks_only = variant["name"] == "ctr_only"
        names = ("auc", *(() if clicks_only else ("cvr_auc",)), "ctcvr_auc", "policy_roi")
        _agree([cell for cell in row[1:5] if cell != "–"], [variant["mean"][name] for name in names])


def test_one_request_through_each_model() -> None:
    models = _load("scoring_latency")["models"]
    for row, model in zip(_rows("One request through each model")[:5], models, strict=True):
        _agree(row[1:4], [model[name] for name in ("p50_ms", "p99_ms", "requests_per_s")])


def test_one_encoding_per_user() -> None:
    for row, figures in zip(_rows("One encoding per user")[:2], _load("train_throughput")["rows"], strict=True):
        names = ("impressions_per_user", "user_major_impressions_per_s", "per_impression_impressions_per_s", "ratio")
        _agree(row, [figures[name] for name in names])


def test_the_gate() -> None:
    learned = [figures for figures in _load("gate_frontier")["static"] if figures["rule"] == "learned"]
    for row, figures in zip([row for row in _rows("The gate") if row[0].startswith("learned")], learned, strict=True):
        _agree(row[1:4], [figures["calls"], figures["roi"]["value"], figures["against_line"]["value"]])


def test_counters_of_ads() -> None:
    for row, figures in zip(_rows("Counters of ads"), _load("counter_reads")["rows"], strict=True):
        _agree(row[1:4], [figures[name] for name in ("days", "window_ms", "kept_ms")])


def _load(name: str) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    return document


def _rows(section: str) -> list[list[str]]:
    """Rows of the tables of a section and of those inside it, without headers."""
    level, below = re.search(rf"^(#+) {re.escape(section)}$(.*)", PAGE, re.M | re.S).groups()  # type: ignore[union-attr]
    text = re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.M)[0]
    bodies = re.findall(r"^\|(?: --- \|)+\n((?:\|.*\n)*)", text, re.M)
    return [[cell.strip(" *") for cell in line.strip("| ").split("|")] for body in bodies for line in body.splitlines()]


def _row(section: str, label: str) -> list[str]:
    return next(row[1:] for row in _rows(section) if row[0].startswith(label))


def _agree(cells: Sequence[str], values: Sequence[float]) -> None:
    """Every cell begins with its value, rounded to the digits that it shows."""
    for cell, value in zip(cells, values, strict=True):
        shown = _NUMBER.match(cell.replace(",", ""))
        assert shown, cell
        digits = len(shown[0].partition(".")[2])
        assert float(shown[0]) == pytest.approx(value, abs=0.5 * 10**-digits + 1e-9), (cell, value)
