"""Ad requests: their candidates and bids, the logging policy, and what becomes of the chosen ad."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.laws.law import Laws
from rosa_ray.simulation.market import expected_price_fen, market_price_fen, sample_price_fen, win_rate
from rosa_ray.simulation.response import VIEWABLE, click_logit, conversion_logit, read_signals
from rosa_ray.simulation.state import UserState
from rosa_ray.simulation.users import DEVICES, Users
from rosa_ray.simulation.world import World

Spare = Callable[[np.ndarray, int], np.ndarray]
"""From a mask (n, k) and a number of ads to an ad for each marked place."""

Limit = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From won (n,) and cost (n,), currency units, to which impressions happen (n,)."""

VALUE_LOG_SD = 0.25
"""Spread of a conversion's revenue around the price of the ad; its mean is the price."""


@dataclass(frozen=True)
class Offers:
    """What n requests of k candidates each could show; money in currency units per impression.

    Attributes:
        device_N: device index of each request.
        ad_NK: the candidates, distinct within a request.
        bid_fen_NK: bids, fen per 1,000 impressions.
        scale_NK: currency units per fen.
        market_NK: factor of the market price; None where every bid wins, as without a law of the market.
        p_ctr_NK, p_cvr_NK: true probabilities of a click, and of a conversion after it.
        propensity_NK: chance of each candidate under the logging policy, summing to 1.
        oracle: what laws know, by column of `truth/`.
        untold_click_NK, untold_conversion_NK: see `Pull`.
    """

    device_N: np.ndarray
    ad_NK: np.ndarray
    bid_fen_NK: np.ndarray
    scale_NK: np.ndarray
    market_NK: np.ndarray | None
    p_ctr_NK: np.ndarray
    p_cvr_NK: np.ndarray
    propensity_NK: np.ndarray
    oracle: Mapping[str, np.ndarray]
    untold_click_NK: np.ndarray | None = None
    untold_conversion_NK: np.ndarray | None = None

    @property
    def bid_NK(self) -> np.ndarray:
        """Bids, currency units."""
        return self.bid_fen_NK * self.scale_NK

    @property
    def expected_cost_NK(self) -> np.ndarray:
        """Mean price of an impression whose bid won, currency units."""
        if self.market_NK is None:
            return expected_price_fen(self.bid_fen_NK) * self.scale_NK
        return expected_price_fen(self.bid_fen_NK / self.market_NK) * self.market_NK * self.scale_NK

    @property
    def win_rate_NK(self) -> np.ndarray:
        """Chance that the bid is not below the market price, in [0, 1]."""
        if self.market_NK is None:
            return np.ones(self.ad_NK.shape)
        return win_rate(self.bid_fen_NK / self.market_NK)


@dataclass(frozen=True)
class Outcomes:
    """What became of n requests, whose chosen candidate is `shown_N`.

    Attributes:
        won_N: whether an ad was shown: one was chosen, its bid won, and no limit forbade it.
        cost_N: what the impression cost, currency units; 0 without one.
        click_N, conversion_N: what the user did with it.
        revenue_N: of the conversion, currency units.
    """

    shown_N: np.ndarray
    won_N: np.ndarray
    cost_N: np.ndarray
    click_N: np.ndarray
    conversion_N: np.ndarray
    revenue_N: np.ndarray


def draw_offers(
    config: SimulationConfig,
    state: UserState,
    users: Users,
    laws: Laws,
    rows: np.ndarray,
    hour: np.ndarray,
    rng: np.random.Generator,
    spare: Spare,
) -> Offers:
    """Draw one request of each of some distinct users.

    Args:
        rows: which users.
        hour: request time, hours since the log's start.
        rng: how much is drawn from it depends on the number of rows alone.
        spare: draws what replaces repeated candidates. How many there are depends on what the users did before.
    """
    world, count = state.world, len(rows)
    ad_NK = laws.candidates(rows, hour, _draw_candidates(config, state, users, rows, rng, spare))
    device = np.where(rng.random(count) < 0.85, users.device_N[rows], rng.integers(0, len(DEVICES), count))
    signals = read_signals(state, users, rows, hour, ad_NK)
    pull = laws.pull(rows, hour, ad_NK)
    click_NK = click_logit(signals, world, users, rows, hour, device, ad_NK) + pull.click_NK
    buy_NK = conversion_logit(signals, world, users, rows, hour, device, ad_NK) + pull.conversion_NK
    p_ctr_NK = VIEWABLE * _sigmoid(click_NK + config.noise * rng.standard_normal(ad_NK.shape))
    p_cvr_NK = _sigmoid(buy_NK + config.noise * rng.standard_normal(ad_NK.shape))
    bid_fen_NK = np.clip(world.ad_bid_fen_A[ad_NK] * rng.lognormal(0, 0.25, ad_NK.shape), 12, 300)
    return Offers(
        device_N=device,
        ad_NK=ad_NK,
        bid_fen_NK=bid_fen_NK,
        scale_NK=world.market_scale_C[world.ad_category_A[ad_NK]],
        market_NK=laws.market(hour, ad_NK),
        p_ctr_NK=p_ctr_NK,
        p_cvr_NK=p_cvr_NK,
        propensity_NK=_logging_policy(config, click_NK, bid_fen_NK, rng),
        oracle=pull.latent,
        untold_click_NK=pull.untold_click_NK,
        untold_conversion_NK=pull.untold_conversion_NK,
    )


