"""The SQLite implementation of `rosa_ray.store.OnlineStore`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import VIEWS, CounterStates, FeatureConfig
from rosa_ray.features.ad_changes import AdLog
from rosa_ray.features.changes import Changes
from rosa_ray.features.counting import counted_views
from rosa_ray.features.own import of_prefix
from rosa_ray.features.versions import ALWAYS_US
from rosa_ray.features.views import view_named
from rosa_ray.schema.own_columns import ENTITIES, USER
from rosa_ray.store.backends.sqlite import ads, columns, counters, fold, slots, timelines, users
from rosa_ray.store.backends.sqlite.database import SCHEMA_VERSION, SLOTS, Database
from rosa_ray.store.backends.sqlite.slots import Slot
from rosa_ray.store.config import DEFAULT_TIMELINE_EVENTS, StoreConfig
from rosa_ray.store.protocol import (
    ApplyResult,
    StateBlock,
    StoreInfo,
    StoreVersion,
    StreamPosition,
    TimelineBlock,
    UserRecord,
)
from rosa_ray.store.windows import Kept
from rosa_ray.units import DAY_US


class Store:
    """An open store file. Safe to use from several threads; open one per process."""

    def __init__(
        self, config: StoreConfig, features: FeatureConfig, feature_fingerprint: str | None, *, create: bool
    ) -> None:
        self._config, self._features, self._fingerprint = config, features, feature_fingerprint
        self._user_views = [view.name for view in counted_views(features) if view.entity == "user_key"]
        self._behaviors = len(features.behaviors)
        self._declared = {prefix for prefix in ENTITIES if of_prefix(prefix, features.columns)}
        self._kept = Kept.of(features, config, counters.CHUNK_BUCKETS)
        self._database = Database(config.path, config.busy_timeout_ms, create)
        if create:
            self._stamp_empty()
        with self._database.read() as connection:
            self._require_features(slots.read_slot(connection, active=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def read_user(self, user_key: int) -> UserRecord:
        """See `OnlineStore.read_user`."""
        key, user_key = np.array([user_key]), int(user_key)
        with self._database.read() as connection:
            slot = self._require_features(slots.read_slot(connection, active=True))
            model, kept_bucket = slot.version.model_version, self._kept.first_bucket(slot.newest_us)
            return UserRecord(
                user_key=user_key,
                timeline=timelines.read_timeline(connection, slot.name, user_key),
                states=timelines.read_states(connection, slot.name, user_key, model),
                counters={
                    view: counters.read_counters(connection, slot.name, view, key, self._behaviors, kept_bucket)
                    for view in self._user_views
                },
                model_version=model,
                columns=columns.read_one(connection, slot.name, USER, user_key) if USER in self._declared else b"",
            )

    def read_counters(self, view: str, entity_keys: np.ndarray, since_bucket: int | None = None) -> CounterStates:
        """See `OnlineStore.read_counters`."""
        if view_named(view) is None:
            raise StoreError(f"store {self._config.path}: has no view '{view}'; views are {', '.join(VIEWS)}")
        with self._database.read() as connection:
            slot = self._require_features(slots.read_slot(connection, active=True))
            chosen = (entity_keys, self._behaviors, self._kept.first_bucket(slot.newest_us), since_bucket)
            return {view: counters.read_counters(connection, slot.name, view, *chosen)}

    def read_columns(self, prefix: str, keys: np.ndarray) -> list[bytes]:
        """See `OnlineStore.read_columns`."""
        asked = np.asarray(keys, np.int64).tolist()
        if prefix not in self._declared:
            return [b""] * len(asked)
        with self._database.read() as connection:
            slot = self._require_features(slots.read_slot(connection, active=True))
            found = columns.read_packed(connection, slot.name, prefix, asked)
        return [found.get(key, b"") for key in asked]

    def apply(
        self, records: Columns, positions: Sequence[StreamPosition] = (), changes: Sequence[Changes] = ()
    ) -> ApplyResult:
        """See `OnlineStore.apply`."""
        with self._database.write() as connection:
            slot = self._require_features(slots.read_slot(connection, active=True))
            folded = fold.fold_into(connection, slot, records, self._features, self._config)
            fold.write_journal(connection, records, folded.accepted_rows)
            slot = replace(slot, newest_us=folded.newest_us)
            columns.apply_changes(connection, slot, changes, self._features.columns, self._config.horizon_us)
            ads.apply_ads(connection, changes, slot.newest_us - self._config.horizon_us)
            fold.expire_silent(connection, slot, folded, self._config)
            rows = [(position.stream, position.offset) for position in positions]
            connection.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", rows)
        return folded.result

    def read_position(self, stream: str) -> int | None:
        """See `OnlineStore.read_position`."""
        with self._database.read() as connection:
            row = connection.execute("SELECT next_offset FROM positions WHERE stream = ?", (stream,)).fetchone()
        return None if row is None else int(row[0])

    def begin_load(self, version: StoreVersion, max_timeline_events: int) -> set[str]:
        """See `OnlineStore.begin_load`."""
        with self._database.write() as connection:
            slot = slots.read_slot(connection, active=False)
            if slot.version != version or slot.max_events != max_timeline_events:
                slots.clear_slot(connection, slot.name)
                slots.stamp_slot(connection, slot.name, version, max_timeline_events)
            return {path for (path,) in connection.execute(f"SELECT part FROM parts_{slot.name}")}

    def load_users(self, version: StoreVersion, block: TimelineBlock) -> None:
        """See `OnlineStore.load_users`."""
        with self._database.write() as connection:
            slot = slots.loading_slot(connection, version, self._config.path)
            timelines.load_timelines(connection, slot.name, block, slot.max_events + 1)
            users.touch_users(connection, slot.name, block.user_key, block.last_us)
            fold.add_seen(connection, slot.name, block.seen_key, block.seen_time_us // DAY_US)
            slots.cover_slot(connection, slot.name, int(block.seen_time_us.max(initial=0)))

    def write_states(self, version: StoreVersion, block: StateBlock) -> None:
        """See `OnlineStore.write_states`."""
        with self._database.write() as connection:
            slot = slots.loading_slot(connection, version, self._config.path)
            timelines.load_states(connection, slot.name, block, self._config.states_dtype)

    def load_counters(self, version: StoreVersion, states: CounterStates) -> None:
        """See `OnlineStore.load_counters`."""
        with self._database.write() as connection:
            slot = slots.loading_slot(connection, version, self._config.path)
            kept_bucket = self._kept.first_bucket(slot.newest_us)
            counters.replace_counters(connection, slot.name, states, kept_bucket, self._config.path)

    def load_columns(self, version: StoreVersion, prefix: str, keys: np.ndarray, packed: Sequence[bytes]) -> None:
        """See `OnlineStore.load_columns`."""
        with self._database.write() as connection:
            slot = slots.loading_slot(connection, version, self._config.path)
            columns.write_packed(connection, slot.name, prefix, zip(keys.tolist(), packed, strict=True))
            if prefix == USER:
                columns.touch_told(connection, slot, keys, np.full(len(keys), ALWAYS_US))

    def mark_loaded(self, version: StoreVersion, input_files: Sequence[str]) -> None:
        """See `OnlineStore.mark_loaded`."""
        with self._database.write() as connection:
            slot = slots.loading_slot(connection, version, self._config.path)
            rows = [(path,) for path in input_files]
            connection.executemany(f"INSERT OR IGNORE INTO parts_{slot.name} VALUES (?)", rows)

    def activate(self, version: StoreVersion) -> ApplyResult:
        """See `OnlineStore.activate`."""
        with self._database.write() as connection:
            slot = slots.loading_slot(connection, version, self._config.path)
            former = slots.read_slot(connection, active=True)
            replayed = fold.replay_journal(connection, slot, self._features, self._config)
            slot = slots.read_slot(connection, active=False)
            columns.replay_changes(connection, slot, self._features.columns, self._config.horizon_us)
            slots.swap_slots(connection)
            slots.clear_slot(connection, former.name)
        return replayed

    def forget_user(self, user_key: int) -> bool:
        """See `OnlineStore.forget_user`."""
        with self._database.write() as connection:
            connection.execute("PRAGMA secure_delete=ON")
            removed = users.delete_journal(connection, int(user_key))
            removed += sum(users.delete_user(connection, slot, int(user_key)) for slot in SLOTS)
            connection.execute("PRAGMA secure_delete=OFF")
        self._database.truncate_log()
        return removed > 0

    def read_ads(self, after: int, limit: int) -> AdLog:
        """See `OnlineStore.read_ads`."""
        with self._database.read() as connection:
            slot = slots.read_slot(connection, active=True)
            return ads.read_ads(connection, after, limit, slot.newest_us - self._config.horizon_us)

    def info(self) -> StoreInfo:
        """See `OnlineStore.info`."""
        with self._database.read() as connection:
            slot = slots.read_slot(connection, active=True)
        return StoreInfo(
            kind="sqlite",
            location=self._config.path,
            schema_version=SCHEMA_VERSION,
            version=slot.version,
            newest_us=slot.newest_us,
            late=slot.late,
            max_timeline_events=slot.max_events,
        )

    def close(self) -> None:
        """Close all connections; the store can be used again and then reconnects."""
        self._database.close()

    def _stamp_empty(self) -> None:
        """Give a new store, which nothing was loaded into, its features and its bound."""
        with self._database.write() as connection:
            slot = slots.read_slot(connection, active=True)
            if slot.max_events == 0:
                version = replace(slot.version, feature_fingerprint=self._fingerprint or "")
                bound = self._config.max_timeline_events or DEFAULT_TIMELINE_EVENTS
                slots.stamp_slot(connection, slot.name, version, bound)

    def _require_features(self, slot: Slot) -> Slot:
        held = slot.version.feature_fingerprint
        if self._fingerprint not in (None, held):
            raise StoreError(
                f"store {self._config.path}: was filled for features '{held}', this process computes "
                f"'{self._fingerprint}'; run `rosa materialize` with this bundle, or serve the one it was filled from"
            )
        return slot
