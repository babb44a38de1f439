"""One ad request: its candidates, the bids, the logging policy's choice, and what the chosen ad costs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.laws.law import Laws
from rosa_ray.simulation.market import expected_price_fen, sample_price_fen
from rosa_ray.simulation.response import VIEWABLE, click_logit, conversion_logit, read_signals
from rosa_ray.simulation.state import UserState
from rosa_ray.simulation.users import DEVICES, Users
from rosa_ray.simulation.world import World

VALUE_LOG_SD = 0.25
"""Spread of a conversion's revenue around the price of the ad; its mean is the price."""


@dataclass(frozen=True)
class Auctions:
    """n requests of k candidates each; money in currency units per impression; `oracle` is what laws know."""

    device_N: np.ndarray
    ad_NK: np.ndarray
    bid_NK: np.ndarray
    p_ctr_NK: np.ndarray
    p_cvr_NK: np.ndarray
    expected_cost_NK: np.ndarray
    propensity_NK: np.ndarray
    shown_N: np.ndarray
    cost_N: np.ndarray
    click_N: np.ndarray
    conversion_N: np.ndarray
    revenue_N: np.ndarray
    oracle: Mapping[str, np.ndarray]


def run_auctions(
    config: SimulationConfig,
    state: UserState,
    users: Users,
    laws: Laws,
    rows: np.ndarray,
    hour: np.ndarray,
    rng: np.random.Generator,
) -> Auctions:
    """Serve one request of each of some distinct users and draw what they do with the ad shown."""
    world = state.world
    count, every = len(rows), np.arange(len(rows))
    ad_NK = laws.candidates(rows, hour, _draw_candidates(config, state, users, rows, rng))
    device = np.where(rng.random(count) < 0.85, users.device_N[rows], rng.integers(0, len(DEVICES), count))
    signals = read_signals(state, users, rows, hour, ad_NK)
    pull = laws.pull(rows, hour, ad_NK)
    click_NK = click_logit(signals, world, users, rows, hour, device, ad_NK) + pull.click_NK
    buy_NK = conversion_logit(signals, world, users, rows, hour, device, ad_NK) + pull.conversion_NK
    p_ctr_NK = VIEWABLE * _sigmoid(click_NK + config.noise * rng.standard_normal(ad_NK.shape))
    p_cvr_NK = _sigmoid(buy_NK + config.noise * rng.standard_normal(ad_NK.shape))
    bid_fen_NK = np.clip(world.ad_bid_fen_A[ad_NK] * rng.lognormal(0, 0.25, ad_NK.shape), 12, 300)
    scale_NK = world.market_scale_C[world.ad_category_A[ad_NK]]
    propensity_NK = _logging_policy(config, click_NK, bid_fen_NK, rng)
    shown = _choose(propensity_NK, rng)
    click = rng.random(count) < p_ctr_NK[every, shown]
    conversion = click & (rng.random(count) < p_cvr_NK[every, shown])
    price = world.item_price_I[world.ad_item_A[ad_NK[every, shown]]]
    value = price * np.exp(rng.normal(-(VALUE_LOG_SD**2) / 2, VALUE_LOG_SD, count))
    return Auctions(
        device_N=device,
        ad_NK=ad_NK,
        bid_NK=bid_fen_NK * scale_NK,
        p_ctr_NK=p_ctr_NK,
        p_cvr_NK=p_cvr_NK,
        expected_cost_NK=expected_price_fen(bid_fen_NK) * scale_NK,
        propensity_NK=propensity_NK,
        shown_N=shown,
        cost_N=sample_price_fen(bid_fen_NK[every, shown], rng.random(count)) * scale_NK[every, shown],
        click_N=click,
        conversion_N=conversion,
        revenue_N=np.where(conversion, value, 0.0),
        oracle=pull.latent,
    )


def _draw_candidates(
    config: SimulationConfig, state: UserState, users: Users, rows: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Distinct ads: a third near the user's last categories, a quarter of their favourites, the rest by popularity."""
    world, shape = state.world, (len(rows), config.candidates_per_request)
    recent = state.recent_NR[rows[:, None], rng.integers(0, 3, shape)]
    step = rng.integers(0, 4, shape)
    near = np.where(step < 2, world.complement_C2[recent, step % 2], recent)
    favourite = users.favourite_NF[rows[:, None], rng.integers(0, users.favourite_NF.shape[1], shape)]
    anything = world.ad_category_A[_popular_ads(world, shape, rng)]
    kind = rng.random(shape)
    category = np.where((kind < 0.35) & (recent >= 0), near, np.where(kind < 0.6, favourite, anything))
    return _without_repeats(world.draw_ads(category, rng), len(world.ad_item_A), rng)


def _popular_ads(world: World, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    drawn = np.searchsorted(world.ad_cdf, rng.random(shape) * world.ad_cdf[-1], side="right") - 1
    return np.clip(drawn, 0, len(world.ad_item_A) - 1)


def _without_repeats(ad_NK: np.ndarray, ads: int, rng: np.random.Generator) -> np.ndarray:
    while True:
        order = np.argsort(ad_NK, axis=1, kind="stable")
        ordered = np.take_along_axis(ad_NK, order, axis=1)
        again = np.zeros(ad_NK.shape, dtype=bool)
        np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        if not again.any():
            return ad_NK
        ad_NK = ad_NK.copy()
        ad_NK[again] = rng.integers(0, ads, int(again.sum()))


def _logging_policy(
    config: SimulationConfig, logit_NK: np.ndarray, bid_fen_NK: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A mixture of uniform choice and a noisy, half-blind relevance times bid; probabilities sum to 1 a request."""
    preference = 0.5 * (logit_NK + rng.normal(0, 1.5, logit_NK.shape)) + 0.3 * np.log(bid_fen_NK)
    weight = np.exp(preference - preference.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return config.exploration / logit_NK.shape[1] + (1 - config.exploration) * weight


def _choose(probability_NK: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    cumulated = np.cumsum(probability_NK, axis=1)
    return (cumulated[:, :-1] < rng.random((len(cumulated), 1)) * cumulated[:, -1:]).sum(axis=1)


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
