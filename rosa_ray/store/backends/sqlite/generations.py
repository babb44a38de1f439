"""The generations in one file: numbered tables, which of them are live, and which models read each."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from rosa_ray.errors import StoreError
from rosa_ray.features import FeatureConfig
from rosa_ray.features.config import config_of
from rosa_ray.features.counted import says_all
from rosa_ray.store.backends.sqlite.schema import GENERATION_TABLES, STATES_TABLE, run_script
from rosa_ray.store.protocol import HeldGeneration, StoreVersion

_COLUMNS = (
    "number, state, counting_fingerprint, features, as_of_us, source, max_events, newest_us, late, covered_us, "
    "user_ids, activated"
)


@dataclass(frozen=True)
class Generation:
    """One loaded log.

    Attributes:
        definition: the features it is counted by, as JSON of `FeatureConfig.definition`.
        max_events: events kept per user, one more for the first gap.
        newest_us: newest event time, at least the end of the loaded log.
        covered_us: up to here all ids are those of the loaded log, remembered by the days of the records.
        user_ids: ids are remembered with their users; those of a store of schema 5 are not.
        activated: number of the activation that was its last; 0 before the first.
    """

    number: int
    state: str
    version: StoreVersion
    definition: str
    max_events: int
    newest_us: int
    late: int
    covered_us: int
    user_ids: bool
    activated: int

    @property
    def name(self) -> str:
        """Ending of the names of its tables."""
        return str(self.number)

    @property
    def features(self) -> FeatureConfig:
        """The features it is counted by."""
        return _features(self.definition)


@dataclass(frozen=True)
class Model:
    """A model of a generation; its states are in the table of its number."""

    number: int
    version: str


def definition_of(features: FeatureConfig) -> str:
    """What a generation keeps of the features it is counted by."""
    return json.dumps(features.definition())


def create(connection: sqlite3.Connection, version: StoreVersion, features: FeatureConfig, max_events: int) -> int:
    """Make an empty generation to be loaded, whose clock starts at the end of the log; returns its number."""
    number = connection.execute(
        "INSERT INTO generations (state, counting_fingerprint, features, as_of_us, source, max_events, newest_us, "
        "covered_us) VALUES ('loading', ?1, ?2, ?3, ?4, ?5, ?3, ?3)",
        (version.counting_fingerprint, definition_of(features), version.as_of_us, version.source, max_events),
    ).lastrowid
    run_script(connection, GENERATION_TABLES.format(name=number))
    return int(number or 0)


def add_model(connection: sqlite3.Connection, generation: int, model_version: str) -> int:
    """Make room for the states of a model; returns its number."""
    query = "INSERT INTO models (generation, model_version) VALUES (?, ?)"
    number = connection.execute(query, (generation, model_version)).lastrowid
    run_script(connection, STATES_TABLE.format(number=number))
    return int(number or 0)


def find_readable(
    connection: sqlite3.Connection, counting_fingerprint: str | None, model_version: str
) -> tuple[Generation, Model | None] | None:
    """The generation that a model reads, and its states there, if any.

    Args:
        counting_fingerprint: of the reader's features; None takes any.
    """
    row = connection.execute(
        f"SELECT g.{_COLUMNS.replace(', ', ', g.')}, m.number FROM generations g LEFT JOIN models m "
        "ON m.generation = g.number AND m.model_version = ?1 AND m.activated > 0 AND ?1 <> '' "
        "WHERE g.state = 'live' AND (?2 IS NULL OR g.counting_fingerprint = ?2) "
        "ORDER BY m.activated IS NULL, m.activated DESC, g.activated DESC LIMIT 1",
        (model_version, counting_fingerprint),
    ).fetchone()
    if row is None:
        return None
    return _generation(row[:-1]), None if row[-1] is None else Model(row[-1], model_version)


def live_generations(connection: sqlite3.Connection) -> list[Generation]:
    """All that take records, the active one first."""
    return _select(connection, "state = 'live' ORDER BY activated DESC")


def find(connection: sqlite3.Connection, state: str, version: StoreVersion) -> list[Generation]:
    """Generations of one loaded log, the newest first."""
    condition = "state = ? AND counting_fingerprint = ? AND as_of_us = ? AND source = ? ORDER BY number DESC"
    return _select(connection, condition, state, version.counting_fingerprint, version.as_of_us, version.source)


def in_state(connection: sqlite3.Connection, *states: str) -> list[Generation]:
    """Generations in some states."""
    return _select(connection, f"state IN ({', '.join('?' * len(states))}) ORDER BY number", *states)


def numbered(connection: sqlite3.Connection, number: int) -> Generation:
    """The generation of a number."""
    return _select(connection, "number = ?", number)[0]


def loading(connection: sqlite3.Connection, version: StoreVersion, path: str) -> Generation:
    """The generation that a load of this version fills.

    Raises:
        StoreError: another load took its place, it is live, or none began.
    """
    found = find(connection, "loading", version)
    if found:
        return found[0]
    raise StoreError(
        f"store {path}: the load of source '{version.source}' was replaced by another or never began; "
        "run `rosa materialize` again"
    )


def writable(
    connection: sqlite3.Connection, version: StoreVersion, model_version: str, path: str
) -> tuple[Model, Generation]:
    """The newest room for states of a model in the generation of a version, loading or live.

    Raises:
        StoreError: no load of them began.
    """
    for generation in (*find(connection, "loading", version), *find(connection, "live", version)):
        models = models_of(connection, generation.number, model_version)
        if models:
            return models[0], generation
    raise StoreError(
        f"store {path}: the load of source '{version.source}' for model '{model_version}' was replaced by another "
        "or never began; run `rosa materialize` again"
    )


def models_of(connection: sqlite3.Connection, generation: int, model_version: str | None = None) -> list[Model]:
    """Models of a generation, activated or not, the newest activated first."""
    rows = connection.execute(
        "SELECT number, model_version FROM models WHERE generation = ?1 AND activated >= 0 "
        "AND (?2 IS NULL OR model_version = ?2) ORDER BY activated DESC, number DESC",
        (generation, model_version),
    )
    return [Model(*row) for row in rows]


def activate(connection: sqlite3.Connection, generation: int, model: int) -> None:
    """Make a generation live and active, and a model one that reads it."""
    (last,) = connection.execute("SELECT coalesce(max(activated), 0) FROM generations").fetchone()
    connection.execute("UPDATE generations SET state = 'live', activated = ? WHERE number = ?", (last + 1, generation))
    connection.execute("UPDATE models SET activated = ? WHERE number = ?", (last + 1, model))


def advance(connection: sqlite3.Connection, number: int, newest_us: int, late: int) -> None:
    """Move the newest time forward and count late events."""
    query = "UPDATE generations SET newest_us = max(newest_us, ?), late = late + ? WHERE number = ?"
    connection.execute(query, (newest_us, late, number))


def count_untold(connection: sqlite3.Connection, generation: Generation, said: FeatureConfig, count: int) -> None:
    """Count records of a writer whose features do not say all that a generation counts by."""
    if count and not _says_all(definition_of(said), generation.definition):
        query = "UPDATE generations SET untold = untold + ? WHERE number = ?"
        connection.execute(query, (count, generation.number))


def cover(connection: sqlite3.Connection, number: int, loaded_us: int) -> None:
    """Note the newest time of a loaded log."""
    query = (
        "UPDATE generations SET newest_us = max(newest_us, ?1), covered_us = max(covered_us, ?1) WHERE number = ?2 "
        "AND ?1 > covered_us"
    )
    connection.execute(query, (loaded_us, number))


def held_generations(connection: sqlite3.Connection) -> Iterator[HeldGeneration]:
    """All that a store holds, the active one first."""
    active = max((one.activated for one in in_state(connection, "live")), default=0)
    generations = _select(connection, "1 ORDER BY number DESC")
    for one in sorted(generations, key=lambda one: one.state != "live" or one.activated != active):
        rows = connection.execute(
            "SELECT model_version FROM models WHERE generation = ? AND activated > 0 ORDER BY activated DESC",
            (one.number,),
        )
        models = tuple(dict.fromkeys(version for (version,) in rows if version))
        (untold,) = connection.execute("SELECT untold FROM generations WHERE number = ?", (one.number,)).fetchone()
        is_active = one.state == "live" and one.activated == active
        yield HeldGeneration(
            one.number,
            one.state,  # type: ignore[arg-type]
            one.version,
            models,
            one.newest_us,
            one.late,
            one.max_events,
            is_active,
            untold,
        )


def _select(connection: sqlite3.Connection, condition: str, *values: object) -> list[Generation]:
    query = f"SELECT {_COLUMNS} FROM generations WHERE {condition}"
    return [_generation(row) for row in connection.execute(query, values)]


def _generation(row: tuple[object, ...]) -> Generation:
    number, state, fingerprint, definition, as_of_us, source, max_events, newest_us, late, covered_us, ids, at = row
    version = StoreVersion(fingerprint, as_of_us, source)  # type: ignore[arg-type]
    return Generation(number, state, version, definition, max_events, newest_us, late, covered_us, bool(ids), at)  # type: ignore[arg-type]


@lru_cache(64)
def _says_all(said: str, counted: str) -> bool:
    return says_all(_features(said), _features(counted))


@lru_cache(64)
def _features(definition: str) -> FeatureConfig:
    return config_of(json.loads(definition))
