"""How much of a period's conversions a log can know, by hand."""

import numpy as np
import pytest

from rosa_ray.labels import count_delays, ripe_shares
from rosa_ray.units import DAY_US, HOUR_US

DAYS = 8
PERIODS = {"train": (0, 6 * DAY_US), "valid": (6 * DAY_US, 7 * DAY_US), "test": (7 * DAY_US, 8 * DAY_US)}


def log(delay_hours: list[int], per_day: int = 40) -> dict[str, np.ndarray]:
    """Clicks at each noon, half of which convert after the delays in turn, if the log lasts so long."""
    time_us = np.repeat(np.arange(DAYS) * DAY_US + DAY_US // 2, per_day)
    delay = np.resize(np.array(delay_hours), len(time_us)) * HOUR_US
    converts = (np.arange(len(time_us)) % 2 == 0) & (time_us + delay < DAYS * DAY_US)
    ones = np.ones(len(time_us), np.int8)
    return {"time_us": time_us, "click": ones, "conversion": ones * converts, "conversion_time_us": time_us + delay}


def test_conversions_at_once_are_all_known() -> None:
    shares = ripe_shares([count_delays(log([0]))], 0, DAYS * DAY_US, PERIODS)
    assert shares == {"train": 1.0, "valid": 1.0, "test": 1.0}


def test_half_that_take_twenty_hours_are_missing_from_the_last_day() -> None:
    """At its noon the last day is twelve hours old: conversions at once have come, those after 20 hours have not."""
    shares = ripe_shares([count_delays(log([1, 1, 20, 20]))], 0, DAYS * DAY_US, PERIODS)
    assert shares["train"] == 1.0
    assert shares["valid"] == 1.0
    assert shares["test"] == pytest.approx(0.5)


def test_parts_count_together_and_few_conversions_say_nothing() -> None:
    rows = log([1, 1, 20, 20])
    halves = [count_delays({name: values[at::2] for name, values in rows.items()}) for at in (0, 1)]
    assert ripe_shares(halves, 0, DAYS * DAY_US, PERIODS) == ripe_shares(
        [count_delays(rows)], 0, DAYS * DAY_US, PERIODS
    )
    assert ripe_shares([count_delays(log([1], per_day=4))], 0, DAYS * DAY_US, PERIODS) == {}


def test_a_period_without_clicks_has_no_share() -> None:
    shares = ripe_shares([count_delays(log([0]))], 0, DAYS * DAY_US, {"later": (9 * DAY_US, 10 * DAY_US)})
    assert shares == {}
