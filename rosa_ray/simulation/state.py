"""What a user's past leaves behind: interest that fades by a power law, open carts, satisfied needs, fatigue.

The order of events matters. A purchase closes a cart and stills the need; a cart after a purchase opens it again. Two
views of one style make a user decided, alternating styles undecided. Rising prices differ from falling ones.
"""

import numpy as np

from rosa_ray.schema import Behavior
from rosa_ray.simulation.world import World

NEVER = -np.inf
RECENT = 4


def fade(age_h: np.ndarray, scale_h: float, exponent: float) -> np.ndarray:
    """What is left of a trace by power-law forgetting, in (0, 1]: 1 at age 0, 0 for what never happened.

    >>> fade(np.array([0.0, 3.0, np.inf]), 1.0, 0.5).tolist()
    [1.0, 0.5, 0.0]
    """
    return (1 + age_h / scale_h) ** -exponent


class UserState:
    """State of n users over C categories, S styles and A ads, advanced event by event.

    Attributes:
        heat_NC: interest in each category as of `last_h_NC` (hours since the log's start).
        style_heat_NCS: the same by sub-style.
        cart_h_NC, cart_item_NC: when the open cart of a category was filled, and with what; NEVER, -1 without one.
        bought_h_NC: last purchase in the category.
        complement_h_NC: last time a cart or purchase elsewhere made this category the next need.
        decided_NC: +1 when the last two items had one style, -1 when they differed, 0 before.
        price_trend_NC: whether the prices looked at rise (+1) or fall (-1), smoothed.
        recent_NR: last distinct categories, newest first, -1 where there is none.
    """

    def __init__(self, users: int, world: World) -> None:
        categories, ads = len(world.popularity_C), len(world.ad_item_A)
        self.world = world
        self.heat_NC = np.zeros((users, categories))
        self.style_heat_NCS = np.zeros((users, categories, world.styles))
        self.last_h_NC = np.full((users, categories), NEVER)
        self.last_item_NC = np.full((users, categories), -1)
        self.cart_h_NC = np.full((users, categories), NEVER)
        self.cart_item_NC = np.full((users, categories), -1)
        self.bought_h_NC = np.full((users, categories), NEVER)
        self.complement_h_NC = np.full((users, categories), NEVER)
        self.decided_NC = np.zeros((users, categories))
        self.price_trend_NC = np.zeros((users, categories))
        self.ad_seen_NA = np.zeros((users, ads), dtype=np.float32)
        self.ad_seen_h_NA = np.full((users, ads), NEVER, dtype=np.float32)
        self.category_seen_NC = np.zeros((users, categories))
        self.category_seen_h_NC = np.full((users, categories), NEVER)
        self.recent_NR = np.full((users, RECENT), -1)
        self.last_h_N = np.full(users, NEVER)
        self.last_behavior_N = np.zeros(users, dtype=int)

    def fold(self, rows: np.ndarray, hour: np.ndarray, item: np.ndarray, behavior: np.ndarray) -> None:
        """Take in one event of each of some distinct users, not earlier than their last one.

        Args:
            rows: which users, distinct.
            hour: event time, hours since the log's start.
            item: item index.
            behavior: codes of `schema.Behavior`.
        """
        category = self.world.item_category_I[item]
        self._warm(rows, hour, item, category)
        self._compare_with_last_item(rows, item, category)
        carted, bought = behavior == Behavior.CART, behavior == Behavior.PURCHASE
        self._fill_carts(rows[carted], hour[carted], item[carted], category[carted])
        self._buy(rows[bought], hour[bought], category[bought])
        self._shift_recent(rows, category)
        self.last_item_NC[rows, category] = item
        self.last_h_N[rows], self.last_behavior_N[rows] = hour, behavior

    def expose(self, rows: np.ndarray, hour: np.ndarray, ad: np.ndarray) -> None:
        """Take in one ad shown to each of some distinct users."""
        category = self.world.ad_category_A[ad]
        faded = self.ad_seen_NA[rows, ad] * fade(hour - self.ad_seen_h_NA[rows, ad], 6, 0.8)
        self.ad_seen_NA[rows, ad], self.ad_seen_h_NA[rows, ad] = 1 + faded, hour
        faded = self.category_seen_NC[rows, category] * fade(hour - self.category_seen_h_NC[rows, category], 6, 0.8)
        self.category_seen_NC[rows, category], self.category_seen_h_NC[rows, category] = 1 + faded, hour

    def _warm(self, rows: np.ndarray, hour: np.ndarray, item: np.ndarray, category: np.ndarray) -> None:
        left = fade(hour - self.last_h_NC[rows, category], 2, 0.6)
        self.heat_NC[rows, category] = 1 + left * self.heat_NC[rows, category]
        self.style_heat_NCS[rows, category] *= left[:, None]
        self.style_heat_NCS[rows, category, self.world.item_style_I[item]] += 1
        self.last_h_NC[rows, category] = hour

    def _compare_with_last_item(self, rows: np.ndarray, item: np.ndarray, category: np.ndarray) -> None:
        last = self.last_item_NC[rows, category]
        other = (last >= 0) & (last != item)
        rows, item, category, last = rows[other], item[other], category[other], last[other]
        same_style = self.world.item_style_I[item] == self.world.item_style_I[last]
        self.decided_NC[rows, category] = np.where(same_style, 1.0, -1.0)
        rise = np.sign(self.world.relative_price_I[item] - self.world.relative_price_I[last])
        self.price_trend_NC[rows, category] = 0.5 * self.price_trend_NC[rows, category] + 0.5 * rise

    def _fill_carts(self, rows: np.ndarray, hour: np.ndarray, item: np.ndarray, category: np.ndarray) -> None:
        self.cart_h_NC[rows, category], self.cart_item_NC[rows, category] = hour, item
        self._call_complements(rows, hour, category)

    def _buy(self, rows: np.ndarray, hour: np.ndarray, category: np.ndarray) -> None:
        self.cart_h_NC[rows, category], self.cart_item_NC[rows, category] = NEVER, -1
        self.complement_h_NC[rows, category] = NEVER
        self.bought_h_NC[rows, category] = hour
        self.heat_NC[rows, category] *= 0.2
        self._call_complements(rows, hour, category)

    def _call_complements(self, rows: np.ndarray, hour: np.ndarray, category: np.ndarray) -> None:
        for side in range(2):
            self.complement_h_NC[rows, self.world.complement_C2[category, side]] = hour

    def _shift_recent(self, rows: np.ndarray, category: np.ndarray) -> None:
        moved = self.recent_NR[rows, 0] != category
        rows, category = rows[moved], category[moved]
        self.recent_NR[rows, 1:] = self.recent_NR[rows, :-1]
        self.recent_NR[rows, 0] = category
