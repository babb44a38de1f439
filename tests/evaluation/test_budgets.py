"""Ways to spend budgets on a log whose best way is known, and the log they are read from."""

from pathlib import Path

import numpy as np
import pytest

from rosa_ray.errors import InputError
from rosa_ray.evaluation.budgets import WAYS, Log, measure_budgets, read_log
from rosa_ray.evaluation.budgets_table import budgets_tables
from rosa_ray.features import Split
from tests.policy.slates import DAY_US, HOUR_US, at
from tests.true_log import ROWS, SPLITS, predicted_columns, write_predictions, write_truth


def log_of(seed: int = 1, requests: int = 600, days: int = 3) -> Log:
    """Three campaigns of unlike worth, and predictions that are off by a third."""
    rng = np.random.default_rng(seed)
    count, places = requests * days, 3
    time_us = np.sort(at() + rng.integers(0, days * DAY_US, count)).repeat(places)
    campaign = np.tile(np.arange(places), count)
    cost = rng.exponential(1.0, len(campaign)) + 0.1
    value = rng.lognormal(1.0, 1.0, len(campaign)) * np.array([2.0, 4.0, 8.0])[campaign]
    candidates = {
        "user_key": np.arange(count).repeat(places),
        "request_key": np.arange(count).repeat(places),
        "impression_key": np.arange(len(campaign)),
        "campaign_key": campaign + 100,
        "time_us": time_us,
        "p_ctr": np.full(len(campaign), 0.5),
        "p_cvr": np.full(len(campaign), 0.5),
        "value": value * rng.uniform(0.7, 1.4, len(campaign)),
        "expected_cost": cost,
    }
    truth = {"expected_revenue": 0.25 * value, "expected_cost": cost}
    profile = np.bincount(time_us // HOUR_US % 24, minlength=24).astype(np.float64)
    return Log(candidates, truth, time_us // DAY_US - at() // DAY_US, np.arange(100, 103), campaign, profile, 1.0)


@pytest.fixture(scope="module")
def measured() -> dict:
    return measure_budgets(log_of(), [0.3, 1.0])


def test_the_step_comes_near_to_hindsight_and_far_above_the_order_of_arrival(measured: dict) -> None:
    ways = {row["way"]: row for row in measured["shares"][0]["ways"]}
    assert tuple(ways) == WAYS
    assert ways["hindsight prices"]["of_best"] == 1.0
    assert ways["one price of yesterday"]["above_rival"] == 0.0
    assert ways["in order of arrival"]["of_best"] < 0.8
    assert 0.9 < ways["budget"]["of_best"] <= 1.01
    assert ways["budget, from nothing"]["of_best"] > ways["in order of arrival"]["of_best"]


def test_no_way_spends_more_than_the_budgets(measured: dict) -> None:
    for share in measured["shares"]:
        for row in share["ways"]:
            assert row["overspend"] <= 1e-9
            assert row["cost"] <= 2 * share["budget"] * (1 + 1e-9)


def test_budgets_are_shares_of_the_spend_without_them(measured: dict) -> None:
    assert (measured["days"], measured["campaigns"]) == (2, 3)
    assert measured["shares"][0]["budget"] == pytest.approx(0.3 * measured["unlimited"]["cost"] / 2)
    assert measured["shares"][1]["price"] < measured["shares"][0]["price"]


def test_figures_are_the_same_again() -> None:
    assert measure_budgets(log_of(2, 100), [0.5]) == measure_budgets(log_of(2, 100), [0.5])


def test_tables_name_every_way(measured: dict) -> None:
    tables = budgets_tables({"budgets": measured})
    assert [table.row_count for table in tables] == [len(WAYS)] * 2
    assert "budgets of 0.3 of the spend without them" in str(tables[0].title)
    assert budgets_tables({}) == []


def times(days: int) -> np.ndarray:
    """Of all splits; those of the policy period spread over days."""
    time_us = np.full(len(SPLITS) * ROWS, at(5.5))
    policy = SPLITS.index(Split.POLICY) * ROWS
    time_us[policy:] = at() + np.arange(ROWS) // 5 * 5 * days * DAY_US // ROWS
    return time_us


def write(root: Path, days: int, truth: bool = True) -> tuple[list[str], str]:
    columns = predicted_columns()
    count = len(columns["split"])
    columns |= {"time_us": times(days), "campaign_key": np.arange(count) % 4}
    files = write_predictions(root, columns)
    return list(files), write_truth(root / "log") if truth else str(root / "log")


def test_a_log_is_read_by_time_with_the_hours_of_the_time_before(tmp_path: Path) -> None:
    log = read_log(*write(tmp_path, 3), 0.8)
    assert (log.days, log.ranking.level, log.campaign_key.tolist()) == (3, 0.8, [0, 1, 2, 3])
    assert (np.diff(log.candidates["time_us"]) >= 0).all()
    assert log.profile.tolist() == [ROWS if hour == 5 else 0.0 for hour in range(24)]
    document = measure_budgets(log, [0.5])
    assert document["requests"] > 0


def test_what_budgets_cannot_be_measured_without(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs candidates of two days of the test period"):
        read_log(*write(tmp_path / "one", 1), 1.0)
    with pytest.raises(InputError, match=r"--budgets needs exact values, and .* has no truth"):
        read_log(*write(tmp_path / "none", 3, truth=False), 1.0)
