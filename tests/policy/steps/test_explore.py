"""Exploration: exact chances, and draws that a request repeats."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.policy.slate import Slate
from rosa_ray.policy.steps.explore import Config, Rule
from tests.policy.slates import slate_of

REQUESTS = 20_000


def asked(rule: Rule, slate: Slate, requests: int = REQUESTS) -> np.ndarray:
    """The first ad of each of so many requests."""
    keys = np.random.default_rng(5).integers(-(2**62), 2**62, requests).tolist()
    return np.array([rule.apply(replace(slate, request_key=key)).order[0] for key in keys])


def test_the_chances_are_those_of_the_mixture() -> None:
    slate = slate_of([4.0, 9.0, 2.0, 7.0], [1.0] * 4, shown=[True, True, False, True])
    after = Rule(Config(epsilon=0.3)).apply(slate)
    assert after.propensity is not None
    np.testing.assert_allclose(after.propensity, [0.1, 0.8, 0.0, 0.1])
    assert after.first_propensity == pytest.approx(0.8 if after.order[0] == 1 else 0.1)


def test_draws_have_the_chances_that_are_told() -> None:
    slate = slate_of([4.0, 9.0, 2.0, 7.0], [1.0] * 4, shown=[True, True, False, True])
    rule = Rule(Config(epsilon=0.3))
    share = np.bincount(asked(rule, slate), minlength=4) / REQUESTS
    told = rule.apply(slate).propensity
    assert told is not None
    # Four standard errors of a share.
    np.testing.assert_allclose(share, told, atol=4 * 0.5 / np.sqrt(REQUESTS))


def test_a_drawn_ad_is_first_and_the_others_keep_their_order() -> None:
    slate = slate_of([4.0, 9.0, 2.0, 7.0], [1.0] * 4)
    rule, seen = Rule(Config(epsilon=1.0)), set()
    for key in range(60):
        after = rule.apply(replace(slate, request_key=key))
        first, rest = int(after.order[0]), after.order[1:].tolist()
        assert rest == [row for row in (1, 3, 0, 2) if row != first]
        assert after.first_propensity == pytest.approx(0.25)
        assert after.said["explore"] == {"drawn_of": 4}
        seen.add(first)
    assert seen == {0, 1, 2, 3}


def test_equal_requests_draw_equally_and_seeds_differ() -> None:
    slate = slate_of([4.0, 9.0, 2.0, 7.0], [1.0] * 4)
    draws = [asked(Rule(Config(epsilon=0.9, seed=seed)), slate, 200).tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_nothing_is_drawn_at_zero() -> None:
    slate = slate_of([4.0, 9.0], [1.0, 1.0])
    after = Rule(Config(epsilon=0.0)).apply(slate)
    assert (after.order.tolist(), after.first_propensity, dict(after.said)) == ([1, 0], 1.0, {})
