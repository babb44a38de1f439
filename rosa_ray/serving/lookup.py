"""The feature lookup: reads a user and the candidates' counters at one moment, and writes events.

Users, counters and events each have a link to the store of their own. So a lock that stops a write, or counters that
are slow to read, make nobody cold. When the store is down the lookup answers from what it read last, then with the
features of an unknown user, and says so. When it has more to do than it can, it says that instead.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import OverloadError, StoreError
from rosa_ray.features import CounterStates, FeatureState, fold_records
from rosa_ray.features.changes import Changes
from rosa_ray.serving.ad_counters import AdCounters
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.messages import FeatureQuery, Features, Written
from rosa_ray.serving.own_columns import OwnColumns
from rosa_ray.serving.plausible import plausible_features, plausible_user
from rosa_ray.serving.recent_users import RecentUsers
from rosa_ray.serving.refresher import Later, Refresher
from rosa_ray.serving.request_counters import RequestCounters
from rosa_ray.serving.request_features import (
    blocks_of,
    cold_start_features,
    events_before,
    features_at_request,
    no_events,
)
from rosa_ray.serving.store_link import StoreLink
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.store import OnlineStore, UserRecord

_DEADLINE_SHARE = 0.8
"""Of the lookup's deadline: then it still has time to answer from what it knows."""


@dataclass
class _Reading:
    """One request on its way; `record` once its user was read."""

    query: FeatureQuery
    started: bool = False
    record: UserRecord | None = None


