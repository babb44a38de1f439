"""Bidders beside each other: fitted on the first half of a campaign's blocks, replayed on the other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from time import perf_counter
from typing import Any

import numpy as np

from rosa_ray.arrays import Floats, Ints
from rosa_ray.metrics.bootstrap import BootstrapConfig, interval
from rosa_ray.policy.auctions import Auctions
from rosa_ray.policy.bidders import build_bidder
from rosa_ray.policy.replay import Outcome, replay

RIVAL = "linear"
"""The bidder that the others are measured against."""


@dataclass(frozen=True)
class Cell:
    """One bidder on the test blocks of one campaign, with one budget.

    Attributes:
        campaign, budget, bidder: whose; the budget as a share in text, such as "1/8".
        budget_of_block: in the unit of prices.
        outcome: of each test block.
        seconds: for fit and replay.
    """

    campaign: str
    budget: str
    bidder: str
    budget_of_block: int
    outcome: Outcome
    seconds: float

    @property
    def expected_clicks(self) -> float:
        """Values of the auctions won, summed."""
        return float(self.outcome.expected_clicks.sum())

    @property
    def budget_of_test(self) -> int:
        """What all test blocks together may spend, in the unit of prices."""
        return self.budget_of_block * self.outcome.spend.size

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "expected_clicks": round(self.expected_clicks, 4),
            "clicks": int(self.outcome.clicks.sum()),
            "spend": int(self.outcome.spend.sum()),
            "auctions_won": int(self.outcome.won.sum()),
        }


def compare(
    campaigns: Mapping[str, Auctions],
    budgets: Mapping[str, Fraction | float],
    bidders: Sequence[str],
    seed: int = 1,
    on_cell: Callable[[Cell], None] = lambda cell: None,
) -> list[Cell]:
    """Fit every bidder for every campaign and budget on the tuning blocks, and replay it on the test blocks.

    Args:
        campaigns: by name; each needs two blocks.
        budgets: shares of what a block costs at the mean tuning price, > 0, by their text.
        bidders: names, see `rosa_ray.policy.bidders`.
        seed: of what bidders draw.
        on_cell: told of each cell when it is done.

    Raises:
        ConfigError: there is no bidder of that name.
        ValueError: a campaign has one block.

    >>> auctions = Auctions.in_blocks([2, 4, 2, 4], [0.1, 0.3, 0.1, 0.3], [0, 0, 0, 1], 2)
    >>> totals(compare({"a": auctions}, {"1": 1}, ["linear", "rlb"]))
    {'1': {'linear': 0.4, 'rlb': 0.4}}
    """
    cells = []
    for campaign, auctions in campaigns.items():
        tuning, test = auctions.halves()
        for budget, share in budgets.items():
            amount = tuning.budget(share)
            for name in bidders:
                started, bidder = perf_counter(), build_bidder(name, seed)
                bidder.fit(tuning, amount)
                outcome = replay(bidder, test, amount)
                seconds = perf_counter() - started
                cells.append(Cell(campaign, budget, name, amount, outcome, seconds))
                on_cell(cells[-1])
    return cells


def totals(cells: Iterable[Cell]) -> dict[str, dict[str, float]]:
    """Expected clicks that each bidder won over all campaigns, by budget and bidder."""
    found: dict[str, dict[str, float]] = {}
    for cell in cells:
        of_budget = found.setdefault(cell.budget, {})
        of_budget[cell.bidder] = of_budget.get(cell.bidder, 0.0) + cell.expected_clicks
    return found


def summary(cells: Sequence[Cell], config: BootstrapConfig) -> dict[str, Any]:
    """What the cells say, as plain JSON values.

    Returns:
        `totals`: expected clicks won, by budget and bidder. `in_all`: the same with clicks, spend and the gap to
        `linear`. `by_campaign`: by campaign, budget and bidder. `above_linear`: in how many (campaign, budget) cells a
        bidder won more than `linear`, and in how many of them the interval of the gap lies above 0. All but `totals`
        is rounded to four digits. A gap is missing where `linear` won nothing.
    """
    names = list(dict.fromkeys(cell.bidder for cell in cells))
    in_all: dict[str, Any] = {}
    for budget in dict.fromkeys(cell.budget for cell in cells):
        chosen = [cell for cell in cells if cell.budget == budget]
        in_all[budget] = {name: _sums(name, chosen, config) for name in names}
    by_campaign: dict[str, Any] = {}
    for cell in cells:
        peers = [peer for peer in cells if (peer.campaign, peer.budget) == (cell.campaign, cell.budget)]
        of_budget = by_campaign.setdefault(cell.campaign, {}).setdefault(cell.budget, {})
        of_budget[cell.bidder] = {**cell.to_dict(), **_gap(cell.bidder, peers, config)}
    return {
        "totals": totals(cells),
        "in_all": in_all,
        "above_linear": {name: _above(name, by_campaign) for name in names if name != RIVAL},
        "by_campaign": by_campaign,
    }


def _sums(bidder: str, cells: Sequence[Cell], config: BootstrapConfig) -> dict[str, Any]:
    own = [cell for cell in cells if cell.bidder == bidder]
    return {
        "expected_clicks": round(sum(cell.expected_clicks for cell in own), 4),
        "clicks": sum(int(cell.outcome.clicks.sum()) for cell in own),
        "spend": sum(int(cell.outcome.spend.sum()) for cell in own),
        "budget": sum(cell.budget_of_test for cell in own),
        "auctions_won": sum(int(cell.outcome.won.sum()) for cell in own),
        "auctions": sum(cell.outcome.won.size for cell in own),
        **_gap(bidder, cells, config),
    }


def _gap(bidder: str, cells: Sequence[Cell], config: BootstrapConfig) -> dict[str, float]:
    """How many more expected clicks than `linear`, as a share, and the ends of its interval; nothing for `linear`.

    The interval draws blocks of all campaigns; of a block that is drawn both bidders count.
    """
    won, by_rival = (_of_blocks(name, cells) for name in (bidder, RIVAL))
    if bidder == RIVAL or not by_rival.size:
        return {}

    def statistic(drawn: Ints) -> float | None:
        least = float(drawn @ by_rival)
        return float(drawn @ won) / least - 1 if least else None

    found = interval(statistic, won.size, config)
    if found is None:
        return {}
    return {"gap_to_linear": round(found.estimate, 4), "gap_low": round(found.low, 4), "gap_high": round(found.high, 4)}


def _of_blocks(bidder: str, cells: Sequence[Cell]) -> Floats:
    found = [cell.outcome.expected_clicks for cell in cells if cell.bidder == bidder]
    return np.concatenate(found) if found else np.zeros(0)


def _above(bidder: str, by_campaign: Mapping[str, Any]) -> dict[str, int]:
    found = [of_bidder[bidder] for of_budget in by_campaign.values() for of_bidder in of_budget.values()]
    return {
        "cells": len(found),
        "above": sum(cell.get("gap_to_linear", 0.0) > 0 for cell in found),
        "interval_above": sum(cell.get("gap_low", 0.0) > 0 for cell in found),
    }
