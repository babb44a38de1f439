"""Bidders beside each other: which blocks are used for what, sums, gaps and their intervals."""

from fractions import Fraction

import numpy as np
import pytest

from rosa_ray.metrics.bootstrap import BootstrapConfig
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.comparison import Cell, compare, summary
from rosa_ray.policy.replay import Outcome
from tests.policy.markets import market

CONFIG = BootstrapConfig(replicates=200)


def cell(campaign: str, bidder: str, expected: list[float], budget: str = "1/8") -> Cell:
    blocks = len(expected)
    won = np.ones((blocks, 5), bool)
    outcome = Outcome(won, np.array(expected), np.ones(blocks, np.int64), np.full(blocks, 9, np.int64))
    return Cell(campaign, budget, bidder, 10, outcome, 0.1)


def test_sums_and_gaps_are_those_of_the_blocks() -> None:
    cells = [
        cell("a", "linear", [1.0, 2.0]),
        cell("a", "rlb", [1.5, 3.0]),
        cell("b", "linear", [4.0, 4.0, 4.0]),
        cell("b", "rlb", [3.0, 3.0, 3.0]),
    ]
    found = summary(cells, CONFIG)
    assert found["totals"] == {"1/8": {"linear": 15.0, "rlb": 13.5}}
    assert found["in_all"]["1/8"]["linear"] == {
        "expected_clicks": 15.0,
        "clicks": 5,
        "spend": 45,
        "budget": 50,
        "auctions_won": 25,
        "auctions": 25,
    }
    assert found["in_all"]["1/8"]["rlb"]["gap_to_linear"] == -0.1
    assert found["by_campaign"]["a"]["1/8"]["rlb"] == {
        "expected_clicks": 4.5,
        "clicks": 2,
        "spend": 18,
        "auctions_won": 10,
        "gap_to_linear": 0.5,
        "gap_low": 0.5,
        "gap_high": 0.5,
    }
    assert found["above_linear"] == {"rlb": {"cells": 2, "above": 1, "interval_above": 1}}


def test_a_gap_to_nothing_is_missing() -> None:
    found = summary([cell("a", "linear", [0.0, 0.0]), cell("a", "rlb", [1.0, 0.0])], CONFIG)
    assert "gap_to_linear" not in found["in_all"]["1/8"]["rlb"]
    assert found["above_linear"] == {"rlb": {"cells": 1, "above": 0, "interval_above": 0}}


def test_prices_of_test_blocks_change_no_fit() -> None:
    blocks = market(8)
    dearer = Auctions(blocks.price_BT.copy(), blocks.value_BT, blocks.click_BT)
    dearer.price_BT[4:] += 100_000
    budgets = {"1/2": Fraction(1, 2)}
    one, other = (compare({"a": each}, budgets, ["linear", "rlb"]) for each in (blocks, dearer))
    assert [cell.budget_of_block for cell in one] == [cell.budget_of_block for cell in other]
    assert all(cell.expected_clicks > 0 for cell in one)
    assert not any(cell.outcome.won.any() for cell in other)


def test_every_cell_is_told_of_in_its_order() -> None:
    told: list[Cell] = []
    budgets = {"1/4": Fraction(1, 4), "1/2": Fraction(1, 2)}
    cells = compare({"a": market(4), "b": market(4, seed=1)}, budgets, ["linear", "truthful"], on_cell=told.append)
    assert told == cells
    named = [(cell.campaign, cell.budget, cell.bidder) for cell in cells]
    assert named == [(c, b, n) for c in "ab" for b in ("1/4", "1/2") for n in ("linear", "truthful")]


def test_an_interval_holds_its_estimate_and_draws_by_seed() -> None:
    rng = np.random.default_rng(0)
    linear = rng.uniform(1, 2, 50)
    cells = [cell("a", "linear", linear.tolist()), cell("a", "pid", (linear * rng.uniform(1, 1.2, 50)).tolist())]
    gap = summary(cells, CONFIG)["in_all"]["1/8"]["pid"]
    assert 0 < gap["gap_low"] < gap["gap_to_linear"] < gap["gap_high"]
    assert gap["gap_to_linear"] == pytest.approx(0.1, abs=0.03)
    assert summary(cells, CONFIG)["in_all"]["1/8"]["pid"] == gap
