"""Doubt as a bonus: the error of a rate, worked out by hand, and nothing where nobody counts."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.policy.steps.ucb import Config, Rule
from tests.policy.slates import slate_of


def test_the_bonus_is_a_share_of_the_revenue_that_fades() -> None:
    slate = slate_of([4.0, 4.0, 8.0], [1.0, 1.0, 1.0], p_ctr=[0.1, 0.1, 0.1], impressions=[0.0, 140.0, 140.0])
    after = Rule(Config(alpha=0.5, prior_clicks=2.0)).apply(slate)
    # Errors: 1 / sqrt(2), then 1 / sqrt(2 + 14) = 1/4.
    np.testing.assert_allclose(after.score, [3 + 0.5 * 4 / np.sqrt(2), 3 + 0.5 * 4 / 4, 7 + 0.5 * 8 / 4])


def test_a_new_ad_passes_one_that_is_a_little_better() -> None:
    slate = slate_of([4.0, 4.2], [1.0, 1.0], impressions=[0.0, 10_000.0])
    assert slate.order.tolist() == [1, 0]
    assert Rule(Config()).apply(slate).order.tolist() == [0, 1]


def test_without_counters_and_without_doubt_nothing_moves() -> None:
    slate = slate_of([4.0, 4.2], [1.0, 1.0])
    assert Rule(Config()).apply(slate) is slate
    counted = replace(slate, impressions=np.array([0.0, 9.0]))
    assert Rule(Config(alpha=0.0)).apply(counted).score.tolist() == pytest.approx([3.0, 3.2])
