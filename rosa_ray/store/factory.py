"""Opens a store by the name of its kind: each module of `rosa_ray.store.backends` is one implementation."""

import importlib

from rosa_ray.features import FeatureConfig
from rosa_ray.store import backends
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.protocol import OnlineStore


def open_store(
    config: StoreConfig, features: FeatureConfig, feature_fingerprint: str | None = None, *, create: bool = False
) -> OnlineStore:
    """Open the online store.

    Args:
        features: decides which counters are kept and how times fall into buckets.
        feature_fingerprint: of the caller's features; None takes any, for tools that compute none.
        create: make an empty store where there is none.

    Raises:
        StoreError: the store is missing, damaged, locked, of another schema version or of other features.
    """
    module = importlib.import_module(f"{backends.__name__}.{config.kind}")
    store: OnlineStore = module.Store(config, features, feature_fingerprint, create=create)
    return store
