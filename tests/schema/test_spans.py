"""A stray time decides nothing; an honest log loses no row, however thin its ends are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.schema.spans import TimeBounds, find_bounds, usual_days
from rosa_ray.units import DAY_US

LOG = {20_000 + day: 32 for day in range(10)}


@pytest.mark.parametrize(
    "stray",
    [{47_116: 1}, {11_700: 1}, {20_009 + 49: 1}, {47_116: 1, 11_700: 1}, {47_116: 2, 30_000: 1}],
    ids=["2099", "2001", "seven weeks later", "both ends", "three"],
)
def test_a_few_rows_far_away_are_stray(stray: dict[int, int]) -> None:
    assert usual_days(LOG | stray) == (20_000, 20_009)


@pytest.mark.parametrize(
    "days",
    [
        LOG | {20_016: 1},
        LOG | {20_100: 20},
        {20_000 + 7 * week: 5 for week in range(60)},
        {20_000 + 30 * month: 900 for month in range(12)},
        {20_000: 1, 20_300: 1, 25_000: 1},
        {20_000: 3},
    ],
    ids=["a week later", "many rows later", "weekly", "monthly", "three rows", "one day"],
)
def test_honest_logs_are_whole(days: dict[int, int]) -> None:
    assert usual_days(days) == (min(days), max(days))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_a_log_whose_days_have_no_gap_is_whole_and_a_stray_row_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.maximum(rng.geometric(rng.uniform(0.001, 0.9), int(rng.integers(5, 400))), 1)
    days = {20_000 + day: int(count) for day, count in enumerate(rows)}
    whole = min(days), max(days)
    assert usual_days(days) == whole
    if rows.sum() >= 50:
        assert usual_days(days | {whole[1] + 8 + len(days): 1}) == whole


def test_days_outside_of_the_configured_period_decide_nothing() -> None:
    counts = {"event_time": LOG | {20_040: 5}}
    assert find_bounds("events", counts, TimeBounds()) == TimeBounds()
    assert find_bounds("events", counts, TimeBounds(until_us=20_020 * DAY_US)) == TimeBounds()
    split = {"event_time": {20_000: 3, **{day + 50: rows for day, rows in LOG.items()}}}
    assert find_bounds("events", split, TimeBounds()) == TimeBounds(20_050 * DAY_US)
    assert find_bounds("events", split, TimeBounds(20_010 * DAY_US)) == TimeBounds()
