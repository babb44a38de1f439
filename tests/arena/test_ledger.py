"""Books: budgets stop what they no longer pay, by time, and sums are those of what was booked."""

import numpy as np
import pytest

from rosa_ray.arena.ledger import Ledger
from rosa_ray.units import DAY_US, HOUR_US


def book(ledger, time_us, campaign, happened, cost, revenue, user=None):
    n = len(time_us)
    nobody = np.zeros(n, bool)
    ledger.add(
        np.asarray(time_us), np.arange(n) if user is None else np.asarray(user), np.asarray(campaign),
        np.asarray(happened, bool), nobody, nobody, np.asarray(cost, float), np.asarray(revenue, float), nobody, nobody,
    )  # fmt: skip


def test_the_last_impression_may_cost_more_than_is_left():
    ledger = Ledger(0, 2, np.array([2.5, np.inf]), users=4)
    time_us = np.array([40, 10, 30, 20])
    happened = ledger.affordable(time_us, np.zeros(4, int), np.full(4, True), np.ones(4))
    assert happened.tolist() == [False, True, True, True]
    book(ledger, time_us, np.zeros(4, int), happened, np.ones(4), np.full(4, 3.0))
    assert ledger.left_M(50).tolist() == [-0.5, np.inf]
    assert ledger.overspend == 0.5
    assert not ledger.affordable(np.array([60]), np.array([0]), np.array([True]), np.array([0.1])).any()


def test_campaigns_near_their_audience_are_those_that_spread_as_their_requests():
    """Campaign 0 could reach both groups alike and reaches one; campaign 1 reaches as it could; 2 reaches nobody."""
    ledger = Ledger(0, 1, np.full(3, np.inf), users=20, groups=2)
    assert ledger.near_audience == 0
    campaign_NK = np.array([[0, 0, 1], [1, 0, 0], [2, 0, 1], [1, 2, 0]] * 5)
    group = np.array([0, 0, 1, 1] * 5)
    happened = np.ones(20, bool)
    ledger.reach(campaign_NK, group, np.array([0, 1, 1, 2] * 5), happened & (np.arange(20) % 4 < 3))
    assert ledger.audience_MG.tolist() == [[10, 10], [10, 10], [0, 10]]
    assert ledger.reached_MG.tolist() == [[5, 0], [5, 5], [0, 0]]
    assert ledger.near_audience == 0.5


def test_a_budget_is_new_every_day():
    ledger = Ledger(0, 2, np.array([1.0]), users=1)
    book(ledger, [5], [0], [True], [1.5], [0.0])
    assert ledger.left_M(DAY_US - 1)[0] < 0
    assert ledger.left_M(DAY_US)[0] == 1.0


def test_lost_auctions_cost_nothing_and_campaigns_do_not_pay_for_each_other():
    ledger = Ledger(0, 1, np.array([1.0, 5.0]), users=4)
    won = np.array([False, True, True, True])
    happened = ledger.affordable(np.arange(4), np.array([0, 0, 1, 0]), won, np.ones(4))
    assert happened.tolist() == [False, True, True, False]


def test_sums_are_kept_by_hour_campaign_and_user():
    ledger = Ledger(0, 1, np.full(2, np.inf), users=3)
    book(ledger, [0, HOUR_US, HOUR_US + 1], [0, 1, 1], [True, True, False], [1, 2, 4], [3, 5, 9], user=[0, 1, 2])
    assert ledger.column_HM("spend")[:2].tolist() == [[1, 0], [0, 2]]
    assert ledger.column_HM("revenue").sum() == 8
    assert ledger.spend_U.tolist() == [1, 2, 0]
    assert ledger.total("impressions") == 2
    assert ledger.overspend == pytest.approx(0)
