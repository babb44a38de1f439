"""One user whose events and ads a test writes down."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rosa_ray.features import EncodedUsers
from rosa_ray.features.batching import IMPRESSION_INPUTS, LABELS
from rosa_ray.features.encoding import count_visible
from rosa_ray.units import HOUR_US

NOT_READ = sorted({*IMPRESSION_INPUTS, *LABELS} - {"time_us", "item_key", "category_key", "visible"})

Event = tuple[float, int, int, int]
"""Hour, item, category, behaviour."""


def one_user(events: Sequence[Event], shown: Sequence[tuple[float, int, int]]) -> EncodedUsers:
    """A user with some events, and ads (hour, item, category)."""
    hour, item, category, behavior = np.array(events).reshape(-1, 4).T
    at, ad_item, ad_category = np.array(shown).T
    users = EncodedUsers(
        user_key=np.array([7]),
        event_offsets=np.array([0, len(events)]),
        events={
            "time_us": (hour * HOUR_US).astype(np.int64),
            "item_key": item.astype(np.int64),
            "category_key": category.astype(np.int64),
            "behavior": behavior.astype(np.int64),
            **{
                name: np.zeros(len(events), np.int64)
                for name in ("item", "category", "gap", "hour", "weekday", "log_price")
            },
        },
        impression_offsets=np.array([0, len(shown)]),
        impressions={
            "time_us": (at * HOUR_US).astype(np.int64),
            "item_key": ad_item.astype(np.int64),
            "category_key": ad_category.astype(np.int64),
            **{name: np.zeros(len(shown), np.int64) for name in NOT_READ},
        },
        dense=np.zeros((len(shown), 0), np.float32),
    )
    return replace(users, impressions={**users.impressions, "visible": count_visible(users)})
