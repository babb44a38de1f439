"""Opens a store by the name of its kind: each module of `rosa_ray.store.backends` is one implementation."""

import importlib

from rosa_ray.features import FeatureConfig
from rosa_ray.store import backends
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.protocol import OnlineStore


def open_store(
    config: StoreConfig,
    features: FeatureConfig | None,
    model_version: str = "",
    *,
    user_key_id: str = "",
    create: bool = False,
) -> OnlineStore:
    """Open the online store as one model reads it.

    The reader is given the generation that was activated last for its model. Where there is none, it is given the one
    activated last that is counted by its features, and finds no states there.

    Args:
        features: of the caller; None reads the active generation by its own features, for tools that compute none.
        model_version: of the bundle whose states are read; empty reads none.
        user_key_id: of the secret that user ids are made pseudonyms with; empty when they are plain.
        create: make an empty store where there is none. A store that holds other features alone is opened too, so that
            a log can be loaded into it; reading it raises.

    Raises:
        StoreError: the store is missing, damaged, locked, of another schema version or of other features.
    """
    module = importlib.import_module(f"{backends.__name__}.{config.kind}")
    store: OnlineStore = module.Store(config, features, model_version, user_key_id=user_key_id, create=create)
    return store
