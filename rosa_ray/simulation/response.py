"""The true answer of a user to an ad: click and conversion probabilities from state, traits and context.

Deliberately not ROSA-Rec's equations: there is no attention and no exponential decay. Needs rise and are stilled,
they saturate, and they gate how much style and price count.
"""

from dataclasses import dataclass

import numpy as np

from rosa_ray.simulation.state import UserState, fade
from rosa_ray.simulation.users import Users
from rosa_ray.simulation.world import World

VIEWABLE = 0.5
"""Chance that an ad that was served is in view at all; `p_ctr` is this times the logistic of the click logit."""

CLICK_INTERCEPT = -4.55
CONVERSION_INTERCEPT = -4.8
_HOUR_MOOD = 0.25 * np.sin((np.arange(24) - 15) * np.pi / 12)
_DEVICE_CLICK = np.array([0.15, -0.1, 0.0])
_DEVICE_BUY = np.array([-0.3, 0.35, 0.0])


@dataclass(frozen=True)
class Signals:
    """What the past says about n users by k candidate ads; every field has shape (n, k).

    Attributes:
        need: strength of the need for the category, falling below 0 when it was just satisfied.
        cart: an open cart's freshness, 0 without one.
        satisfied: freshness of the last purchase in the category.
        style: share of the user's interest in the category that went to the ad's style, less the even share.
        decided: +1, -1 or 0, see `UserState`.
        own_style: whether the ad has the style the user prefers.
        same_item: whether the advertised item is the one looked at last or put in the cart.
        dear: log price over the user's budget level.
        fatigue: how often the ad and its category were shown lately.
        promoted: whether the category is promoted now.
    """

    need: np.ndarray
    cart: np.ndarray
    satisfied: np.ndarray
    style: np.ndarray
    decided: np.ndarray
    own_style: np.ndarray
    same_item: np.ndarray
    dear: np.ndarray
    trend: np.ndarray
    fatigue: np.ndarray
    promoted: np.ndarray


def read_signals(state: UserState, users: Users, rows: np.ndarray, hour: np.ndarray, ad_NK: np.ndarray) -> Signals:
    """Read the state of users `rows` at their request hours for their candidate ads."""
    world = state.world
    item = world.ad_item_A[ad_NK]
    category, style_index = world.item_category_I[item], world.item_style_I[item]
    row, now = rows[:, None], hour[:, None]
    cell = row * len(world.popularity_C) + category

    def of_category(state_NC: np.ndarray) -> np.ndarray:
        return state_NC.reshape(-1).take(cell)

    last_h = of_category(state.last_h_NC)
    left = fade(now - last_h, 2, 0.6)
    heat = of_category(state.heat_NC) * left
    style_heat = state.style_heat_NCS.reshape(-1).take(cell * world.styles + style_index) * left
    cart = fade(now - of_category(state.cart_h_NC), 10, 0.6)
    satisfied = fade(now - of_category(state.bought_h_NC), 40, 1.6)
    complement = fade(now - of_category(state.complement_h_NC), 8, 0.9) * (1 - satisfied)
    in_session = (state.recent_NR[row, 0] == category) & (now - state.last_h_N[row] < 0.5)
    wanted = 0.9 * np.log1p(heat) * (1 - 0.8 * satisfied) + 1.8 * cart + 1.4 * complement + 0.6 * in_session
    relative = world.relative_price_I[item]
    return Signals(
        need=wanted / (1 + 0.2 * wanted) - 1.5 * satisfied,
        cart=cart,
        satisfied=satisfied,
        style=(style_heat - heat / world.styles) / (heat + 0.3),
        decided=of_category(state.decided_NC),
        own_style=(of_category(users.style_NC) == style_index).astype(float),
        same_item=((of_category(state.last_item_NC) == item) | (of_category(state.cart_item_NC) == item)) * 1.0,
        dear=relative - users.budget_N[row],
        trend=of_category(state.price_trend_NC) * np.sign(relative),
        fatigue=_fatigue(state, row, now, ad_NK, category),
        promoted=world.promotion_CH[category, _hour_index(world, now)].astype(float),
    )


def _fatigue(state: UserState, row: np.ndarray, now: np.ndarray, ad_NK: np.ndarray, category: np.ndarray) -> np.ndarray:
    ad = state.ad_seen_NA[row, ad_NK] * fade(now - state.ad_seen_h_NA[row, ad_NK], 6, 0.8)
    kind = state.category_seen_NC[row, category] * fade(now - state.category_seen_h_NC[row, category], 6, 0.8)
    return np.log1p(ad) + 0.35 * np.log1p(kind)


def _hour_index(world: World, now: np.ndarray) -> np.ndarray:
    return np.clip(now.astype(int), 0, world.promotion_CH.shape[1] - 1)


def click_logit(
    signals: Signals, world: World, users: Users, rows: np.ndarray, hour: np.ndarray, device: np.ndarray, ad: np.ndarray
) -> np.ndarray:
    """Logit of the true probability to click an ad in view, shape (n, k), before unexplained noise.

    Args:
        rows: the n users.
        hour: request time, hours since the log's start, shape (n,).
        device: device index of each request, shape (n,).
        ad: candidate ads, shape (n, k).
    """
    need = np.clip(signals.need, 0, 4)
    sense = users.price_sense_N[rows][:, None]
    style = signals.style * (1 + 0.9 * signals.decided) * (0.5 + 0.8 * need) + 0.8 * signals.own_style
    item = 0.6 * signals.same_item * (1 + 0.6 * signals.cart) * (1 - signals.satisfied)
    price = -0.9 * sense * np.maximum(signals.dear, 0) * (1 - 0.5 * signals.cart) + 0.5 * signals.trend * (need > 0.5)
    day = np.clip((hour // 24).astype(int), 0, world.drift_CD.shape[1] - 1)[:, None]
    context = world.ad_quality_A[ad] + 0.5 * world.drift_CD[world.ad_category_A[ad], day]
    person = users.click_bias_N[rows] + _DEVICE_CLICK[device] + _HOUR_MOOD[hour.astype(int) % 24]
    pull = signals.need + style + item + price + 0.5 * signals.promoted * sense - 0.6 * signals.fatigue
    return CLICK_INTERCEPT + pull + context + person[:, None]


def conversion_logit(
    signals: Signals, world: World, users: Users, rows: np.ndarray, hour: np.ndarray, device: np.ndarray, ad: np.ndarray
) -> np.ndarray:
    """Logit of the true probability that a click converts within three days; arguments as in `click_logit`."""
    sense = users.price_sense_N[rows][:, None]
    need = np.clip(signals.need, -2, 4)
    intent = 1.5 * signals.cart + 0.4 * need - 1.2 * signals.satisfied
    fit = 0.8 * signals.own_style + 0.5 * signals.style * (1 + signals.decided) + 0.7 * signals.same_item
    price = -1.1 * sense * np.maximum(signals.dear, -0.4) + 0.6 * signals.promoted * sense
    late = (hour.astype(int) % 24 < 7) * -0.3
    person = users.buy_bias_N[rows] + _DEVICE_BUY[device] + late
    return CONVERSION_INTERCEPT + intent + fit + price + world.item_quality_I[world.ad_item_A[ad]] + person[:, None]
