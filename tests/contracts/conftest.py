"""Stores of every kind, for the contract suite."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rosa_ray.features import FeatureConfig
from rosa_ray.store import OnlineStore, StoreConfig, open_store, store_kinds
from tests.contracts.stores import FEATURES, KEEP, MODEL, Open


@pytest.fixture(params=store_kinds())
def open_(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store again and again, and closes all at the end."""
    opened: list[OnlineStore] = []
    run = uuid.uuid4().hex

    def open_one(
        name: str = "store.db",
        features: FeatureConfig | None = FEATURES,
        model: str = MODEL,
        user_key_id: str = "",
        **settings: object,
    ) -> OnlineStore:
        chosen = {
            "max_timeline_events": KEEP,
            "states_dtype": "float32",
            "counter_days": 3650,
            "timeout_ms": 30_000,
            **settings,
        }
        where = {"path": str(tmp_path / name), "url": redis_url, "namespace": f"{run}-{name}"}
        config = StoreConfig(kind=request.param, **where, **chosen)
        opened.append(open_store(config, features, model, user_key_id=user_key_id, create=True))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture(scope="session")
def open_fresh(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[OnlineStore]]:
    """Opens an empty store of each kind, for properties that need one per example."""

    def open_all(features: FeatureConfig = FEATURES) -> list[OnlineStore]:
        return [open_one(features, MODEL) for open_one in openers()]

    openers = _openers(redis_url, tmp_path_factory)
    return open_all


@pytest.fixture(scope="session")
def open_empty(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], list[Open]]:
    """Gives of each kind what opens one store for several models, empty at first."""
    return _openers(redis_url, tmp_path_factory)


def _openers(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], list[Open]]:
    def opener(config: StoreConfig) -> Open:
        return lambda features, model: open_store(config, features, model, create=True)

    def of_all_kinds() -> list[Open]:
        where = {"url": redis_url, "namespace": uuid.uuid4().hex}
        path = str(tmp_path_factory.mktemp("fresh") / "store.db")
        return [
            opener(
                StoreConfig(
                    kind=kind, path=path, max_timeline_events=KEEP, counter_days=3650, timeout_ms=30_000, **where
                )
            )
            for kind in store_kinds()
        ]

    return of_all_kinds


@pytest.fixture
def store(open_: Open) -> OnlineStore:
    return open_()
