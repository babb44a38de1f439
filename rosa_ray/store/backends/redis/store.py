"""The Redis implementation of `rosa_ray.store.OnlineStore`."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import VIEWS, Counters, CounterStates, FeatureConfig, counting_fingerprint
from rosa_ray.features.ad_changes import AdLog
from rosa_ray.features.changes import Changes, of_columns
from rosa_ray.features.counting import counted_views
from rosa_ray.features.own import of_prefix
from rosa_ray.features.records import take_records
from rosa_ray.features.views import OF_USERS, measures_of, view_named
from rosa_ray.schema.own_columns import USER
from rosa_ray.store.backends.redis import activation, ads, columns, generations, loading, removal
from rosa_ray.store.backends.redis.applying import Applying
from rosa_ray.store.backends.redis.connection import SCHEMA_VERSION, Argument, Connection
from rosa_ray.store.backends.redis.counters import CHUNK_BUCKETS, counters_of_fields, kept_arguments, load_counters
from rosa_ray.store.backends.redis.eviction import require_no_eviction
from rosa_ray.store.backends.redis.records import unpack_ids
from rosa_ray.store.config import DEFAULT_TIMELINE_EVENTS, StoreConfig
from rosa_ray.store.packing import unpack_records, unpack_states
from rosa_ray.store.protocol import (
    ApplyResult,
    LoadProgress,
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

_ENTITIES = 1000


class Store:
    """An open store on a Redis server. Safe to use from several threads and processes, also for writing.

    A batch of more than `activation.BATCH_RECORDS` records is applied in parts, in order, each whole or not at all. The
    positions of streams move with the last. One that breaks off is repeated whole: records once applied are
    duplicates then. Changes of users, items and ads come before the records, each thing by itself.
    """

    def __init__(
        self,
        config: StoreConfig,
        features: FeatureConfig | None,
        model_version: str,
        *,
        user_key_id: str = "",
        create: bool = False,
    ) -> None:
        self._config, self._features, self._model = config, features, model_version
        self._fingerprint = None if features is None else counting_fingerprint(features, user_key_id)
        self._reader: tuple[Argument, Argument] = (self._fingerprint or "*", model_version)
        self._connection = Connection(config)
        self._applying = Applying(self._connection, config, self._reader)
        try:
            self._check(create)
        except BaseException:
            self._connection.close()
            raise

    def _check(self, create: bool) -> None:
        """Refuse a server that evicts, and a store that is missing where none is to be made."""
        require_no_eviction(self._connection)
        if self._features is None or self._fingerprint is None:
            return
        if create:
            bound = self._config.max_timeline_events or DEFAULT_TIMELINE_EVENTS
            generations.create(self._connection, self._fingerprint, self._features, bound)
            generations.describe(self._connection)
        else:
            self._require()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def read_user(self, user_key: int) -> UserRecord:
        """See `OnlineStore.read_user`."""
        key, features = int(user_key), self._said()
        views = [view.name for view in counted_views(features) if view.entity == "user_key"]
        asked: list[Argument] = [key, len(views), *views, int(bool(of_prefix(USER, features.columns)))]
        kept = kept_arguments(self._kept(features))
        has_model, held, first_chunk, counters, packed_columns = self._read("read_user", *kept, *asked)
        records, ids, packed, last_id, stale = held
        timeline = unpack_records(records or b"") | {"event_id": np.array(unpack_ids(ids or b""), dtype=object)}
        model, states = self._model if has_model else "", None
        if packed is not None:
            states = StoredStates(model, last_id.decode(), *unpack_states(packed), stale=stale is not None)
        return UserRecord(
            user_key=key,
            timeline=timeline,
            states=states,
            counters={
                view: _counters_of(view, features, [key], [fields], first_chunk, None)
                for view, fields in zip(views, counters, strict=True)
            },
            model_version=model,
            columns=packed_columns,
        )

    def read_counters(self, view: str, entity_keys: np.ndarray, since_bucket: int | None = None) -> CounterStates:
        """See `OnlineStore.read_counters`."""
        if view_named(view) is None:
            raise StoreError(f"store {self._connection.where}: has no view '{view}'; views are {', '.join(VIEWS)}")
        keys, features = np.unique(np.asarray(entity_keys, np.int64)).tolist(), self._said()
        since: int | str = "-inf" if since_bucket is None else since_bucket // CHUNK_BUCKETS
        kept, parts = kept_arguments(self._kept(features)), []
        for start in range(0, max(len(keys), 1), _ENTITIES):
            chosen = keys[start : start + _ENTITIES]
            first_chunk, found = self._read("read_counters", *kept, view, since, len(chosen), *chosen)
            parts.append(_counters_of(view, features, chosen, found, first_chunk, since_bucket))
        return {view: parts[0].merge(*parts[1:])}

    def read_columns(self, prefix: str, keys: np.ndarray) -> list[bytes]:
        """See `OnlineStore.read_columns`."""
        asked = np.asarray(keys, np.int64).tolist()
        if not of_prefix(prefix, self._said().columns):
            return [b""] * len(asked)
        packed: list[bytes] = []
        for start in range(0, len(asked), _ENTITIES):
            chosen = asked[start : start + _ENTITIES]
            (found,) = self._read("read_columns", prefix, len(chosen), *chosen)
            packed += found
        return packed

    def apply(
        self, records: Columns, positions: Sequence[StreamPosition] = (), changes: Sequence[Changes] = ()
    ) -> ApplyResult:
        """See `OnlineStore.apply`."""
        said = self._said()
        if changes:
            held, (own, _) = self._require()
            newest_us = max(one.newest_us for one in held.live)
            ads.apply_ads(self._connection, changes, newest_us - self._config.horizon_us)
            columns.apply_changes(self._connection, own.name, of_columns(changes), said, self._config)
        count, results, late_rows = len(records["time_us"]), [], [np.empty(0, np.int64)]
        for start in range(0, max(count, 1), activation.BATCH_RECORDS):
            span = slice(start, start + activation.BATCH_RECORDS)
            part = take_records(records, span)
            answer = self._answer(self._applying.apply(part, said, positions if span.stop >= count else ()))
            results.append(_result(part, *answer))
            late_rows.append(results[-1].late_rows + start)
        whole = merge_results(results)
        return ApplyResult(whole.accepted, whole.duplicates, whole.late, np.concatenate(late_rows), whole.user_keys)

    def read_position(self, stream: str) -> int | None:
        """See `OnlineStore.read_position`."""
        generations.describe(self._connection)
        with self._connection.guard():
            offset = self._connection.client.hget(self._connection.key("positions"), stream)
        return None if offset is None else int(offset)

    def begin_load(self, version: StoreVersion, model_version: str, max_timeline_events: int) -> LoadProgress:
        """See `OnlineStore.begin_load`."""
        if self._features is None or version.counting_fingerprint != self._fingerprint:
            raise StoreError(
                f"store {self._connection.where}: a load of other features than the store was opened with is refused; "
                "open it with those of the model"
            )
        activation.finish_trim(self._connection)
        named = (version, model_version, self._features, self._config, max_timeline_events)
        progress = generations.begin(self._connection, *named)
        removal.remove_marked(self._connection)
        return progress

    def load_users(self, version: StoreVersion, block: TimelineBlock) -> None:
        """See `OnlineStore.load_users`."""
        loading.load_users(self._connection, version, block)

    def write_states(self, version: StoreVersion, model_version: str, block: StateBlock) -> None:
        """See `OnlineStore.write_states`."""
        loading.write_states(self._connection, version, model_version, block, self._config.states_dtype)

    def load_counters(self, version: StoreVersion, states: CounterStates) -> None:
        """See `OnlineStore.load_counters`."""
        load_counters(self._connection, version, states, self._config)

    def load_columns(self, version: StoreVersion, prefix: str, keys: np.ndarray, packed: Sequence[bytes]) -> None:
        """See `OnlineStore.load_columns`."""
        columns.load_columns(self._connection, version, prefix, keys, packed)

    def mark_loaded(self, version: StoreVersion, model_version: str, input_files: Sequence[str]) -> None:
        """See `OnlineStore.mark_loaded`."""

        def note(_: generations.Generation, model: generations.Model, pipe: Any) -> None:
            if input_files:
                pipe.sadd(self._connection.key("parts", model.number), *input_files)

        generations.fill_model(self._connection, version, model_version, note)

    def activate(self, version: StoreVersion, model_version: str) -> ApplyResult:
        """See `OnlineStore.activate`."""
        return activation.activate(self._connection, version, model_version, self._config, _result)

    def drop(self, name: str) -> None:
        """See `OnlineStore.drop`."""
        removal.drop(self._connection, name)

    def forget_user(self, user_key: int) -> bool:
        """See `OnlineStore.forget_user`."""
        return bool(self._connection.run("forget", int(user_key), len(OF_USERS), *OF_USERS)[1])

    def read_ads(self, after: int, limit: int) -> AdLog:
        """See `OnlineStore.read_ads`."""
        return ads.read_ads(self._connection, after, limit)

    def info(self) -> StoreInfo:
        """See `OnlineStore.info`."""
        require_no_eviction(self._connection)
        held, (generation, model) = self._require()
        return StoreInfo(
            kind="redis",
            location=f"{self._connection.where} {self._connection.namespace}",
            schema_version=SCHEMA_VERSION,
            version=generation.version,
            model_version="" if model is None else model.version,
            newest_us=generation.newest_us,
            late=generation.late,
            max_timeline_events=generation.max_events,
            held=held.described(),
            **held.figures,
        )

    def close(self) -> None:
        """Close all connections; the store can be used again and then reconnects."""
        self._connection.close()

    def _kept(self, features: FeatureConfig) -> Kept:
        return Kept.of(features, self._config, CHUNK_BUCKETS)

    def _said(self) -> FeatureConfig:
        """The caller's features, or those of the generation that is read where it has none."""
        if self._features is not None:
            return self._features
        _, (generation, _) = self._require()
        return generation.features

    def _read(self, script: str, *arguments: Argument) -> list[Any]:
        return self._answer(self._connection.run(script, *self._reader, *arguments))

    def _answer(self, answer: list[Any]) -> list[Any]:
        if answer[0] == b"features":
            raise self._unreadable(generations.describe(self._connection))
        return answer[1:]

    def _require(self) -> tuple[generations.Held, tuple[generations.Generation, generations.Model | None]]:
        """What is held, and the generation that this reader reads now."""
        held = generations.describe(self._connection)
        found = held.readable(self._fingerprint, self._model)
        if found is None:
            raise self._unreadable(held)
        return held, found

    def _unreadable(self, held: generations.Held) -> StoreError:
        models = sorted({model for one in held.described() for model in one.models})
        return StoreError(
            f"store {self._connection.where}: holds no version of the features that this process computes; run "
            f"`rosa materialize` with this bundle, or serve one that it holds: {', '.join(models) or 'none'}"
        )


def _counters_of(
    view: str,
    features: FeatureConfig,
    keys: list[int],
    found: list[list[bytes]],
    first_chunk: int,
    since_bucket: int | None,
) -> Counters:
    measures = measures_of(view, len(features.behaviors))
    return counters_of_fields(keys, found, measures, first_chunk * CHUNK_BUCKETS, since_bucket)


def _result(records: Columns, accepted: Sequence[int], late: Sequence[int]) -> ApplyResult:
    rows, late_rows = np.array(accepted, np.int64), np.array(late, np.int64)
    duplicates = len(records["time_us"]) - len(rows) - len(late_rows)
    return ApplyResult(len(rows), duplicates, len(late_rows), late_rows, np.unique(records["user_key"][rows]))
