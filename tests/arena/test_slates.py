"""Requests as a policy sees them, and the noise that stands in for a model."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.arena.slates import NONE, Noise, Slates
from tests.arena.worlds import slates


def test_the_best_is_taken_among_those_that_may_be_shown():
    made = slates([[1, 3, 2], [1, 1, 1], [5, 1, 1]], np.ones((3, 3)), shown_NK=[[1, 0, 1], [1, 1, 1], [0, 0, 0]])
    assert made.best(made.revenue_NK).tolist() == [2, 0, NONE]
    assert made.best(made.revenue_NK, 1.5).tolist() == [2, NONE, NONE]
    assert made.of(np.array([2, 0, NONE]), "value_NK").tolist() == [4, 2, 10]


def test_one_request_becomes_a_slate_of_the_policy():
    one = slates([[1, 3]], [[0.5, 4]], campaign_NK=[[7, 8]]).single(0)
    assert one.revenue.tolist() == [1, 3]
    assert one.score.tolist() == [0.5, -1]
    assert one.campaign_key.tolist() == [7, 8]
    assert one.order.tolist() == [0, 1]


def test_joined_slates_are_the_same_requests():
    made = slates(np.arange(12.0).reshape(4, 3), np.ones((4, 3)))
    halves = [replace(made, **{name: getattr(made, name)[part] for name in Slates.__dataclass_fields__})
              for part in (slice(0, 2), slice(2, 4))]  # fmt: skip
    assert all(np.array_equal(getattr(Slates.joined(halves), name), getattr(made, name)) for name in vars(made))


def test_the_error_of_a_user_and_an_ad_is_the_same_in_all_requests():
    made = replace(slates(np.ones((4, 3)), np.ones((4, 3))), user=np.array([0, 1, 0, 1]), p_cvr_NK=np.full((4, 3), 0.2))
    made = replace(made, p_ctr_NK=np.full((4, 3), 0.05))
    seen = Noise(2, 3, 0.6, seed=1).on(made)
    assert np.array_equal(seen.p_ctr_NK[:2], seen.p_ctr_NK[2:])
    assert len(np.unique(seen.p_ctr_NK)) == 6
    assert ((seen.p_ctr_NK > 0) & (seen.p_ctr_NK < 0.5)).all()
    assert not np.array_equal(seen.p_ctr_NK, Noise(2, 3, 0.6, seed=2).on(made).p_ctr_NK)


def test_no_noise_is_the_truth():
    made = replace(slates(np.ones((4, 3)), np.ones((4, 3))), p_ctr_NK=np.full((4, 3), 0.05))
    made = replace(made, p_cvr_NK=np.full((4, 3), 0.2))
    seen = Noise(4, 3, 0.0, seed=1).on(made)
    np.testing.assert_allclose(seen.revenue_NK, made.revenue_NK)


@pytest.mark.parametrize("deviation", [0.3, 0.9])
def test_the_level_stays_about_right(deviation):
    shape = (500, 40)
    made = replace(slates(np.ones(shape), np.ones(shape)), p_ctr_NK=np.full(shape, 0.02), p_cvr_NK=np.full(shape, 0.05))
    seen = Noise(500, 40, deviation, seed=3).on(made)
    assert seen.p_ctr_NK.mean() == pytest.approx(0.02, rel=0.06)
