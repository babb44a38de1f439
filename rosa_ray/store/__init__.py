"""The online store: timelines, encoder states and counters of every user, updated by events and read by requests."""

from rosa_ray.store.backends import store_kinds
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.factory import open_store
from rosa_ray.store.protocol import (
    ApplyResult,
    HeldGeneration,
    LoadProgress,
    OnlineStore,
    StateBlock,
    StoredStates,
    StoreInfo,
    StoreVersion,
    StreamPosition,
    TimelineBlock,
    UserRecord,
)

__all__ = [
    "ApplyResult",
    "HeldGeneration",
    "LoadProgress",
    "OnlineStore",
    "StateBlock",
    "StoreConfig",
    "StoreInfo",
    "StoreVersion",
    "StoredStates",
    "StreamPosition",
    "TimelineBlock",
    "UserRecord",
    "open_store",
    "store_kinds",
]
