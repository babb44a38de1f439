"""Thompson sampling: the chances that are told are those of the draw, and doubt makes them even."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.policy.slate import Slate
from rosa_ray.policy.steps.thompson import Config, Rule
from tests.policy.slates import slate_of

REQUESTS = 20_000


def told_and_drawn(rule: Rule, slate: Slate) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the chances over requests, and the share of each candidate's first places."""
    keys = np.random.default_rng(5).integers(-(2**62), 2**62, REQUESTS).tolist()
    told, first = np.zeros(len(slate.score)), np.zeros(len(slate.score))
    for key in keys:
        after = rule.apply(replace(slate, request_key=key))
        assert after.propensity is not None
        told += after.propensity
        first[after.order[0]] += 1
    return told / REQUESTS, first / REQUESTS


def test_draws_have_the_chances_that_are_told() -> None:
    shown, impressions = [True, True, False, True], [0.0, 50.0, 0.0, 1_000.0]
    slate = slate_of([4.0, 5.0, 9.0, 4.5], [1.0] * 4, shown=shown, impressions=impressions)
    told, drawn = told_and_drawn(Rule(Config(least=0.06)), slate)
    assert told.sum() == pytest.approx(1.0)
    assert told[2] == drawn[2] == 0
    assert (told[[0, 1, 3]] > 0.02).all()
    # Four standard errors of a share.
    np.testing.assert_allclose(drawn, told, atol=4 * 0.5 / np.sqrt(REQUESTS))


def test_the_chance_of_a_win_is_that_of_the_posterior() -> None:
    slate = slate_of([4.0, 5.0], [1.0, 1.0], p_ctr=[0.1, 0.1], impressions=[0.0, 1e9])
    told, _ = told_and_drawn(Rule(Config(least=0.0, prior_clicks=2.0)), slate)
    # The second one's rate is certain. The first wins where 4 * G / 2 > 5 for G of Gamma(2): (1 + 2.5) e^-2.5.
    assert told[0] == pytest.approx(3.5 * np.exp(-2.5), abs=4 * 0.5 / np.sqrt(REQUESTS * 64))


def test_what_is_known_well_is_chosen_like_greedy() -> None:
    slate = slate_of([4.0, 5.0, 3.0], [1.0] * 3, impressions=[1e9] * 3)
    after = Rule(Config(least=0.0)).apply(slate)
    assert (after.order.tolist(), after.first_propensity) == ([1, 0, 2], 1.0)


def test_equal_requests_draw_equally_and_seeds_differ() -> None:
    slate = slate_of([4.0, 4.1, 4.2], [1.0] * 3, impressions=[0.0] * 3)

    def drawn(seed: int) -> list[int]:
        rule = Rule(Config(seed=seed))
        return [int(rule.apply(replace(slate, request_key=key)).order[0]) for key in range(50)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
