"""Removal of generations and of models' states in Redis, some keys at a time, while the store is read and written."""

from collections.abc import Iterator

from rosa_ray.errors import StoreError
from rosa_ray.store.backends.redis.connection import Connection
from rosa_ray.store.backends.redis.generations import describe

_SCAN_KEYS = 1000


def drop(connection: Connection, name: str) -> None:
    """See `OnlineStore.drop`."""
    answer = connection.run("drop", name)[0]
    if answer == b"unknown":
        held = [one for one in describe(connection).described() if one.state != "dropped"]
        known = ", ".join(f"{one.number} ({', '.join(one.models) or one.state})" for one in held)
        raise StoreError(f"store {connection.where}: holds no '{name}'; it holds {known}")
    if answer == b"active":
        raise StoreError(
            f"store {connection.where}: '{name}' is active, and is not dropped; activate another one first"
        )
    remove_marked(connection)


def remove_marked(connection: Connection) -> None:
    """Remove what was given up, also by one that was broken off."""
    held, client = describe(connection), connection.client
    gone = {one.name for one in held.generations if one.state == "dropped"}
    with connection.guard():
        for model in (model for model in held.models if model.activated == -1):
            if model.generation not in gone:
                _remove_states(connection, model.generation, model.number)
            client.unlink(connection.key("parts", model.number))
            client.hdel(connection.key("models"), model.number)
        for name in gone:
            remove_keys(connection, connection.key(name, "*"))
            client.hdel(connection.key("generations"), name)


def remove_keys(connection: Connection, pattern: str) -> None:
    """Remove all keys that match, some at a time."""
    for keys in _scan(connection, pattern):
        connection.client.unlink(*keys)


def _remove_states(connection: Connection, generation: str, model: str) -> None:
    for keys in _scan(connection, connection.key(generation, "t:*")):
        with connection.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hdel(key, f"s{model}")
            pipe.execute()


def _scan(connection: Connection, pattern: str) -> Iterator[list[bytes]]:
    found: list[bytes] = []
    for key in connection.client.scan_iter(match=pattern, count=_SCAN_KEYS):
        found.append(key)
        if len(found) == _SCAN_KEYS:
            yield found
            found = []
    if found:
        yield found
