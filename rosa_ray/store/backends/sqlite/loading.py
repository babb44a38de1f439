"""Loading and activation: long work on one generation, cut into steps that leave the store to others in between."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from rosa_ray.features import Counters, CounterStates, FeatureConfig
from rosa_ray.features.versions import ALWAYS_US
from rosa_ray.schema.own_columns import USER
from rosa_ray.store.backends.sqlite import columns, counters, fold, generations, removal, timelines, users
from rosa_ray.store.backends.sqlite.database import Database, Step
from rosa_ray.store.backends.sqlite.generations import Generation, Model
from rosa_ray.store.backends.sqlite.journal import Replay, behavior_names
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.protocol import ApplyResult, LoadProgress, StateBlock, StoreVersion, TimelineBlock, merge_results
from rosa_ray.units import DAY_US

_USERS, _IDS, _ROWS = 5, 200, 200
_LAST = 100
"""Records that may be left for the transaction that activates."""


def begin(
    connection: sqlite3.Connection,
    version: StoreVersion,
    model: str,
    features: FeatureConfig,
    config: StoreConfig,
    max_events: int,
) -> LoadProgress:
    """See `OnlineStore.begin_load`; of a live generation only one that keeps enough events will do."""
    behavior_names(connection, features.behavior_names)
    exact = config.max_timeline_events > 0
    live = [one for one in generations.find(connection, "live", version) if _fits(one, max_events, exact)]
    number = live[0].number if live else _begin_generation(connection, version, features, max_events)
    models = generations.models_of(connection, number, model)
    of_model = models[0].number if models else generations.add_model(connection, number, model)
    done = connection.execute("SELECT part FROM parts WHERE model = ?", (of_model,))
    return LoadProgress(bool(live), frozenset(part for (part,) in done))


def user_steps(generation: Generation, block: TimelineBlock) -> Iterator[Step]:
    """Steps that put in timelines, and then the ids that were seen."""
    for start in range(0, len(block.user_key), _USERS):
        yield partial(_load_users, generation=generation, block=_part_of_users(block, start))
    # In order of their keys, so that a step touches few pages.
    order = np.argsort(block.seen_key)
    for start in range(0, len(order), _IDS):
        rows = order[start : start + _IDS]
        day = block.seen_time_us[rows] // DAY_US
        yield partial(fold.add_seen, slot=generation.name, record_key=block.seen_key[rows], day=day)
    newest_us = int(block.seen_time_us.max(initial=0))
    yield partial(generations.cover, number=generation.number, loaded_us=newest_us)


def state_steps(generation: str, model: Model, block: StateBlock, dtype: str) -> Iterator[Step]:
    """Steps that put in the states of one model."""
    for start in range(0, len(block.user_key), _USERS):
        offsets = block.state_offsets[start : start + _USERS + 1]
        span = slice(int(offsets[0]), int(offsets[-1]))
        part = StateBlock(
            block.user_key[start : start + _USERS],
            offsets - offsets[0],
            block.event_id[start : start + _USERS],
            {name: values[span] for name, values in block.events.items()},
            block.states[span],
        )
        yield partial(timelines.load_states, slot=generation, model=model, block=part, dtype=dtype)


def counter_steps(
    database: Database, generation: Generation, states: CounterStates, kept_bucket: int
) -> Iterator[Step]:
    """Steps that replace all counters, whole entities at a time."""
    for table in ("counters", "owned"):
        yield from removal.empty_table(database, table, generation.name)
    for view, whole in states.items():
        for part in _parts_of_counters(whole):
            put = partial(counters.put_counters, slot=generation.name, states={view: part})
            yield partial(put, kept_bucket=kept_bucket, path=database.path)


def activate(database: Database, version: StoreVersion, model_version: str, config: StoreConfig) -> ApplyResult:
    """See `OnlineStore.activate`. Only what came in the last moments is replayed in the transaction that activates."""
    with database.read() as connection:
        generation = generations.find(connection, "loading", version)
        if not generation:
            generations.writable(connection, version, model_version, database.path)
    replay = CatchUp.of(generation[0].number, config) if generation else None
    if replay is not None:
        replay.run(database)
    with database.write() as connection:
        model, loaded = generations.writable(connection, version, model_version, database.path)
        if replay is not None:
            generations.loading(connection, version, database.path)
            replay.finish(connection)
        generations.activate(connection, loaded.number, model.number)
        removal.mark_surplus(connection, config.kept_versions)
    if replay is not None:
        database.write_in_turns(removal.empty_table(database, "replayed", generation[0].name))
    removal.remove_marked(database)
    return merge_results([] if replay is None else replay.records.results)


def column_steps(generation: Generation, prefix: str, keys: np.ndarray, packed: Sequence[bytes]) -> Iterator[Step]:
    """Steps that put in versions of columns."""
    for start in range(0, len(keys), _ROWS):
        span = slice(start, start + _ROWS)
        yield partial(_load_columns, generation=generation, prefix=prefix, keys=keys[span], packed=packed[span])


@dataclass(frozen=True)
class CatchUp:
    """Brings a loaded generation up to now: what came live, and comes meanwhile, is replayed into it."""

    records: Replay
    changes: columns.ToldReplay

    @classmethod
    def of(cls, generation: int, config: StoreConfig, *, keeps: bool = False) -> "CatchUp":
        """For the generation of a number; with `keeps` the journal drops nothing, as the generation is no new log."""
        return cls(Replay(generation, config, keeps), columns.ToldReplay(generation, config.horizon_us, keeps))

    def run(self, database: Database) -> None:
        """Replay in turns until little comes meanwhile."""
        while True:
            with database.read() as connection:
                steps = self._steps(connection)
            database.write_in_turns(steps)
            with database.read() as connection:
                if self.records.rest(connection) + self.changes.rest(connection) <= _LAST:
                    return

    def finish(self, connection: sqlite3.Connection) -> None:
        """Replay what is left within the caller's transaction, in which nothing more can come."""
        for step in self._steps(connection):
            step(connection)

    def _steps(self, connection: sqlite3.Connection) -> list[Step]:
        return [*self.records.steps(connection), *self.changes.steps(connection)]