class FeatureLookup:
    """Features of one request from the online store.

    Args:
        open_store: connects to the store; called for each link, and again after a failure.
        context_events: events of a timeline that the ranker can use.
    """

    def __init__(
        self,
        open_store: Callable[[], OnlineStore],
        features: FeatureState,
        context_events: int,
        config: ServingConfig,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._features, self._fingerprint = features.config, features.fingerprint
        self._context_events = context_events
        self._telemetry = telemetry or Telemetry()
        self._deadline_s = config.lookup_deadline_ms / 1000
        retry_s, ttl_s, stale_s = config.store_retry_s, config.counter_ttl_s, config.counter_stale_s
        self._of_users = StoreLink(open_store, retry_s, slow_s=self._deadline_s / 2)
        self._of_counters = StoreLink(open_store, retry_s)
        self._of_events = StoreLink(open_store, retry_s, locked_breaks=True)
        self._counters = AdCounters(features.config, self._read_counters, ttl_s, stale_s)
        self._own = OwnColumns(features.config.columns, self._read_columns, ttl_s, stale_s)
        self._asked = RequestCounters(features.config, self._read_counters, ttl_s, stale_s)
        self._users = RecentUsers[UserRecord](config.cached_users, config.user_memory_s)
        self._users_lock = threading.Lock()
        self._refresher = Refresher(lambda error: self._telemetry.failed("refresh", error))
        self._readers = ThreadPoolExecutor(config.lookup_threads, "lookup")
        self._writer = ThreadPoolExecutor(1, "events")
        self._writing, self._most_writing = 0, config.max_waiting_writes

    async def read(self, query: FeatureQuery) -> Features:
        """Return the features of a request; degraded, not failed, when the store is down or slow.

        Raises:
            OverloadError: other requests left no time to look at this one.
            StoreError: the asking model has other features than this lookup.
        """
        reading = _Reading(query)
        if self._of_users.hangs():
            return self._read_known(reading)
        work = asyncio.get_running_loop().run_in_executor(self._readers, self._read, reading, self._refresher.later)
        done, _ = await asyncio.wait({work}, timeout=self._deadline_s * _DEADLINE_SHARE)
        if done:
            return work.result()
        work.cancel()
        work.add_done_callback(_retrieve)
        if not reading.started and not self._of_users.hangs() and not self._of_users.broken:
            raise OverloadError("feature lookup: other requests left no time for this one")
        return self._read_known(reading)

    async def write(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written:
        """Store live records (`RECORD_COLUMNS`), each id of a kind once, and changes; the next `read` sees them.

        Raises:
            OverloadError: too many wait for the store already; nothing was stored.
            StoreError: the store is down; nothing was stored.
        """
        if self._writing >= self._most_writing:
            raise OverloadError(f"feature lookup: {self._writing} batches of events wait for the store already")
        self._writing += 1
        work = asyncio.get_running_loop().run_in_executor(self._writer, self.write_now, records, changes)
        work.add_done_callback(self._wrote)
        return await asyncio.shield(work)

    async def describe(self) -> dict[str, Any]:
        """Return the condition of the store.

        Raises:
            StoreError: the store is down or was filled for other features.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._describe)

    def read_now(self, query: FeatureQuery) -> Features:
        """`read` in the calling thread, without a deadline; what has aged is read again at once."""
        return self._read(_Reading(query))

    def write_now(self, records: dict[str, np.ndarray], changes: Sequence[Changes] = ()) -> Written:
        """`write` in the calling thread."""
        result = self._of_events.ask(lambda store: store.apply(records, (), changes))
        self.forget(records if result.accepted else {}, changes)
        return Written(result.accepted, result.duplicates, tuple(result.late_rows.tolist()))

    def forget(self, records: Columns, changes: Sequence[Changes] = ()) -> None:
        """Let go of what records and changes in the store made old; without records, of what changes did."""
        self._own.forget(changes)
        if records:
            changed = fold_records(records, self._features)
            self._counters.forget(changed)
            self._asked.forget(changed)

    def forget_columns(self) -> None:
        """Read columns of items and ads again: another process changed them. Without this they are read when aged."""
        self._own.clear()

    def close(self) -> None:
        """Close the connections; the next call connects again."""
        for link in (self._of_users, self._of_counters, self._of_events):
            link.close()

    def _wrote(self, work: asyncio.Future[Written]) -> None:
        self._writing -= 1
        _retrieve(work)

    def _describe(self) -> dict[str, Any]:
        return asdict(self._of_users.ask(lambda store: store.info()))

    def _read(self, reading: _Reading, later: Later | None = None) -> Features:
        reading.started = True
        query, ads = reading.query, self._keys_of(reading.query)
        try:
            reading.record = self._read_user(query.user_key)
            return self._with_user(query, ads, reading.record, later)
        except StoreError as error:
            self._telemetry.failed("store", error)
            return self._read_known(reading)

    def _read_known(self, reading: _Reading) -> Features:
        """The user and the ads as last read, without the store; of what was never read nothing is known."""
        query, record, ads = reading.query, reading.record, self._keys_of(reading.query)
        if record is None:
            with self._users_lock:
                record = self._users.get(query.user_key) or unknown_user(query.user_key)
        try:
            return _degraded(self._with_user(query, ads, record, held=True))
        except StoreError:
            return _degraded(cold_start_features(query, self._features))

    def _keys_of(self, query: FeatureQuery) -> dict[str, np.ndarray]:
        """What the catalogue tells of the candidates of a model with the same features.

        Raises:
            StoreError: the model has other features.
        """
        if query.feature_fingerprint != self._fingerprint:
            raise StoreError(
                f"feature lookup computes features {self._fingerprint}, the model needs {query.feature_fingerprint}; "
                "wait until the new bundle is deployed everywhere"
            )
        return query.of_ads()

    def _with_user(
        self, query: FeatureQuery, ads: Columns, record: UserRecord, later: Later | None = None, held: bool = False
    ) -> Features:
        """Features of a request whose user was read; impossible ones are missing, and degrade the answer.

        Raises:
            StoreError: the store is down, or what it holds cannot be read.
        """
        record, odd = plausible_user(record, self._features)
        try:
            features, odd_ads = self._compose(query, ads, record, later, held)
        except (ValueError, OverflowError) as error:
            raise StoreError(f"store: what it holds cannot be read ({error})") from error
        features, odd_values = plausible_features(features, query.bid)
        if not odd and not odd_ads and not odd_values:
            return features
        self._telemetry.impossible([*odd, *["counters"] * odd_ads, *["features"] * odd_values])
        return _degraded(features)

    def _compose(
        self, query: FeatureQuery, ads: Columns, record: UserRecord, later: Later | None, held: bool
    ) -> tuple[Features, bool]:
        counters, time_us = self._counters, query.time_us
        dense, costs, odd = counters.read_held(ads, time_us) if held else counters.read(ads, time_us, later)
        events = events_before(record, time_us, self._context_events)
        own: Columns = {}
        if self._own.declared:
            own, shared = self._own.read(query, ads["item_key"], events, record.columns, held, later)
            events = {**events, **shared}
        blocks = blocks_of(counters.views, dense)
        if self._asked.views:
            columns = {**ads, "user_key": np.full(len(query.ad_key), query.user_key), **query.columns, **own}
            asked = self._asked
            dense, odd_asked = asked.read_held(columns, time_us) if held else asked.read(columns, time_us, later)
            blocks |= blocks_of(asked.views, dense)
            odd |= odd_asked
        features = features_at_request(query, record, events, blocks, costs, self._features)
        return (replace(features, own=own) if own else features), odd

    def _read_user(self, user_key: int) -> UserRecord:
        record = self._of_users.ask(lambda store: store.read_user(user_key))
        with self._users_lock:
            self._users.put(user_key, record, size=1)
        return record

    def _read_counters(self, view: str, entity_keys: np.ndarray) -> CounterStates:
        return self._of_counters.ask(lambda store: store.read_counters(view, entity_keys))

    def _read_columns(self, prefix: str, keys: np.ndarray) -> list[bytes]:
        return self._of_counters.ask(lambda store: store.read_columns(prefix, keys))


def unknown_user(user_key: int) -> UserRecord:
    """The record of a user that the store does not know."""
    timeline = {**no_events(), "event_id": np.empty(0, object)}
    return UserRecord(user_key, timeline, None, {}, "")


def _degraded(features: Features) -> Features:
    return replace(features, degraded=("store",))


def _retrieve(work: "asyncio.Future[Any]") -> None:
    """Take the error of work that nobody waits for any more, so that it is not reported as lost."""
    if not work.cancelled():
        work.exception()
