"""Rows outside of a table's bounds are set aside, and the counts of days come back from JSON."""

import numpy as np

from rosa_ray.data.time_bounds import count_days, days_from_plain, days_to_plain, sum_days, within
from rosa_ray.schema.spans import TimeBounds, find_bounds
from rosa_ray.units import DAY_US
from tests.synthetic import impressions_table


def test_bounds_of_a_table_and_what_lies_outside() -> None:
    table = impressions_table(np.random.default_rng(0))
    counts = count_days(table)
    assert sum(counts["request_time"].values()) == table.num_rows
    assert sum(counts["conversion_time"].values()) == sum(table["conversion"].to_pylist())
    assert find_bounds("impressions", counts, TimeBounds()) == TimeBounds()
    assert find_bounds("ads", {}, TimeBounds()) == TimeBounds()
    last = max(counts["request_time"])
    stray = sum_days([counts, {"request_time": {60_000: 1}, "conversion_time": {last + 400: 1}}])
    bounds = find_bounds("impressions", stray, TimeBounds())
    assert bounds == TimeBounds(None, (last + 1) * DAY_US, (last + 367) * DAY_US)
    kept, others = within(table, "impressions", TimeBounds(until_us=last * DAY_US))
    assert others.num_rows == counts["request_time"][last]
    assert kept.num_rows + others.num_rows == table.num_rows
    assert within(table, "impressions", TimeBounds(latest_conversion_us=0))[1].num_rows == table.num_rows


def test_counts_come_back_from_json() -> None:
    counts = count_days(impressions_table(np.random.default_rng(0)))
    assert days_from_plain(days_to_plain(counts)) == counts