def _fits(generation: Generation, max_events: int, exact: bool) -> bool:
    return generation.max_events == max_events or (not exact and generation.max_events > max_events)


def _begin_generation(
    connection: sqlite3.Connection, version: StoreVersion, features: FeatureConfig, max_events: int
) -> int:
    """The number of the generation that is loaded for a version; loads of other versions are given up."""
    number = 0
    for one in generations.in_state(connection, "loading"):
        if one.version == version and one.max_events == max_events:
            number = one.number
        else:
            removal.mark_generation(connection, one.number)
    return number or generations.create(connection, version, features, max_events)


def _part_of_users(block: TimelineBlock, start: int) -> TimelineBlock:
    """Some of a block's users, without the ids that were seen."""
    offsets = block.event_offsets[start : start + _USERS + 1]
    span = slice(int(offsets[0]), int(offsets[-1]))
    return replace(
        block,
        user_key=block.user_key[start : start + _USERS],
        event_offsets=offsets - offsets[0],
        events={name: values[span] for name, values in block.events.items()},
        last_us=block.last_us[start : start + _USERS],
    )


def _load_users(connection: sqlite3.Connection, generation: Generation, block: TimelineBlock) -> None:
    timelines.load_timelines(connection, generation.name, block, generation.max_events + 1)
    users.touch_users(connection, generation.name, block.user_key, block.last_us)


def _load_columns(
    connection: sqlite3.Connection, generation: Generation, prefix: str, keys: np.ndarray, packed: Sequence[bytes]
) -> None:
    columns.write_packed(connection, generation.name, prefix, zip(keys.tolist(), packed, strict=True))
    if prefix == USER:
        columns.touch_told(connection, generation, keys, np.full(len(keys), ALWAYS_US))


def _parts_of_counters(whole: Counters) -> Iterator[Counters]:
    """Counters of some entities at a time, about `_ROWS` buckets or one entity."""
    ends = [*(np.flatnonzero(np.diff(whole.entity_key)) + 1).tolist(), len(whole.bucket)]
    bounds = [0]
    for low, high in pairwise([0, *ends]):
        if high - bounds[-1] > _ROWS and low > bounds[-1]:
            bounds.append(low)
    bounds.append(len(whole.bucket))
    for low, high in pairwise(bounds):
        owner = None if whole.owner_key is None else whole.owner_key[low:high]
        yield Counters(whole.entity_key[low:high], whole.bucket[low:high], whole.sums[low:high], owner)
