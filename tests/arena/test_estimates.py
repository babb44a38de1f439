"""What stands in for a model: fixed errors, and what is learned of ads every night."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.arena.estimates import PRIOR_CLICKS, PRIOR_CONVERSIONS, Estimates, Impressions, Nightly, Noise, Noisy
from rosa_ray.simulation.response import VIEWABLE
from tests.arena.worlds import slates

QUIET = Noise(4, 3, 0.0, seed=1)
SHAPE = (4, 3)


def told(click: float = 0.0, conversion: float = 0.0):
    """Requests whose first ad has something in its logits that no attribute tells."""
    own = np.array([1.0, 0.0, 0.0])
    return replace(
        slates(np.ones(SHAPE), np.ones(SHAPE)),
        p_ctr_NK=np.full(SHAPE, 0.05),
        p_cvr_NK=np.full(SHAPE, 0.2),
        untold_click_NK=np.tile(click * own, (4, 1)),
        untold_conversion_NK=np.tile(conversion * own, (4, 1)),
    )


def impressions(ad: np.ndarray, p_ctr: float, p_cvr: float, click: np.ndarray, conversion: np.ndarray) -> Impressions:
    """Shown ads with what was true of them, to one user."""
    flat = [np.full(len(ad), value) for value in (p_ctr, p_cvr, 0.0, 0.0)]
    return Impressions(np.zeros(len(ad), int), ad, *flat, click, conversion)


def test_the_error_of_a_user_and_an_ad_is_the_same_in_all_requests():
    made = replace(slates(np.ones((4, 3)), np.ones((4, 3))), user=np.array([0, 1, 0, 1]), p_cvr_NK=np.full((4, 3), 0.2))
    made = replace(made, p_ctr_NK=np.full((4, 3), 0.05))
    seen = Noisy(Noise(2, 3, 0.6, seed=1)).on(made)
    assert np.array_equal(seen.p_ctr_NK[:2], seen.p_ctr_NK[2:])
    assert len(np.unique(seen.p_ctr_NK)) == 6
    assert ((seen.p_ctr_NK > 0) & (seen.p_ctr_NK < 0.5)).all()
    assert not np.array_equal(seen.p_ctr_NK, Noisy(Noise(2, 3, 0.6, seed=2)).on(made).p_ctr_NK)


def test_no_noise_is_the_truth():
    made = replace(slates(np.ones((4, 3)), np.ones((4, 3))), p_ctr_NK=np.full((4, 3), 0.05))
    made = replace(made, p_cvr_NK=np.full((4, 3), 0.2))
    seen = Noisy(Noise(4, 3, 0.0, seed=1)).on(made)
    np.testing.assert_allclose(seen.revenue_NK, made.revenue_NK)


@pytest.mark.parametrize("deviation", [0.3, 0.9])
def test_the_level_stays_about_right(deviation):
    shape = (500, 40)
    made = replace(slates(np.ones(shape), np.ones(shape)), p_ctr_NK=np.full(shape, 0.02), p_cvr_NK=np.full(shape, 0.05))
    seen = Noisy(Noise(500, 40, deviation, seed=3)).on(made)
    assert seen.p_ctr_NK.mean() == pytest.approx(0.02, rel=0.06)


def test_no_policy_sees_what_no_attribute_tells() -> None:
    for estimates in (Estimates(), Noisy(QUIET), Nightly(QUIET, 3)):
        seen = estimates.on(told(click=1.0, conversion=1.0))
        assert not seen.untold_click_NK.any()
        assert not seen.untold_conversion_NK.any()


def test_before_its_impressions_an_ad_is_what_its_attributes_tell() -> None:
    seen = Nightly(QUIET, 3).on(told(click=np.log(2.0), conversion=np.log(4.0)))
    view = 0.05 / VIEWABLE
    odds = view / (1 - view) / 2
    np.testing.assert_allclose(seen.p_ctr_NK[:, 0], VIEWABLE * odds / (1 + odds))
    np.testing.assert_allclose(seen.p_cvr_NK[:, 0], (0.25 / 4) / (1 + 0.25 / 4))
    np.testing.assert_allclose(seen.p_ctr_NK[:, 1:], 0.05)
    np.testing.assert_allclose(Noisy(QUIET).on(told(click=1.0)).p_ctr_NK, 0.05)


def test_what_is_told_counts_from_the_next_midnight_on() -> None:
    model = Nightly(QUIET, 3)
    ad, click = np.array([0] * 100 + [1] * 100), np.arange(200) < 20
    before = model.on(told()).p_ctr_NK
    model.tell(impressions(ad, 0.1, 0.25, click, click & (np.arange(200) < 8)))
    assert np.array_equal(model.on(told()).p_ctr_NK, before)
    model.midnight()
    seen, mean = model.on(told()), (20 + PRIOR_CLICKS) / (20 + PRIOR_CLICKS)
    factor = [(20 + PRIOR_CLICKS * mean) / (10 + PRIOR_CLICKS), PRIOR_CLICKS * mean / (10 + PRIOR_CLICKS), mean]
    odds = seen.p_ctr_NK / (VIEWABLE - seen.p_ctr_NK)
    np.testing.assert_allclose(odds[0] / (before[0] / (VIEWABLE - before[0])), factor)
    # Five conversions were expected of twenty clicks, and eight came.
    mean = (8 + PRIOR_CONVERSIONS) / (5 + PRIOR_CONVERSIONS)
    odds = seen.p_cvr_NK[0] / (1 - seen.p_cvr_NK[0]) / 0.25
    np.testing.assert_allclose(odds, [(8 + PRIOR_CONVERSIONS * mean) / (5 + PRIOR_CONVERSIONS), mean, mean])


def test_a_fork_learns_by_itself() -> None:
    model = Nightly(QUIET, 3)
    fork = model.fork()
    fork.tell(impressions(np.zeros(9, int), 0.1, 0.1, np.full(9, True), np.full(9, True)))
    fork.midnight()
    model.midnight()
    assert fork.on(told()).p_ctr_NK[0, 0] > model.on(told()).p_ctr_NK[0, 0]
    assert fork.noise is model.noise


def test_impressions_are_those_that_happened_with_their_truth() -> None:
    made, slot = told(click=1.0), np.array([0, 2, -1, 1])
    happened, click = np.array([True, True, False, False]), np.array([True, False, False, False])
    one = Impressions.of(made, slot, happened, click, np.zeros(4, bool))
    assert (one.user.tolist(), one.ad.tolist()) == ([0, 1], [0, 2])
    assert (one.untold_click.tolist(), one.click.tolist()) == ([1.0, 0.0], [True, False])
    assert len(Impressions.joined([one, one]).user) == 4
