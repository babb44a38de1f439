"""The generations in Redis: numbered sets of keys, which of them are live, and which models read each.

A number is never used again, so that keys of what was given up can be removed at leisure.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import redis

from rosa_ray.errors import StoreError
from rosa_ray.features import FeatureConfig
from rosa_ray.features.config import config_of
from rosa_ray.features.counted import says_all
from rosa_ray.store.backends.redis.connection import Argument, Connection
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.protocol import NEVER_US, HeldGeneration, LoadProgress, StoreVersion

_ROUNDS = 1000


@dataclass(frozen=True)
class Model:
    """A model of a generation; its states are in fields of its number.

    Attributes:
        activated: number of its activation; 0 before it, -1 once it is given up.
    """

    number: str
    generation: str
    activated: int
    version: str


@dataclass(frozen=True)
class Generation:
    """One loaded log.

    Attributes:
        name: its number, part of its keys.
        activated: number of the activation that was its last; 0 before the first.
        definition: the features it is counted by, as JSON of `FeatureConfig.definition`.
        max_events: events kept per user, one more for the first gap.
        newest_us: newest record's time, at least the end of the loaded log.
    """

    name: str
    state: str
    activated: int
    version: StoreVersion
    definition: str
    max_events: int
    newest_us: int
    late: int
    untold: int

    @property
    def features(self) -> FeatureConfig:
        """The features it is counted by."""
        return _features(self.definition)

    def is_told_all(self, said: FeatureConfig) -> bool:
        """Whether records that were read by some features tell all that is counted here."""
        return _says_all(definition_of(said), self.definition)

    @property
    def stamp(self) -> str:
        """By what `apply.lua` knows it again."""
        return f"{self.name} {self.version.counting_fingerprint}"


@dataclass(frozen=True)
class Held:
    """All that a store holds.

    Attributes:
        generations: newest first.
        models: newest activated first, then newest first.
        figures: of the journal, as of `StoreInfo`.
        trimming: number of an activated generation whose log the journal was not compared with to the end.
    """

    generations: tuple[Generation, ...]
    models: tuple[Model, ...]
    figures: dict[str, int]
    trimming: str | None

    @property
    def live(self) -> list[Generation]:
        """Those that take records, the active one first."""
        return sorted((one for one in self.generations if one.state == "live"), key=lambda one: -one.activated)

    def readable(self, counting_fingerprint: str | None, model_version: str) -> tuple[Generation, Model | None] | None:
        """The generation that a model reads, and its states there, if any; None takes any features."""
        fit = [one for one in self.live if counting_fingerprint in (None, one.version.counting_fingerprint)]
        names = {one.name: one for one in fit}
        for model in self.models:
            if model_version and model.version == model_version and model.activated > 0 and model.generation in names:
                return names[model.generation], model
        return (fit[0], None) if fit else None

    def writable(self, version: StoreVersion, model_version: str) -> tuple[Generation, Model] | None:
        """The newest room for states of a model in the generation of a version, loading or live."""
        for state in ("loading", "live"):
            for one in self.generations:
                if one.state == state and one.version == version:
                    for model in self.models:
                        if (model.generation, model.version) == (one.name, model_version) and model.activated >= 0:
                            return one, model
        return None

    def described(self) -> tuple[HeldGeneration, ...]:
        """All generations as of `StoreInfo.held`."""
        active = self.live[0].name if self.live else ""
        return tuple(
            HeldGeneration(
                number=int(one.name),
                state=one.state,  # type: ignore[arg-type]
                version=one.version,
                models=tuple(dict.fromkeys(model.version for model in self._read_by(one) if model.version)),
                newest_us=one.newest_us,
                late=one.late,
                max_timeline_events=one.max_events,
                is_active=one.name == active,
                untold=one.untold,
            )
            for one in sorted(self.generations, key=lambda one: one.name != active)
        )

    def _read_by(self, generation: Generation) -> list[Model]:
        return [model for model in self.models if model.generation == generation.name and model.activated > 0]


def definition_of(features: FeatureConfig) -> str:
    """What a generation keeps of the features it is counted by."""
    return json.dumps(features.definition())


def describe(connection: Connection) -> Held:
    """What a store holds now.

    Raises:
        StoreError: the store is missing or of another schema version.
    """
    _, generations, models, figures, *trimming = connection.run("describe")
    numbers = zip(("journal_records", "journal_dropped", "journal_from_us"), figures, (0, 0, NEVER_US), strict=True)
    return Held(
        tuple(map(_generation, generations)),
        tuple(Model(name.decode(), of.decode(), int(at), version.decode()) for name, of, at, version in models),
        {name: unset if value is None else int(value) for name, value, unset in numbers},
        trimming[0].decode() if trimming and trimming[0] else None,
    )


def create(connection: Connection, counting_fingerprint: str, features: FeatureConfig, max_events: int) -> None:
    """Make an empty store where there is none."""
    fields = _fields(StoreVersion(counting_fingerprint, 0), features, max_events)
    names = features.behavior_names
    connection.run("create", counting_fingerprint, len(fields), *fields, len(names), *names)


def begin(
    connection: Connection,
    version: StoreVersion,
    model_version: str,
    features: FeatureConfig,
    config: StoreConfig,
    max_events: int,
) -> LoadProgress:
    """See `OnlineStore.begin_load`."""
    fields = _fields(version, features, max_events)
    named: list[Argument] = [version.counting_fingerprint, version.as_of_us, version.source, model_version]
    exact = int(config.max_timeline_events > 0)
    _, is_live, parts = connection.run("begin", *named, max_events, exact, len(fields), *fields)
    return LoadProgress(bool(is_live), frozenset(part.decode() for part in parts))


def loading(connection: Connection, version: StoreVersion) -> Generation:
    """The generation that a load of this version fills.

    Raises:
        StoreError: another load took its place, it is live, or none began.
    """
    found = [one for one in describe(connection).generations if (one.state, one.version) == ("loading", version)]
    if not found:
        raise replaced(connection, version)
    return found[0]


def fill(connection: Connection, version: StoreVersion, write: Callable[[Generation, Any], None]) -> None:
    """Write into the generation that a load of this version fills, in one transaction.

    Args:
        write: puts its commands into a pipeline; called again where what is held changed meanwhile.

    Raises:
        StoreError: another load took its place, it is live, or none began.
    """
    _transact(connection, lambda pipe: write(loading(connection, version), pipe))


def fill_model(
    connection: Connection, version: StoreVersion, model_version: str, write: Callable[[Generation, Model, Any], None]
) -> None:
    """`fill` for the states of a model, in a generation that is loading or live."""

    def write_found(pipe: Any) -> None:
        found = describe(connection).writable(version, model_version)
        if found is None:
            raise replaced(connection, version, model_version)
        write(*found, pipe)

    _transact(connection, write_found)


def replaced(connection: Connection, version: StoreVersion, model_version: str = "") -> StoreError:
    """The error of a load that is not, or no longer, the one going on."""
    of_model = f" for model '{model_version}'" if model_version else ""
    return StoreError(
        f"store {connection.where}: the load of source '{version.source}'{of_model} was replaced by another "
        "or never began; run `rosa materialize` again"
    )


def _transact(connection: Connection, write: Callable[[Any], None]) -> None:
    for _ in range(_ROUNDS):
        with connection.guard(), connection.client.pipeline() as pipe:
            pipe.watch(connection.key("generations"), connection.key("models"))
            # What `write` reads comes over another connection, before the transaction.
            pipe.multi()
            write(pipe)
            try:
                pipe.execute()
            except redis.WatchError:
                continue
            return
    raise StoreError(f"store {connection.where}: other loads changed it all the time; try again")


def _fields(version: StoreVersion, features: FeatureConfig, max_events: int) -> list[Argument]:
    as_of_us = version.as_of_us
    fields: dict[str, Argument] = {
        "as_of": as_of_us,
        "source": version.source,
        "features": definition_of(features),
        "max_events": max_events,
        "newest": as_of_us,
        "covered": as_of_us,
    }
    return [part for field in fields.items() for part in field]


def _generation(row: Sequence[Any]) -> Generation:
    name, state, activated, counting, as_of, source, features, *sizes = row
    version = StoreVersion(counting.decode(), int(as_of), source.decode())
    return Generation(name.decode(), state.decode(), int(activated), version, features.decode(), *map(int, sizes))


@lru_cache(64)
def _says_all(said: str, counted: str) -> bool:
    return says_all(_features(said), _features(counted))


@lru_cache(64)
def _features(definition: str) -> FeatureConfig:
    return config_of(json.loads(definition))
