"""The ledger: whole numbers by campaign and hour."""

import numpy as np

from rosa_ray.policy.ledger import COST, Ledger, micros
from tests.policy.slates import DAY, HOUR_US, at, equal

KEYS = np.array([3, 5, 9])


def ledger_of(*rows: tuple[int, int, int, int], kept_days: int = 7) -> Ledger:
    """Of campaign, time, cost and revenue."""
    ledger = Ledger(KEYS, kept_days)
    for row in rows:
        ledger.fold(*(np.array([value]) for value in row))
    return ledger


def test_amounts_are_summed_by_campaign_and_hour() -> None:
    ledger = ledger_of((5, at(1.0), 10, 4), (5, at(1.9), 20, 0), (9, at(2.0), 7, 1), (4, at(2.0), 99, 99))
    assert ledger.of_day(DAY).tolist() == [[0, 0], [30, 4], [7, 1]]
    assert ledger.days[DAY][:, :, COST][1, :3].tolist() == [0, 30, 0]
    assert ledger.of_day(DAY + 1).tolist() == [[0, 0]] * 3
    assert ledger.total().tolist() == ledger.of_day(DAY).tolist()


def test_a_fold_says_which_hours_it_changed() -> None:
    ledger = Ledger(KEYS, 7)
    times = np.array([at(3.5), at(1.0), at(3.0), at(9.0)])
    changed = ledger.fold(np.array([3, 5, 9, 4]), times, np.ones(4, np.int64), np.ones(4, np.int64))
    assert changed.tolist() == [at(1.0) // HOUR_US, at(3.0) // HOUR_US]


def test_equal_until_a_moment() -> None:
    one, other = ledger_of((3, at(1.0), 10, 4)), ledger_of((3, at(1.0), 10, 4), (3, at(5.0), 1, 0))
    assert one.equals(other, DAY, 5)
    assert not one.equals(other, DAY, 6)
    assert not other.equals(one, DAY + 1, 0)
    assert one.equals(other, DAY - 1, 23)


def test_a_ledger_of_other_campaigns_adds_those_that_both_know() -> None:
    other = Ledger(np.array([5, 7]), 7)
    other.fold(np.array([5, 7]), np.array([at(1.0)] * 2), np.array([10, 20]), np.array([1, 2]))
    ledger = ledger_of((5, at(1.0), 1, 1))
    ledger.merge(other.snapshot())
    assert ledger.of_day(DAY).tolist() == [[0, 0], [11, 2], [0, 0]]


def test_a_day_that_fell_out_stays_out_whoever_tells_of_it() -> None:
    rows = [(3, at(1.0, DAY + day), 10, 0) for day in (0, 1, 2)]
    forward, backward = ledger_of(*rows, kept_days=2), ledger_of(*rows[::-1], kept_days=2)
    merged = ledger_of(rows[2], kept_days=2)
    merged.merge(ledger_of(*rows[:2], kept_days=2).snapshot())
    assert sorted(forward.days) == [DAY + 1, DAY + 2]
    assert equal(forward.snapshot(), backward.snapshot())
    assert equal(forward.snapshot(), merged.snapshot())


def test_a_ledger_of_no_campaigns_knows_nobody() -> None:
    ledger = Ledger(np.zeros(0, np.int64), 1)
    assert not ledger.rows_of(KEYS)[1].any()
    assert not len(ledger.fold(KEYS, np.array([at()] * 3), KEYS, KEYS))
    assert ledger.snapshot()["sums"].shape == (0, 0, 24, 2)


def test_money_is_rounded_once() -> None:
    assert micros(np.array([1e-7, 0.1 + 0.2, 2.5e-6])).tolist() == [0, 300_000, 2]
