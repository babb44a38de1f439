"""The bulk of a log leaves out few rows far away, and nothing else."""

import numpy as np
import pytest

from rosa_ray.schema.spans import bulk_of
from rosa_ray.units import DAY_US

TEN_DAYS = np.sort(np.random.default_rng(3).integers(0, 10 * DAY_US, 400)) + 20_000 * DAY_US


@pytest.mark.parametrize(("days", "before", "after"), [(27_000, 0, 1), (11_000, 1, 0), (20_049, 0, 1)])
def test_one_row_far_away_is_left_out(days: int, before: int, after: int) -> None:
    found = bulk_of(np.append(TEN_DAYS, days * DAY_US))
    assert found is not None
    assert (found.start_us, found.end_us) == (TEN_DAYS[0], TEN_DAYS[-1])
    assert (found.before, found.after) == (before, after)


def test_a_pause_in_the_log_leaves_nothing_out() -> None:
    found = bulk_of(np.concatenate([TEN_DAYS, TEN_DAYS[:40] + 60 * DAY_US]))
    assert found is not None
    assert found.outside == 0


def test_a_few_rows_soon_after_belong_to_the_log() -> None:
    found = bulk_of(np.append(TEN_DAYS, TEN_DAYS[-1] + 5 * DAY_US))
    assert found is not None
    assert found.outside == 0


def test_no_rows_have_no_bulk() -> None:
    assert bulk_of(np.zeros(0, np.int64)) is None
