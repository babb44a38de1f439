"""The Redis implementation of `rosa_ray.store.OnlineStore`."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import VIEWS, Counters, CounterStates, FeatureConfig
from rosa_ray.features.ad_changes import AdLog
from rosa_ray.features.changes import Changes
from rosa_ray.features.counting import counted_views
from rosa_ray.features.own import of_prefix
from rosa_ray.features.records import take_records
from rosa_ray.features.views import OF_USERS, measures_of, view_named
from rosa_ray.schema.own_columns import ENTITIES, USER
from rosa_ray.store.backends.redis import activation, ads, columns, generations, loading
from rosa_ray.store.backends.redis.connection import SCHEMA_VERSION, Argument, Connection
from rosa_ray.store.backends.redis.counters import (
    CHUNK_BUCKETS,
    counters_of_fields,
    kept_arguments,
    load_counters,
)
from rosa_ray.store.backends.redis.eviction import require_no_eviction
from rosa_ray.store.backends.redis.records import record_arguments, unpack_ids
from rosa_ray.store.config import DEFAULT_TIMELINE_EVENTS, StoreConfig
from rosa_ray.store.packing import unpack_records, unpack_states
from rosa_ray.store.protocol import (
    ApplyResult,
    StateBlock,
    StoredStates,
    StoreInfo,
    StoreVersion,
    StreamPosition,
    TimelineBlock,
    UserRecord,
    merge_results,
)
from rosa_ray.store.windows import Kept

_EXPIRE_USERS = 20
_ENTITIES = 1000


class Store:
    """An open store on a Redis server. Safe to use from several threads and processes, also for writing.

    A batch of more than `activation.BATCH_RECORDS` records is applied in parts, in order, each whole or not at all. The
    positions of streams move with the last. One that breaks off is repeated whole: records once applied are
    duplicates then. Changes of users, items and ads come before the records, each thing by itself.
    """

    def __init__(
        self, config: StoreConfig, features: FeatureConfig, feature_fingerprint: str | None, *, create: bool
    ) -> None:
        self._config, self._features, self._fingerprint = config, features, feature_fingerprint
        self._user_views = [view.name for view in counted_views(features) if view.entity == "user_key"]
        self._declared = {prefix for prefix in ENTITIES if of_prefix(prefix, features.columns)}
        self._kept = Kept.of(features, config, CHUNK_BUCKETS)
        self._connection = Connection(config)
        require_no_eviction(self._connection)
        if create:
            bound = config.max_timeline_events or DEFAULT_TIMELINE_EVENTS
            generations.create(self._connection, feature_fingerprint or "", bound)
        self._require_features(self._active().version.feature_fingerprint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def read_user(self, user_key: int) -> UserRecord:
        """See `OnlineStore.read_user`."""
        key = int(user_key)
        asked: list[Argument] = [len(self._user_views), *self._user_views, int(USER in self._declared)]
        answer = self._connection.run("read_user", *kept_arguments(self._kept), key, *asked)
        _, identity, held, first_chunk, counters, packed_columns = answer
        model = self._require_identity(identity)
        records, ids, packed, last_id, stale = held
        timeline = unpack_records(records or b"") | {"event_id": np.array(unpack_ids(ids or b""), dtype=object)}
        states = None
        if packed is not None:
            states = StoredStates(model, last_id.decode(), *unpack_states(packed), stale=stale is not None)
        return UserRecord(
            user_key=key,
            timeline=timeline,
            states=states,
            counters={
                view: self._counters_of(view, [key], [fields], first_chunk, None)
                for view, fields in zip(self._user_views, counters, strict=True)
            },
            model_version=model,
            columns=packed_columns,
        )

    def read_counters(self, view: str, entity_keys: np.ndarray, since_bucket: int | None = None) -> CounterStates:
        """See `OnlineStore.read_counters`."""
        if view_named(view) is None:
            raise StoreError(f"store {self._connection.where}: has no view '{view}'; views are {', '.join(VIEWS)}")
        keys = np.unique(np.asarray(entity_keys, np.int64)).tolist()
        since: int | str = "-inf" if since_bucket is None else since_bucket // CHUNK_BUCKETS
        parts: list[Counters] = []
        for start in range(0, max(len(keys), 1), _ENTITIES):
            chosen = keys[start : start + _ENTITIES]
            asked: list[Argument] = [*kept_arguments(self._kept), view, since, len(chosen), *chosen]
            _, identity, first_chunk, found = self._connection.run("read_counters", *asked)
            self._require_identity(identity)
            parts.append(self._counters_of(view, chosen, found, first_chunk, since_bucket))
        return {view: parts[0].merge(*parts[1:])}

    def read_columns(self, prefix: str, keys: np.ndarray) -> list[bytes]:
        """See `OnlineStore.read_columns`."""
        asked = np.asarray(keys, np.int64).tolist()
        if prefix not in self._declared:
            return [b""] * len(asked)
        packed: list[bytes] = []
        for start in range(0, len(asked), _ENTITIES):
            chosen = asked[start : start + _ENTITIES]
            _, identity, _, _, found = self._connection.run("read_columns", prefix, len(chosen), *chosen)
            self._require_identity(identity)
            packed += found
        return packed

    def apply(
        self, records: Columns, positions: Sequence[StreamPosition] = (), changes: Sequence[Changes] = ()
    ) -> ApplyResult:
        """See `OnlineStore.apply`."""
        if changes:
            active = self._active()
            self._require_features(active.version.feature_fingerprint)
            ads.apply_ads(self._connection, changes, active.newest_us - self._config.horizon_us)
            columns.apply_changes(self._connection, changes, self._features.columns, self._config.horizon_us)
        count, results, late_rows = len(records["time_us"]), [], [np.empty(0, np.int64)]
        for start in range(0, max(count, 1), activation.BATCH_RECORDS):
            span = slice(start, start + activation.BATCH_RECORDS)
            part = take_records(records, span)
            results.append(self._apply(part, positions if span.stop >= count else ()))
            late_rows.append(results[-1].late_rows + start)
        whole = merge_results(results)
        return ApplyResult(whole.accepted, whole.duplicates, whole.late, np.concatenate(late_rows), whole.user_keys)

    def read_position(self, stream: str) -> int | None:
        """See `OnlineStore.read_position`."""
        self._active()
        with self._connection.guard():
            offset = self._connection.client.hget(self._connection.key("positions"), stream)
        return None if offset is None else int(offset)

    def begin_load(self, version: StoreVersion, max_timeline_events: int) -> set[str]:
        """See `OnlineStore.begin_load`."""
        generation = generations.begin(self._connection, version, max_timeline_events)
        generations.remove_replaced(self._connection)
        with self._connection.guard():
            input_files = self._connection.client.smembers(self._connection.key(generation.name, "parts"))
        return {path.decode() for path in input_files}

    def load_users(self, version: StoreVersion, block: TimelineBlock) -> None:
        """See `OnlineStore.load_users`."""
        loading.load_users(self._connection, version, block)

    def write_states(self, version: StoreVersion, block: StateBlock) -> None:
        """See `OnlineStore.write_states`."""
        loading.write_states(self._connection, version, block, self._config.states_dtype)

    def load_counters(self, version: StoreVersion, states: CounterStates) -> None:
        """See `OnlineStore.load_counters`."""
        load_counters(self._connection, version, states, self._kept)

    def load_columns(self, version: StoreVersion, prefix: str, keys: np.ndarray, packed: Sequence[bytes]) -> None:
        """See `OnlineStore.load_columns`."""
        columns.load_columns(self._connection, version, prefix, keys, packed)

    def mark_loaded(self, version: StoreVersion, input_files: Sequence[str]) -> None:
        """See `OnlineStore.mark_loaded`."""
        with generations.fill_generation(self._connection, version) as (generation, pipe):
            for path in input_files:
                pipe.sadd(self._connection.key(generation.name, "parts"), path)

    def activate(self, version: StoreVersion) -> ApplyResult:
        """See `OnlineStore.activate`."""
        limits = (self._config.horizon_us, self._kept)
        return activation.activate(self._connection, version, self._features, *limits, _result)

    def forget_user(self, user_key: int) -> bool:
        """See `OnlineStore.forget_user`."""
        return bool(self._connection.run("forget", int(user_key), len(OF_USERS), *OF_USERS)[1])

    def read_ads(self, after: int, limit: int) -> AdLog:
        """See `OnlineStore.read_ads`."""
        return ads.read_ads(self._connection, after, limit, self._active().newest_us - self._config.horizon_us)

    def info(self) -> StoreInfo:
        """See `OnlineStore.info`."""
        require_no_eviction(self._connection)
        active = self._active()
        return StoreInfo(
            kind="redis",
            location=f"{self._connection.where} {self._connection.namespace}",
            schema_version=SCHEMA_VERSION,
            version=active.version,
            newest_us=active.newest_us,
            late=active.late,
            max_timeline_events=active.max_events,
        )

    def close(self) -> None:
        """Close all connections; the store can be used again and then reconnects."""
        self._connection.close()

    def _apply(self, records: Columns, positions: Sequence[StreamPosition]) -> ApplyResult:
        flat: list[Argument] = [value for position in positions for value in (position.stream, position.offset)]
        limit = _EXPIRE_USERS + 2 * len(records["time_us"])
        limits: list[Argument] = [self._config.horizon_us, self._config.ttl_us or 0, limit]
        answer = self._connection.run(
            "apply",
            "*" if self._fingerprint is None else self._fingerprint,
            *limits,
            *kept_arguments(self._kept),
            len(OF_USERS),
            *OF_USERS,
            len(flat),
            *flat,
            *record_arguments(records, self._features, self._connection.where),
        )
        if answer[0] == b"features":
            self._require_features(answer[1].decode())
        return _result(records, answer[1], answer[2])

    def _counters_of(
        self, view: str, keys: list[int], found: list[list[bytes]], first_chunk: int, since_bucket: int | None
    ) -> Counters:
        measures = measures_of(view, len(self._features.behaviors))
        return counters_of_fields(keys, found, measures, first_chunk * CHUNK_BUCKETS, since_bucket)

    def _active(self) -> generations.Generation:
        active = generations.read_generation(self._connection, "active")
        if active is None:
            self._connection.refuse([b"missing"])
        return active

    def _require_identity(self, identity: list[Any]) -> str:
        """The model of the active version, after its features were found to be the caller's."""
        features, model = (value.decode() for value in identity)
        self._require_features(features)
        return str(model)

    def _require_features(self, held: str) -> None:
        if self._fingerprint not in (None, held):
            raise StoreError(
                f"store {self._connection.where}: was filled for features '{held}', this process computes "
                f"'{self._fingerprint}'; run `rosa materialize` with this bundle, or serve the one it was filled from"
            )


def _result(records: Columns, accepted: Sequence[int], late: Sequence[int]) -> ApplyResult:
    rows, late_rows = np.array(accepted, np.int64), np.array(late, np.int64)
    duplicates = len(records["time_us"]) - len(rows) - len(late_rows)
    return ApplyResult(len(rows), duplicates, len(late_rows), late_rows, np.unique(records["user_key"][rows]))
