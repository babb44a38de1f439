"""The SQLite implementation of `rosa_ray.store.OnlineStore`."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import VIEWS, CounterStates, FeatureConfig, counting_fingerprint
from rosa_ray.features.ad_changes import AdLog
from rosa_ray.features.changes import Changes, of_columns
from rosa_ray.features.counting import counted_views
from rosa_ray.features.own import of_prefix
from rosa_ray.features.views import view_named
from rosa_ray.schema.own_columns import USER
from rosa_ray.store.backends.sqlite import (
    adoption,
    ads,
    columns,
    counters,
    fold,
    generations,
    journal,
    loading,
    removal,
    timelines,
    users,
)
from rosa_ray.store.backends.sqlite.database import Database
from rosa_ray.store.backends.sqlite.generations import Generation, Model
from rosa_ray.store.backends.sqlite.schema import SCHEMA_VERSION
from rosa_ray.store.config import DEFAULT_TIMELINE_EVENTS, StoreConfig
from rosa_ray.store.protocol import (
    ApplyResult,
    LoadProgress,
    StateBlock,
    StoreInfo,
    StoreVersion,
    StreamPosition,
    TimelineBlock,
    UserRecord,
)
from rosa_ray.store.windows import Kept


class Store:
    """An open store file. Safe to use from several threads; open one per process."""

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
        self._database = Database(config.path, config.busy_timeout_ms, create)
        if features is not None and self._fingerprint is not None:
            adoption.adopt(self._database, self._fingerprint, features, model_version, config)
            if create:
                self._fill_empty(features, self._fingerprint)
        if features is not None and not create:
            with self._database.read() as connection:
                self._require(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def read_user(self, user_key: int) -> UserRecord:
        """See `OnlineStore.read_user`."""
        key, user_key = np.array([user_key]), int(user_key)
        with self._database.read() as connection:
            generation, model = self._require(connection)
            name, features = generation.name, generation.features
            behaviors, kept_bucket = len(features.behaviors), self._kept_bucket(generation)
            return UserRecord(
                user_key=user_key,
                timeline=timelines.read_timeline(connection, name, user_key),
                states=None if model is None else timelines.read_states(connection, name, user_key, model),
                counters={
                    view.name: counters.read_counters(connection, name, view.name, key, behaviors, kept_bucket)
                    for view in counted_views(features)
                    if view.entity == "user_key"
                },
                model_version="" if model is None else model.version,
                columns=columns.read_one(connection, name, USER, user_key)
                if of_prefix(USER, features.columns)
                else b"",
            )

    def read_counters(self, view: str, entity_keys: np.ndarray, since_bucket: int | None = None) -> CounterStates:
        """See `OnlineStore.read_counters`."""
        if view_named(view) is None:
            raise StoreError(f"store {self._config.path}: has no view '{view}'; views are {', '.join(VIEWS)}")
        with self._database.read() as connection:
            generation, _ = self._require(connection)
            behaviors, kept_bucket = len(generation.features.behaviors), self._kept_bucket(generation)
            asked = (entity_keys, behaviors, kept_bucket, since_bucket)
            return {view: counters.read_counters(connection, generation.name, view, *asked)}

    def read_columns(self, prefix: str, keys: np.ndarray) -> list[bytes]:
        """See `OnlineStore.read_columns`."""
        asked = np.asarray(keys, np.int64).tolist()
        with self._database.read() as connection:
            generation, _ = self._require(connection)
            if not of_prefix(prefix, generation.features.columns):
                return [b""] * len(asked)
            found = columns.read_packed(connection, generation.name, prefix, asked)
        return [found.get(key, b"") for key in asked]

    def apply(
        self, records: Columns, positions: Sequence[StreamPosition] = (), changes: Sequence[Changes] = ()
    ) -> ApplyResult:
        """See `OnlineStore.apply`."""
        with self._database.write() as connection:
            own, _ = self._require(connection)
            result = self._apply(connection, own, records, changes)
            rows = [(position.stream, position.offset) for position in positions]
            connection.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", rows)
        return result

    def read_position(self, stream: str) -> int | None:
        """See `OnlineStore.read_position`."""
        with self._database.read() as connection:
            row = connection.execute("SELECT next_offset FROM positions WHERE stream = ?", (stream,)).fetchone()
        return None if row is None else int(row[0])

    def begin_load(self, version: StoreVersion, model_version: str, max_timeline_events: int) -> LoadProgress:
        """See `OnlineStore.begin_load`."""
        if self._features is None or version.counting_fingerprint != self._fingerprint:
            raise StoreError(
                f"store {self._config.path}: a load of other features than the store was opened with is refused; "
                "open it with those of the model"
            )
        with self._database.write() as connection:
            progress = loading.begin(
                connection, version, model_version, self._features, self._config, max_timeline_events
            )
        removal.remove_marked(self._database)
        return progress

    def load_users(self, version: StoreVersion, block: TimelineBlock) -> None:
        """See `OnlineStore.load_users`."""
        generation = self._loading(version)
        self._database.write_in_turns(loading.user_steps(generation, block))

    def write_states(self, version: StoreVersion, model_version: str, block: StateBlock) -> None:
        """See `OnlineStore.write_states`."""
        with self._database.read() as connection:
            model, generation = generations.writable(connection, version, model_version, self._config.path)
        dtype = self._config.states_dtype
        self._database.write_in_turns(loading.state_steps(generation.name, model, block, dtype))

    def load_counters(self, version: StoreVersion, states: CounterStates) -> None:
        """See `OnlineStore.load_counters`."""
        generation = self._loading(version)
        kept_bucket = self._kept_bucket(generation)
        self._database.write_in_turns(loading.counter_steps(self._database, generation, states, kept_bucket))

    def load_columns(self, version: StoreVersion, prefix: str, keys: np.ndarray, packed: Sequence[bytes]) -> None:
        """See `OnlineStore.load_columns`."""
        generation = self._loading(version)
        self._database.write_in_turns(loading.column_steps(generation, prefix, keys, packed))

    def mark_loaded(self, version: StoreVersion, model_version: str, input_files: Sequence[str]) -> None:
        """See `OnlineStore.mark_loaded`."""
        with self._database.write() as connection:
            model, _ = generations.writable(connection, version, model_version, self._config.path)
            rows = [(model.number, path) for path in input_files]
            connection.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?)", rows)

    def activate(self, version: StoreVersion, model_version: str) -> ApplyResult:
        """See `OnlineStore.activate`."""
        return loading.activate(self._database, version, model_version, self._config)

    def drop(self, name: str) -> None:
        """See `OnlineStore.drop`."""
        with self._database.write() as connection:
            removal.mark_named(connection, name, self._config.path)
        removal.remove_marked(self._database)

    def forget_user(self, user_key: int) -> bool:
        """See `OnlineStore.forget_user`."""
        with self._database.write() as connection:
            connection.execute("PRAGMA secure_delete=ON")
            removed = users.delete_journal(connection, int(user_key))
            for generation in generations.in_state(connection, "live", "loading", "held", "dropped"):
                removed += users.delete_user(connection, generation, int(user_key))
            connection.execute("PRAGMA secure_delete=OFF")
        self._database.truncate_log()
        return removed > 0

    def read_ads(self, after: int, limit: int) -> AdLog:
        """See `OnlineStore.read_ads`."""
        with self._database.read() as connection:
            return ads.read_ads(connection, after, limit, self._config.horizon_us)

    def info(self) -> StoreInfo:
        """See `OnlineStore.info`."""
        with self._database.read() as connection:
            generation, model = self._require(connection)
            figures = journal.journal_figures(connection)
            held = tuple(generations.held_generations(connection))
        return StoreInfo(
            kind="sqlite",
            location=self._config.path,
            schema_version=SCHEMA_VERSION,
            version=generation.version,
            model_version="" if model is None else model.version,
            newest_us=generation.newest_us,
            late=generation.late,
            max_timeline_events=generation.max_events,
            held=held,
            **figures,
        )

    def close(self) -> None:
        """Close all connections; the store can be used again and then reconnects."""
        self._database.close()

    def _apply(
        self, connection: sqlite3.Connection, own: Generation, records: Columns, changes: Sequence[Changes]
    ) -> ApplyResult:
        """Fold a batch into every live generation; the journal takes what is new to the active one."""
        said, config = self._features or own.features, self._config
        ads.apply_ads(connection, changes, config.horizon_us)
        changes, live = of_columns(changes), generations.live_generations(connection)
        results = {}
        for generation in live:
            folded = fold.fold_into(connection, generation, records, said.behavior_names, config)
            results[generation.number] = folded.result
            if generation.number != own.number:
                count = folded.result.accepted + sum(map(len, changes))
                generations.count_untold(connection, generation, said, count)
            moved = replace(generation, newest_us=folded.newest_us)
            columns.apply_changes(connection, moved, changes, said.columns, config.horizon_us)
            silent = fold.expire_silent(connection, moved, folded, config)
            if generation is live[0]:
                journal.write_journal(connection, records, folded.accepted_rows, said.behavior_names)
                journal.prune_journal(connection, folded.newest_us, len(folded.accepted_rows), config)
                columns.note_changes(connection, changes, said.columns)
                for user_key in silent:
                    users.delete_journal(connection, user_key)
        return results[own.number]

    def _fill_empty(self, features: FeatureConfig, fingerprint: str) -> None:
        """Give a new store, which nothing was loaded into, an empty generation that takes records."""
        with self._database.write() as connection:
            if connection.execute("SELECT count(*) FROM generations").fetchone()[0]:
                return
            bound = self._config.max_timeline_events or DEFAULT_TIMELINE_EVENTS
            version = StoreVersion(fingerprint, 0)
            number = generations.create(connection, version, features, bound)
            generations.activate(connection, number, generations.add_model(connection, number, ""))
            journal.behavior_names(connection, features.behavior_names)

    def _kept_bucket(self, generation: Generation) -> int:
        kept = Kept.of(generation.features, self._config, counters.CHUNK_BUCKETS)
        return kept.first_bucket(generation.newest_us)

    def _loading(self, version: StoreVersion) -> Generation:
        with self._database.read() as connection:
            return generations.loading(connection, version, self._config.path)

    def _require(self, connection: sqlite3.Connection) -> tuple[Generation, Model | None]:
        """The generation that this reader reads now."""
        found = generations.find_readable(connection, self._fingerprint, self._model)
        if found is not None:
            return found
        models = {model for one in generations.held_generations(connection) for model in one.models}
        held = ", ".join(sorted(models)) or "none"
        if self._features is None:
            raise StoreError(
                f"store {self._config.path}: was filled by an earlier version of this program; serve the model that it "
                f"was filled for once, so that it is taken over: {held}"
            )
        raise StoreError(
            f"store {self._config.path}: holds no version of the features that this process computes; run "
            f"`rosa materialize` with this bundle, or serve one that it holds: {held}"
        )
