"""Posted events: from the interface to the columns of the store, with those of the future held back."""

import numpy as np

from rosa_ray.schema import Behavior, hash_id
from rosa_ray.serving.api import EventBatch, EventIn, RejectedEvent, to_us
from rosa_ray.units import SECOND_US


def as_list(body: EventIn | EventBatch) -> list[EventIn]:
    """The events of a single or batch body."""
    return body.events if isinstance(body, EventBatch) else [body]


def split_future(events: list[EventIn], now_us: int, max_future_s: int) -> tuple[np.ndarray, list[RejectedEvent]]:
    """Positions of the events to store, and the events that lie too far ahead of the clock, which would move the
    horizon of late events for everyone.
    """  # noqa: D205
    latest_us = now_us + max_future_s * SECOND_US
    ahead = np.array([to_us(event.event_time) > latest_us for event in events])
    reason = f"event_time is more than {max_future_s} s ahead of the server's clock"
    return np.flatnonzero(~ahead), [RejectedEvent(index=int(row), reason=reason) for row in np.flatnonzero(ahead)]


def event_store_columns(events: list[EventIn]) -> dict[str, np.ndarray]:
    """Columns that `OnlineStore.apply_events` takes, each (n,)."""
    return {
        "event_id": np.array([event.event_id for event in events], object),
        "user_id": np.array([event.user_id for event in events], object),
        "user_key": np.array([hash_id(event.user_id) for event in events], np.int64),
        "time_us": np.array([to_us(event.event_time) for event in events], np.int64),
        "item_key": np.array([hash_id(event.item_id) for event in events], np.int64),
        "category_key": np.array([hash_id(event.category) for event in events], np.int64),
        "behavior": np.array([Behavior[event.behavior.upper()] for event in events], np.int8),
        "price": np.array([np.nan if event.price is None else event.price for event in events], np.float32),
    }
