"""When requests are due."""

import numpy as np
import pytest

from rosa_ray.load import Plan


def test_even_arrivals_are_equally_far_apart() -> None:
    ranks, events = Plan(10, 3.0, 2, "even").due_s()
    assert np.allclose(np.diff(ranks), 0.1)
    assert np.allclose(np.diff(events), 0.5)
    assert (len(ranks), len(events)) == (30, 6)


def test_poisson_arrivals_have_the_spread_of_independent_callers() -> None:
    ranks, _ = Plan(1000, 20.0, seed=3).due_s()
    gaps = np.diff(ranks)
    assert len(ranks) == 20_000
    assert (gaps >= 0).all()
    assert ranks[-1] < 20
    # The gaps of independent callers are exponential: their deviation equals their mean.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_a_seed_repeats_and_another_differs() -> None:
    first, again, other = (Plan(50, 2.0, 5, seed=seed).due_s() for seed in (1, 1, 2))
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert not (first[0] == other[0]).all()
    assert not np.isin(first[1], first[0]).any()
