"""The versions in Redis: numbered generations of keys, of which one is active and one may be loading beside it.

A number is never used again, so that keys of a replaced generation can be removed at leisure.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from rosa_ray.errors import StoreError
from rosa_ray.store.backends.redis.connection import SCHEMA_VERSION, Connection
from rosa_ray.store.protocol import StoreVersion

_SCAN_KEYS = 1000
_FIELDS = ("model", "features", "as_of", "source", "max_events", "newest", "late")


@dataclass(frozen=True)
class Generation:
    """One version.

    Attributes:
        name: its number, part of its keys.
        max_events: events kept per user, one more for the first gap.
        newest_us: newest record's time, at least the end of the loaded log.
    """

    name: str
    version: StoreVersion
    max_events: int
    newest_us: int
    late: int


def create(connection: Connection, feature_fingerprint: str, max_events: int) -> None:
    """Make an empty store where there is none."""
    meta = connection.key("meta")
    with connection.guard(), connection.client.pipeline() as pipe:
        pipe.watch(meta)
        if pipe.exists(meta):
            return
        pipe.multi()
        pipe.hset(meta, mapping={"schema": SCHEMA_VERSION, "active": 1, "next": 1})
        _stamp(pipe, connection, "1", StoreVersion("", feature_fingerprint, 0), max_events)
        try:
            pipe.execute()
        except redis.WatchError:
            return


def read_generation(connection: Connection, which: str) -> Generation | None:
    """The `active` or `loading` generation, None when there is none.

    Raises:
        StoreError: the store is missing or of another schema version.
    """
    with connection.guard():
        schema, name = connection.client.hmget(connection.key("meta"), "schema", which)
        if schema is None:
            connection.refuse([b"missing"])
        if int(schema) != SCHEMA_VERSION:
            connection.refuse([b"schema", schema])
        return None if name is None else _read(connection.client, connection, name.decode())


def begin(connection: Connection, version: StoreVersion, max_events: int) -> Generation:
    """Start a generation to load, or go on with one of the same version."""
    meta = connection.key("meta")
    while True:
        held = read_generation(connection, "loading")
        if held is not None and (held.version, held.max_events) == (version, max_events):
            return held
        with connection.guard(), connection.client.pipeline() as pipe:
            pipe.watch(meta)
            name, following = (value and value.decode() for value in pipe.hmget(meta, "loading", "next"))
            if name != (held and held.name):
                continue
            number = str(int(following) + 1)
            pipe.multi()
            pipe.hset(meta, mapping={"loading": number, "next": number})
            _stamp(pipe, connection, number, version, max_events)
            if name is not None:
                pipe.sadd(connection.key("dead"), name)
            try:
                pipe.execute()
            except redis.WatchError:
                continue


@contextmanager
def fill_generation(connection: Connection, version: StoreVersion) -> Iterator[tuple[Generation, Any]]:
    """The generation that a load of this version fills, and a transaction that is committed at the end.

    Raises:
        StoreError: another load took its place, or none began.
    """
    with connection.guard(), connection.client.pipeline() as pipe:
        pipe.watch(connection.key("meta"))
        name = pipe.hget(connection.key("meta"), "loading")
        held = None if name is None else _read(pipe, connection, name.decode())
        if held is None or held.version != version:
            raise replaced(connection, version)
        pipe.multi()
        yield held, pipe
        try:
            pipe.execute()
        except redis.WatchError:
            raise replaced(connection, version) from None


def replaced(connection: Connection, version: StoreVersion) -> StoreError:
    """The error of a load that is not, or no longer, the one going on."""
    return StoreError(
        f"store {connection.where}: the load of model '{version.model_version}' was replaced by another or never "
        "began; run `rosa materialize` again"
    )


def remove_replaced(connection: Connection) -> None:
    """Remove the keys of replaced generations, some at a time."""
    with connection.guard():
        for name in connection.client.smembers(connection.key("dead")):
            remove_keys(connection, connection.key(name.decode(), "*"))
            connection.client.srem(connection.key("dead"), name)


def remove_keys(connection: Connection, pattern: str) -> None:
    """Remove all keys that match, some at a time."""
    found: list[bytes] = []
    for key in connection.client.scan_iter(match=pattern, count=_SCAN_KEYS):
        found.append(key)
        if len(found) == _SCAN_KEYS:
            connection.client.unlink(*found)
            found.clear()
    if found:
        connection.client.unlink(*found)


def _stamp(pipe: Any, connection: Connection, name: str, version: StoreVersion, max_events: int) -> None:
    values = (version.model_version, version.feature_fingerprint, version.as_of_us, version.source)
    stamp = dict(zip(_FIELDS, (*values, max_events, version.as_of_us, 0), strict=True))
    stamp["covered"] = version.as_of_us
    pipe.hset(connection.key(name, "info"), mapping=stamp)


def _read(client: Any, connection: Connection, name: str) -> Generation:
    held = [value.decode() for value in client.hmget(connection.key(name, "info"), *_FIELDS)]
    version = StoreVersion(held[0], held[1], int(held[2]), held[3])
    return Generation(name, version, max_events=int(held[4]), newest_us=int(held[5]), late=int(held[6]))
