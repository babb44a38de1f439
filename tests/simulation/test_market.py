"""The market law: bounds, and its exact mean against numerical integration and samples."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.simulation.marginals import MARKET_PRICE_SHARE
from rosa_ray.simulation.market import expected_price_fen, sample_price_fen, win_rate


def test_mean_of_a_hand_worked_bid():
    first, second = MARKET_PRICE_SHARE[:2]
    mean = (first * 5 + second / 2 * 12.5) / (first + second / 2)
    np.testing.assert_allclose(expected_price_fen(np.array([15.0])), mean)


@settings(max_examples=20, deadline=None)
@given(st.floats(1, 300))
def test_mean_agrees_with_numerical_integration(bid):
    price = (np.arange(60_000) + 0.5) * bid / 60_000
    density = MARKET_PRICE_SHARE[np.minimum((price // 10).astype(int), 29)]
    np.testing.assert_allclose(expected_price_fen(np.array([bid])), (price * density).sum() / density.sum(), rtol=1e-4)


def test_samples_stay_below_the_bid_and_meet_the_mean():
    uniform = np.random.default_rng(0).random(200_000)
    for bid in (12.0, 67.0, 300.0):
        price = sample_price_fen(np.full(len(uniform), bid), uniform)
        assert price.min() >= 0
        assert price.max() <= bid
        np.testing.assert_allclose(price.mean(), expected_price_fen(np.array([bid])), rtol=0.01)


def test_higher_bids_win_more():
    assert (np.diff(win_rate(np.arange(1.0, 301.0))) > 0).all()
