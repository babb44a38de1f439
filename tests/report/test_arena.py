"""The arena as a page."""

import re

import numpy as np

from rosa_ray.arena import Ledger, Run, figures_of, parse_player
from rosa_ray.metrics.bootstrap import BootstrapConfig
from rosa_ray.report.arena import write_arena_page
from rosa_ray.units import HOUR_US


def found(budget: float, share: float):
    runs = []
    for name, cost in (("roi", 1.0), ("profit", 2.0)):
        ledger = Ledger(0, 1, np.array([budget, budget]), users=10)
        shown, nobody = np.full(10, True), np.zeros(10, bool)
        at = np.arange(10) * HOUR_US, np.arange(10), np.arange(10) % 2
        ledger.add(*at, shown, nobody, nobody, np.full(10, cost), np.full(10, 3.5), shown, nobody)
        ledger.requests = 10
        runs.append(Run(name, ledger, parse_player(name).build(), 1.0))
    arena = {"days": 1, "budget_share": share, "base": "roi", "noise": 0.6, "tick_minutes": 5}
    settings = {"arena": arena, "simulation": {"users": 10, "seed": 7}}
    return {"settings": settings, **figures_of(runs, BootstrapConfig(replicates=20))}


def test_the_page_says_who_earns_most_and_how_budgets_go(tmp_path):
    page = write_arena_page(found(9.0, 0.2), tmp_path / "arena.html").read_text()
    assert "budgets are 0.2 of what roi spends without" in page
    assert "Share of the budgets that is left" in page
    assert page.count("<figure") == 4
    assert "−40.0 (−40.0 … −40.0)" in page or "-40.0 (-40.0 … -40.0)" in page
    assert "m1" in page
    assert not re.search(r"\s(src|href)=\"http", page)


def test_without_budgets_none_is_drawn(tmp_path):
    page = write_arena_page(found(np.inf, 0.0), tmp_path / "arena.html").read_text()
    assert "no budgets" in page
    assert page.count("<figure") == 3
