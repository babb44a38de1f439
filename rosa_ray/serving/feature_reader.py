"""Reads the features of one request in the calling thread: of the user, of the candidates, and of both together."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import CounterStates, FeatureState, fold_records, no_events
from rosa_ray.features.changes import Changes
from rosa_ray.serving.ad_counters import AdCounters
from rosa_ray.serving.config import ServingConfig
from rosa_ray.serving.messages import FeatureQuery, Features
from rosa_ray.serving.own_columns import OwnColumns
from rosa_ray.serving.plausible import plausible_features, plausible_user
from rosa_ray.serving.recent_users import RecentUsers
from rosa_ray.serving.refresher import Later
from rosa_ray.serving.request_counters import RequestCounters
from rosa_ray.serving.request_features import blocks_of, cold_start_features, events_before, features_at_request
from rosa_ray.serving.store_link import StoreLink
from rosa_ray.serving.telemetry import Telemetry
from rosa_ray.store import OnlineStore, UserRecord


@dataclass
class Reading:
    """One request on its way.

    Attributes:
        started: a thread has begun with it.
        record: what the store holds of the user, once it was read.
    """

    query: FeatureQuery
    started: bool = False
    record: UserRecord | None = None


@dataclass(frozen=True)
class How:
    """How counters and columns are read.

    Attributes:
        later: takes what can be read again in the background; without it all of that is read at once.
        wait: False does not ask the store, and raises NotHeldError where it would have to be asked.
        held: what was read before is taken at any age; of what never was, nothing is known.
    """

    later: Later | None = None
    wait: bool = True
    held: bool = False


NOW, HELD = How(), How(held=True)


class FeatureReader:
    """Features from the online store; safe in several threads.

    Users and counters have a link to the store each, so that counters that are slow to read make nobody cold.

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
        telemetry: Telemetry,
    ) -> None:
        self._features, self._fingerprint = features.config, features.fingerprint
        self._context_events = context_events
        self._telemetry = telemetry
        retry_s, ttl_s, stale_s = config.store_retry_s, config.counter_ttl_s, config.counter_stale_s
        self.of_users = StoreLink(open_store, retry_s, slow_s=config.lookup_deadline_ms / 2000)
        self.of_counters = StoreLink(open_store, retry_s)
        self._counters = AdCounters(features.config, self._read_counters, ttl_s, stale_s)
        self._own = OwnColumns(features.config.columns, self._read_columns, ttl_s, stale_s)
        self._asked = RequestCounters(features.config, self._read_counters, ttl_s, stale_s)
        self._users = RecentUsers[UserRecord](config.cached_users, config.user_memory_s)
        self._users_lock = threading.Lock()

    def read(self, reading: Reading, how: How = NOW) -> Features:
        """Read the features of a request; degraded, not failed, when the store is down.

        Raises:
            NotHeldError: the store would have to be asked for counters or columns, against `how`.
            StoreError: the asking model has other features.
        """
        reading.started = True
        query, ads = reading.query, self._keys_of(reading.query)
        try:
            if reading.record is None:
                reading.record = self._read_user(query.user_key)
            return self._with_user(query, ads, reading.record, how)
        except StoreError as error:
            self._telemetry.failed("store", error)
            return self.read_held(reading)

    def read_held(self, reading: Reading) -> Features:
        """The user and the ads as last read, without the store; of what was never read nothing is known.

        Raises:
            StoreError: the asking model has other features.
        """
        query, record, ads = reading.query, reading.record, self._keys_of(reading.query)
        if record is None:
            with self._users_lock:
                record = self._users.get(query.user_key) or unknown_user(query.user_key)
        try:
            return _degraded(self._with_user(query, ads, record, HELD))
        except StoreError:
            return _degraded(cold_start_features(query, self._features))

    def forget(self, records: Columns, changes: Sequence[Changes]) -> None:
        """Let go of what records and changes in the store made old; without records, of what changes did."""
        self._own.forget(changes)
        if records:
            changed = fold_records(records, self._features)
            self._counters.forget(changed)
            self._asked.forget(changed)

    def forget_columns(self) -> None:
        """Read columns of items and ads again."""
        self._own.clear()

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

    def _with_user(self, query: FeatureQuery, ads: Columns, record: UserRecord, how: How) -> Features:
        """Features of a request whose user was read; impossible ones are missing, and degrade the answer.

        Raises:
            StoreError: the store is down, or what it holds cannot be read.
        """
        record, odd = plausible_user(record, self._features)
        try:
            features, odd_ads = self._compose(query, ads, record, how)
        except (ValueError, OverflowError) as error:
            raise StoreError(f"store: what it holds cannot be read ({error})") from error
        features, odd_values = plausible_features(features, query.bid)
        if not odd and not odd_ads and not odd_values:
            return features
        self._telemetry.impossible([*odd, *["counters"] * odd_ads, *["features"] * odd_values])
        return _degraded(features)

    def _compose(self, query: FeatureQuery, ads: Columns, record: UserRecord, how: How) -> tuple[Features, bool]:
        time_us, counters = query.time_us, self._counters
        events = events_before(record, time_us, self._context_events)
        if how.held:
            dense, costs, odd = counters.read_held(ads, time_us)
        else:
            dense, costs, odd = counters.read(ads, time_us, how.later, how.wait)
        own: Columns = {}
        if self._own.declared:
            own, shared = self._own.read(query, ads["item_key"], events, record.columns, how.held, how.later, how.wait)
            events = {**events, **shared}
        blocks = blocks_of(counters.views, dense)
        if self._asked.views:
            columns = {**ads, "user_key": np.full(len(query.ad_key), query.user_key), **query.columns, **own}
            dense, odd_asked = self._read_asked(columns, time_us, how)
            blocks |= blocks_of(self._asked.views, dense)
            odd |= odd_asked
        features = features_at_request(query, record, events, blocks, costs, self._features)
        return (replace(features, own=own) if own else features), odd

    def _read_asked(self, columns: Columns, time_us: int, how: How) -> tuple[np.ndarray, bool]:
        if how.held:
            return self._asked.read_held(columns, time_us)
        return self._asked.read(columns, time_us, how.later, how.wait)

    def _read_user(self, user_key: int) -> UserRecord:
        record = self.of_users.ask(lambda store: store.read_user(user_key))
        with self._users_lock:
            self._users.put(user_key, record, size=1)
        return record

    def _read_counters(self, view: str, entity_keys: np.ndarray, since_bucket: int) -> CounterStates:
        return self.of_counters.ask(lambda store: store.read_counters(view, entity_keys, since_bucket))

    def _read_columns(self, prefix: str, keys: np.ndarray) -> list[bytes]:
        return self.of_counters.ask(lambda store: store.read_columns(prefix, keys))


def unknown_user(user_key: int) -> UserRecord:
    """The record of a user that the store does not know."""
    timeline = {**no_events(), "event_id": np.empty(0, object)}
    return UserRecord(user_key, timeline, None, {}, "")


def _degraded(features: Features) -> Features:
    return replace(features, degraded=("store",))
