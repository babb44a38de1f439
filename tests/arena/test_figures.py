"""Figures of runs made by hand."""

import numpy as np
import pytest

from rosa_ray.arena import Ledger, Run, figures_of, parse_player
from rosa_ray.metrics.bootstrap import BootstrapConfig
from rosa_ray.units import HOUR_US


def run(name: str, cost: float, budget: float = np.inf) -> Run:
    """Ten users, one impression each of one campaign at noon, which brings 3."""
    ledger = Ledger(0, 1, np.array([budget, np.inf if budget == np.inf else 4.0]), users=10)
    shown, nobody = np.full(10, True), np.zeros(10, bool)
    time_us, campaign = np.full(10, 12 * HOUR_US), np.zeros(10, int)
    ledger.add(
        time_us, np.arange(10), campaign, shown, nobody, nobody, np.full(10, cost), np.full(10, 3.0), shown, nobody
    )
    ledger.requests = 12
    ledger.unanswered = 2
    return Run(name, ledger, parse_player("threshold").build(), 1.0)


def test_totals_gaps_and_places():
    found = figures_of([run("a", 1.0, 6.0), run("b", 2.0)], BootstrapConfig(replicates=50))
    a, b = (found["policies"][name] for name in "ab")
    assert (a["revenue"], a["spend"], a["value"], a["roi"], a["clicks"]) == (30, 10, 20, 2, 10)
    assert (a["budget"], a["overspend"], b["budget"], b["overspend"]) == (10, 4, None, 0)
    assert (b["gap"], b["gap_low"], b["gap_high"]) == pytest.approx((-10, -10, -10))
    assert "gap" not in a
    assert a["theta"] == 1.0
    assert a["by_hour"][12]["value"] == 20
    assert a["by_hour_of_day"][12]["spend"] == 10
    assert [row["daily_budget"] for row in a["by_campaign"]] == [6, 4]
    assert found["gaps_to"] == "a"


def test_a_policy_without_spend_has_no_return():
    ledger = Ledger(0, 1, np.array([np.inf]), users=2)
    empty = Run("none", ledger, parse_player("none").build(), 0.0)
    found = figures_of([empty], BootstrapConfig(replicates=5))["policies"]["none"]
    assert found["roi"] is None
    assert found["value"] == 0
