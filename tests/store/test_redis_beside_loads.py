"""Redis while several do different things at once: records come, models are loaded and dropped, users are read."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rosa_ray.features import FeatureConfig, counting_fingerprint
from rosa_ray.schema import hash_id
from rosa_ray.store import OnlineStore, StoreConfig, open_store
from rosa_ray.units import HOUR_US, MINUTE_US
from tests.contracts.stores import FEATURES, KEEP, T0, VERSION, columns_of, load, require_one_pass

FINER = FeatureConfig(views=("user_events", "item_events"), bucket_minutes=15)
USERS = [f"user-{number}" for number in range(8)]
LOADS = 6


def test_nothing_is_lost_while_models_come_and_go(redis_url: str) -> None:
    config = StoreConfig(
        kind="redis",
        url=redis_url,
        namespace=uuid.uuid4().hex,
        max_timeline_events=KEEP,
        counter_days=3650,
        timeout_ms=30_000,
        kept_versions=1,
    )
    rng = np.random.default_rng(5)
    rows = [
        (f"e{row:04d}", USERS[int(rng.integers(8))], T0 + int(rng.integers(90)) * 17 * MINUTE_US) for row in range(900)
    ]
    logged, live = rows[:100], rows[100:]
    writer, loader = (open_store(config, FEATURES, "model-0", create=True) for _ in range(2))
    failed: list[BaseException] = []
    done = threading.Event()

    def apply_all() -> None:
        for start in range(0, len(live), 9):
            assert writer.apply(columns_of(live[start : start + 9])).late == 0

    def load_all() -> None:
        for number in range(LOADS):
            version = replace(VERSION, as_of_us=T0 + number * HOUR_US, source=f"log-{number}")
            features = FINER if number == 2 else FEATURES
            version = replace(version, counting_fingerprint=counting_fingerprint(features))
            with open_store(config, features, f"model-{number}", create=True) as store:
                load(store, logged, version, f"model-{number}", features)
                store.activate(version, f"model-{number}")

    def read_on() -> None:
        while not done.is_set():
            for user in USERS:
                loader.read_user(hash_id(user))

    threads = [threading.Thread(target=_noting(work, failed)) for work in (apply_all, load_all)]
    reader = threading.Thread(target=_noting(read_on, failed))
    for thread in (*threads, reader):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    assert failed == []
    stores: list[OnlineStore] = [writer, open_store(config, FEATURES, f"model-{LOADS - 1}")]
    for store in stores:
        assert store.apply(columns_of(rows)).duplicates == len(rows)
        require_one_pass(store, rows)
    held = stores[-1].info()
    assert [one.models[0] for one in held.held] == [f"model-{LOADS - 1}", f"model-{LOADS - 2}"]
    assert held.journal_records == len(live)
    for store in (*stores, loader):
        store.close()


def _noting(work: Callable[[], None], failed: list[BaseException]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    return run
