"""Requests as a policy sees them."""

from dataclasses import replace

import numpy as np

from rosa_ray.arena.slates import NONE, Slates
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
