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


def test_bids_on_real_auctions() -> None:
    found = _load("bid_ipinyou")
    in_all, by_campaign = found["in_all"], found["by_campaign"]
    for name in found["settings"]["bidders"]:
        sums, counts = (row[1:] for row in _rows("Bids on real auctions") if row[0] == f"`{name}`")
        for at, budget in enumerate(("1/32", "1/8")):
            row = in_all[budget][name]
            cells, values = [sums[2 * at]], [row["expected_clicks"]]
            if name != "linear":
                cells, values = [*cells, *_interval(sums[2 * at + 1])], [*values, *_gap(row)]
            won, spent = 100 * row["auctions_won"] / row["auctions"], 100 * row["spend"] / row["budget"]
            _agree([*cells, *counts[3 * at : 3 * at + 3]], [*values, row["clicks"], won, spent])
        if name != "linear":
            _agree([sums[4]], [found["above_linear"][name]["above"]])
    for campaign, of_budget in by_campaign.items():
        gaps = [_gap(of_budget[budget][name]) for budget in ("1/32", "1/8") for name in ("rlb", "duals")]
        for cell, gap in zip(_row("Bids on real auctions", campaign), gaps, strict=True):
            _agree(_interval(cell), gap)


def test_what_is_said_of_bids_without_one_campaign_and_over_seeds() -> None:
    found, seeds = _load("bid_ipinyou"), _load("bid_ipinyou_seeds")["rows"]
    for name, said in (("rlb", "RLB is 5.3 % and 11.7 %"), ("duals", "shadow prices are 6.8 % and 13.7 %")):
        assert said in PAGE.replace("\n", " ")
        _agree(_NUMBER.findall(said), [_gap_without("2997", found, name, budget) for budget in ("1/32", "1/8")])
    for said, budget in (("-18.8 % to +2.9 % at 1/32", "1/32"), ("-5.7 % to +7.2 % at 1/8", "1/8")):
        assert f"from {said}" in PAGE.replace("\n", " ")
        gaps = [100 * row["gap_to_linear"] for row in seeds if row["budget"] == budget]
        _agree(_NUMBER.findall(said)[:2], [min(gaps), max(gaps)])
        best = [found["totals"][budget][name] for name in ("rlb", "pid", "duals")]
        assert max(row["expected_clicks"] for row in seeds if row["budget"] == budget) < min(best)


def _gap_without(campaign: str, found: Mapping[str, Any], name: str, budget: str) -> float:
    left = [of_budget[budget] for other, of_budget in found["by_campaign"].items() if other != campaign]
    won, by_linear = (sum(cell[bidder]["expected_clicks"] for cell in left) for bidder in (name, "linear"))
    return 100 * (won / by_linear - 1)


def _gap(row: Mapping[str, float]) -> list[float]:
    """Gap to linear bids and the ends of its interval, in per cent."""
    return [100 * row[name] for name in ("gap_to_linear", "gap_low", "gap_high")]


def _interval(cell: str) -> list[str]:
    """The three numbers of a cell such as `+1.0 % (+0.5 … +1.5)`."""
    return _NUMBER.findall(cell)


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