def settle(
    world: World, offers: Offers, shown: np.ndarray, rng: np.random.Generator, limit: Limit | None = None
) -> Outcomes:
    """Run the auctions of the chosen candidates, and draw what users do with the ads that won.

    Nothing that is drawn depends on the choice: a request has one price level, and one draw of click and conversion.

    Args:
        shown: which candidate of each request, -1 for none.
        limit: says of won auctions and their costs which impressions happen, such as those that a budget still pays.
    """
    count, every = len(shown), np.arange(len(shown))
    chosen, slot = shown >= 0, np.maximum(shown, 0)
    p_ctr, p_cvr = offers.p_ctr_NK[every, slot], offers.p_cvr_NK[every, slot]
    clicks, converts = rng.random(count) < p_ctr, rng.random(count) < p_cvr
    price = world.item_price_I[world.ad_item_A[offers.ad_NK[every, slot]]]
    value = price * np.exp(rng.normal(-(VALUE_LOG_SD**2) / 2, VALUE_LOG_SD, count))
    bid_fen, uniform = offers.bid_fen_NK[every, slot], rng.random(count)
    if offers.market_NK is None:
        won, cost_fen = chosen, sample_price_fen(bid_fen, uniform)
    else:
        cost_fen = offers.market_NK[every, slot] * market_price_fen(uniform)
        won = chosen & (cost_fen <= bid_fen)
    cost = np.where(won, cost_fen * offers.scale_NK[every, slot], 0.0)
    if limit is not None:
        won = won & limit(won, cost)
        cost = np.where(won, cost, 0.0)
    click = won & clicks
    conversion = click & converts
    return Outcomes(
        shown_N=shown,
        won_N=won,
        cost_N=cost,
        click_N=click,
        conversion_N=conversion,
        revenue_N=np.where(conversion, value, 0.0),
    )


def choose(probability_NK: np.ndarray, uniform_N: np.ndarray) -> np.ndarray:
    """Draw a candidate of each request by its probability, from one draw in [0, 1) each.

    >>> choose(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0.2, 0.2])).tolist()
    [0, 1]
    """
    cumulated = np.cumsum(probability_NK, axis=1)
    return (cumulated[:, :-1] <= uniform_N[:, None] * cumulated[:, -1:]).sum(axis=1)


def _draw_candidates(
    config: SimulationConfig,
    state: UserState,
    users: Users,
    rows: np.ndarray,
    rng: np.random.Generator,
    spare: Spare,
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
    return _without_repeats(world.draw_ads(category, rng), len(world.ad_item_A), spare)


def _popular_ads(world: World, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    drawn = world.ad_cdf.searchsorted(rng.random(shape) * world.ad_cdf[-1], side="right") - 1
    return np.minimum(np.maximum(drawn, 0), len(world.ad_item_A) - 1)


def _without_repeats(ad_NK: np.ndarray, ads: int, spare: Spare) -> np.ndarray:
    while True:
        order = ad_NK.argsort(axis=1, kind="stable")
        row = np.arange(len(ad_NK))[:, None]
        ordered = ad_NK[row, order]
        again = np.zeros(ad_NK.shape, dtype=bool)
        again[row, order[:, 1:]] = ordered[:, 1:] == ordered[:, :-1]
        if not again.any():
            return ad_NK
        ad_NK = ad_NK.copy()
        ad_NK[again] = spare(again, ads)


def _logging_policy(
    config: SimulationConfig, logit_NK: np.ndarray, bid_fen_NK: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A mixture of uniform choice and a noisy, half-blind relevance times bid; probabilities sum to 1 a request."""
    preference = 0.5 * (logit_NK + rng.normal(0, 1.5, logit_NK.shape)) + 0.3 * np.log(bid_fen_NK)
    weight = np.exp(preference - preference.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return config.exploration / logit_NK.shape[1] + (1 - config.exploration) * weight


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
