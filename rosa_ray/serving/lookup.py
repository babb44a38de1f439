"""The feature lookup: reads a user and the candidates' counters at one moment, and writes events.

Its one replica is the store's only writer. When the store is down it answers from what it read last, then with the
features of an unknown user, and says so.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any, TypeVar

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import CounterStates, FeatureState, RecordKind
from rosa_ray.features.changes import Changes
from rosa_ray.serving.ad_counters import AdCounters
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.messages import FeatureQuery, Features, Written
from rosa_ray.serving.own_columns import OwnColumns
from rosa_ray.serving.recent_users import RecentUsers
from rosa_ray.serving.request_counters import RequestCounters
from rosa_ray.serving.request_features import (
    blocks_of,
    cold_start_features,
    events_before,
    features_at_request,
    no_events,
)
from rosa_ray.store import OnlineStore, UserRecord

Answer = TypeVar("Answer")


class FeatureLookup:
    """Features of one request from the online store.

    Args:
        open_store: connects to the store; called again after a failure.
        context_events: events of a timeline that the encoder can use.
    """

    def __init__(
        self,
        open_store: Callable[[], OnlineStore],
        features: FeatureState,
        context_events: int,
        config: ServingConfig,
    ) -> None:
        self._open_store = open_store
        self._features, self._fingerprint = features.config, features.fingerprint
        self._context_events = context_events
        self._counters = AdCounters(features.config, self._read_counters, config.counter_ttl_s)
        self._own = OwnColumns(features.config.columns, self._read_columns, config.counter_ttl_s)
        self._asked = RequestCounters(features.config, self._read_counters, config.counter_ttl_s)
        self._users = RecentUsers[UserRecord](config.cached_users, config.user_memory_s)
        self._retry_s = config.store_retry_s
        self._store: OnlineStore | None = None
        self._down_until_s, self._failure = 0.0, StoreError("store: not opened")
        self._executor = ThreadPoolExecutor(1, "lookup")

    async def read(self, query: FeatureQuery) -> Features:
        """Return the features of a request; degraded, not failed, when the store is down.

        Raises:
            StoreError: the asking model has other features than this lookup.
        """
        return await self._run(self.read_now, query)

    async def write(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written:
        """Store live records (`RECORD_COLUMNS`), each id of a kind once, and changes; the next `read` sees them.

        Raises:
            StoreError: the store is down; nothing was stored.
        """
        return await self._run(self.write_now, records, changes)

    async def describe(self) -> dict[str, Any]:
        """Return the condition of the store.

        Raises:
            StoreError: the store is down or was filled for other features.
        """
        return await self._run(self._describe)

    def read_now(self, query: FeatureQuery) -> Features:
        """`read` in the calling thread."""
        if query.feature_fingerprint != self._fingerprint:
            raise StoreError(
                f"feature lookup computes features {self._fingerprint}, the model needs {query.feature_fingerprint}; "
                "wait until the new bundle is deployed everywhere"
            )
        try:
            return self._read(query, self._read_user(query.user_key))
        except StoreError:
            return self._read_without_store(query)

    def write_now(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written:
        """`write` in the calling thread."""
        result = self._ask(lambda store: store.apply(records, (), changes))
        self._own.forget(changes)
        at_request = np.isin(records["kind"], (RecordKind.IMPRESSION, RecordKind.CLICK))
        changed_us = np.where(at_request, records["shown_us"], records["time_us"])
        self._counters.forget(changed_us)
        self._asked.forget(changed_us)
        return Written(result.accepted, result.duplicates, tuple(result.late_rows.tolist()))

    def forget_columns(self) -> None:
        """Read columns of items and ads again: another process changed them. Without this they are read when aged."""
        self._own.clear()

    async def _run(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def _describe(self) -> dict[str, Any]:
        return asdict(self._ask(lambda store: store.info()))

    def _read(self, query: FeatureQuery, record: UserRecord, held: bool = False) -> Features:
        ads = query.of_ads()
        ad_dense, cost_states = self._counters.read(ads, query.time_us)
        events = events_before(record, query.time_us, self._context_events)
        own: Columns = {}
        if self._own.declared:
            own, shared = self._own.read(query, ads["item_key"], events, record.columns, held)
            events = {**events, **shared}
        blocks = blocks_of(self._counters.views, ad_dense)
        if self._asked.views:
            columns = {**ads, "user_key": np.full(len(query.ad_key), query.user_key), **query.columns, **own}
            blocks |= blocks_of(self._asked.views, self._asked.read(columns, query.time_us))
        features = features_at_request(query, record, events, blocks, cost_states, self._features)
        return replace(features, own=own) if own else features

    def _read_without_store(self, query: FeatureQuery) -> Features:
        """The user as last read and the ads as far as their counters are known; else what an unknown one has."""
        record = self._users.get(query.user_key) or unknown_user(query.user_key)
        try:
            return replace(self._read(query, record, held=True), degraded=("store",))
        except StoreError:
            return replace(cold_start_features(query, self._features), degraded=("store",))

    def _read_user(self, user_key: int) -> UserRecord:
        record = self._ask(lambda store: store.read_user(user_key))
        self._users.put(user_key, record, size=1)
        return record

    def _read_counters(self, view: str, entity_keys: np.ndarray) -> CounterStates:
        return self._ask(lambda store: store.read_counters(view, entity_keys))

    def _read_columns(self, prefix: str, keys: np.ndarray) -> list[bytes]:
        return self._ask(lambda store: store.read_columns(prefix, keys))

    def _ask(self, question: Callable[[OnlineStore], Answer]) -> Answer:
        """Ask the store. After a failure, fail at once for a while, then connect again."""
        if time.monotonic() < self._down_until_s:
            raise self._failure
        try:
            self._store = self._store or self._open_store()
            return question(self._store)
        except StoreError as error:
            self._failure, self._down_until_s = error, time.monotonic() + self._retry_s
            store, self._store = self._store, None
            if store is not None:
                store.close()
            raise


def unknown_user(user_key: int) -> UserRecord:
    """The record of a user that the store does not know."""
    timeline = {**no_events(), "event_id": np.empty(0, object)}
    return UserRecord(user_key, timeline, None, {}, "")
