"""What users do by themselves: session intents that stay, return, or move on to a complement, and a shop funnel."""

import numpy as np

from rosa_ray.schema import Behavior
from rosa_ray.simulation.laws.law import NO_STYLE, Laws
from rosa_ray.simulation.state import RECENT, UserState, fade
from rosa_ray.simulation.users import Users
from rosa_ray.simulation.world import World

_STAY = np.array([0.62, 0.70, 0.25, 0.05])
_MOVE_TO_COMPLEMENT = np.array([0.15, 0.15, 0.55, 0.65])
"""By the behaviour of the last event: view, click, cart, purchase."""


def next_event(
    state: UserState,
    users: Users,
    laws: Laws,
    rows: np.ndarray,
    hour: np.ndarray,
    opens: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the next organic event of some users.

    Args:
        laws: they may send an event elsewhere.
        rows: which users.
        hour: its time, hours since the log's start.
        opens: whether it opens a session.

    Returns:
        item and behaviour code of each event.
    """
    category, style = laws.steer(rows, hour, _next_category(state, users, rows, hour, opens, rng))
    behavior = _next_behavior(state, users, rows, hour, category, rng)
    return _next_item(state, users, rows, category, style, behavior, rng), behavior


def _next_category(
    state: UserState, users: Users, rows: np.ndarray, hour: np.ndarray, opens: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    current, last = state.recent_NR[rows, 0], state.last_behavior_N[rows]
    first, second = rng.random(len(rows)), rng.random(len(rows))
    fresh = _preferred_category(state.world, users, rows, hour, rng)
    earlier = state.recent_NR[rows, rng.integers(0, RECENT, len(rows))]
    earlier = np.where(earlier >= 0, earlier, fresh)
    complement = state.world.complement_C2[current, rng.integers(0, 2, len(rows))]
    moves_on = second < _MOVE_TO_COMPLEMENT[last] * np.where(opens, 0.6, 1.0)
    moved = np.where(moves_on, complement, np.where(second > 0.6, earlier, fresh))
    stays = first < _STAY[last] * np.where(opens, 0.5, 1.0)
    return np.where(current < 0, fresh, np.where(stays, current, moved))


def _preferred_category(
    world: World, users: Users, rows: np.ndarray, hour: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    favourite = users.favourite_NF[rows]
    day = np.minimum(hour // 24, world.drift_CD.shape[1] - 1).astype(int)[:, None]
    index = np.minimum(hour, world.promotion_CH.shape[1] - 1).astype(int)[:, None]
    fashion = np.exp(world.drift_CD[favourite, day] + 0.8 * world.promotion_CH[favourite, index])
    share = np.cumsum(users.favourite_weight_NF[rows] * fashion, axis=1)
    chosen = (share < rng.random((len(rows), 1)) * share[:, -1:]).sum(axis=1)
    return favourite[np.arange(len(rows)), chosen]


def _next_behavior(
    state: UserState, users: Users, rows: np.ndarray, hour: np.ndarray, category: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    cart = fade(hour - state.cart_h_NC[rows, category], 12, 0.6)
    satisfied = fade(hour - state.bought_h_NC[rows, category], 40, 1.6)
    warmth = np.log1p(state.heat_NC[rows, category] * fade(hour - state.last_h_NC[rows, category], 2, 0.6))
    sense = users.price_sense_N[rows]
    p_buy = (0.004 + 0.095 * cart) * (1 - 0.8 * satisfied) * (1.2 - 0.2 * np.minimum(sense, 3))
    p_cart = (0.025 + 0.075 * warmth) * (1 - 0.6 * cart) * (1 - 0.7 * satisfied)
    draw = rng.random(len(rows))
    carts = np.where(draw < p_buy + p_cart, int(Behavior.CART), int(Behavior.VIEW))
    return np.where(draw < p_buy, int(Behavior.PURCHASE), carts)


def _next_item(
    state: UserState,
    users: Users,
    rows: np.ndarray,
    category: np.ndarray,
    asked_style: np.ndarray,
    behavior: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    world = state.world
    last, carted = state.last_item_NC[rows, category], state.cart_item_NC[rows, category]
    draw = rng.random(len(rows))
    last_style = world.item_style_I[np.maximum(last, 0)]
    style = np.where(draw < 0.6, users.style_NC[rows, category], rng.integers(0, world.styles, len(rows)))
    style = np.where((last >= 0) & (draw > 0.8), last_style, style)
    style = np.where(asked_style == NO_STYLE, style, asked_style)
    found = world.draw_items(category, style, rng)
    returns = rng.random(len(rows)) < np.where(behavior == Behavior.VIEW, 0.2, 0.7)
    item = np.where(returns & (last >= 0), last, found)
    return np.where((behavior == Behavior.PURCHASE) & (carted >= 0), carted, item)
