"""Diag-LinUCB: sums by hand, what users of other clusters tell, and what the model knows already."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.policy.slate import Slate
from rosa_ray.policy.steps.linucb import Config, Rule
from tests.policy.slates import shown_of, slate_of


def shares(rule: Rule, slate: Slate) -> np.ndarray:
    """By how much of its revenue each score moved."""
    moved: np.ndarray = (rule.apply(slate).score - slate.score) / slate.revenue
    return moved


def test_what_clicks_more_than_expected_rises_and_what_does_not_falls() -> None:
    rule = Rule(Config(alpha=0.0, prior_clicks=2.0))
    rule.tell(shown_of([1] * 4 + [2] * 4, [0.0] * 8, p_ctr=[0.25] * 8, click=[True] * 3 + [False] * 5))
    # d = 4 * .25; b = 3 - 1 for ad 1, and 0 - 1 for ad 2.
    np.testing.assert_allclose(shares(rule, slate_of([4.0, 4.0, 4.0], [1.0] * 3)), [2 / 3, -1 / 3, 0.0])


def test_doubt_is_that_of_told_and_earlier_impressions() -> None:
    rule = Rule(Config(alpha=1.0, prior_clicks=2.0))
    rule.tell(shown_of([1] * 4, [0.0] * 4, p_ctr=[0.5] * 4, click=[True, True, False, False]))
    slate = slate_of([4.0, 4.0], [1.0, 1.0], p_ctr=[0.1, 0.1], impressions=[54.0, 70.0])
    # Ad 1: d = 4 * .5 told, and .1 of each of the 50 others; as many clicks as expected. Ad 2: .1 * 70.
    np.testing.assert_allclose(shares(rule, slate), [1 / np.sqrt(2 + 2 + 5), 1 / np.sqrt(2 + 7)])


def test_clusters_tell_of_themselves() -> None:
    rule = Rule(Config(alpha=0.0, prior_clicks=1.0))
    rule.tell(shown_of([1, 1], [0.0, 0.0], p_ctr=[0.5, 0.5], click=[True, True], clusters=[[1.0, 0.0], [0.5, 0.5]]))
    slate = slate_of([4.0], [1.0])
    one, other, half = (shares(rule, replace(slate, clusters=np.array(w)))[0] for w in ([1.0, 0], [0, 1.0], [0.5, 0.5]))
    # First cluster: d = .5 + .25, b = .5 + .25. Second: d = .25, b = .25.
    assert (one, other) == pytest.approx((0.75 / 1.75, 0.25 / 1.25))
    assert half == pytest.approx((one + other) / 2)


def test_a_click_that_is_told_later_counts_once() -> None:
    at_once, later = Rule(Config()), Rule(Config())
    at_once.tell(shown_of([1], [0.0], p_ctr=[0.2], click=[True]))
    later.tell(shown_of([1, 1], [0.0, 0.0], p_ctr=[0.2, 0.2], click=[False, True], impression=[True, False]))
    assert np.array_equal(at_once.snapshot()["sums"], later.snapshot()["sums"])


def test_without_an_expectation_nothing_is_learned() -> None:
    rule = Rule(Config(alpha=0.0))
    rule.tell(shown_of([1], [0.0], click=[True]))
    rule.tell(shown_of([1, 1], [0.0, 0.0], p_ctr=[np.nan, np.nan], click=[True, False]))
    assert shares(rule, slate_of([4.0], [1.0])).tolist() == [0.0]
    assert len(rule.snapshot()["ad_key"]) == 0


def test_a_model_that_was_trained_anew_starts_with_nothing() -> None:
    rule = Rule(Config(alpha=0.0))
    rule.tell(shown_of([1], [0.0], p_ctr=[0.2], click=[True]))
    assert shares(rule, slate_of([4.0], [1.0]))[0] > 0
    rule.retrained()
    assert shares(rule, slate_of([4.0], [1.0])).tolist() == [0.0]
    assert len(rule.snapshot()["ad_key"]) == 0


def test_no_ad_clicks_less_often_than_never_however_many_clusters_there_are() -> None:
    rule = Rule(Config(alpha=0.0, prior_clicks=0.01))
    rule.tell(shown_of([1] * 50, [0.0] * 50, p_ctr=[0.9] * 50, clusters=np.full((50, 4), 0.25)))
    assert shares(rule, replace(slate_of([4.0], [1.0]), clusters=np.full(4, 0.25)))[0] == pytest.approx(-1.0, abs=0.01)
