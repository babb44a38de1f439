"""Activation: live records that the loaded log lacks go to the loaded generation, then its model's readers get it.

Live updates go on meanwhile. Users whose journal grew since are replayed again, and the generation is live only at a
moment when no record is left out. Afterwards the journal lets go of what the log holds.
"""

from collections.abc import Callable, Iterable, Sequence

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.store.backends.redis.columns import NotesReplay
from rosa_ray.store.backends.redis.connection import Connection
from rosa_ray.store.backends.redis.counters import CHUNK_BUCKETS
from rosa_ray.store.backends.redis.generations import Generation, Model, describe, replaced
from rosa_ray.store.backends.redis.records import counted_arguments, record_arguments, unpack_entries
from rosa_ray.store.backends.redis.removal import remove_marked
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.protocol import ApplyResult, StoreVersion, merge_results
from rosa_ray.store.windows import Kept

BATCH_RECORDS = 200
"""Records that one script handles: it keeps the server from others for some milliseconds."""

_ROUNDS = 1000
"""Attempts to activate while live records keep coming."""

MakeResult = Callable[[Columns, Sequence[int], Sequence[int]], ApplyResult]
"""Makes a result of a batch from its records, the rows that were new and those that were late."""


def activate(
    connection: Connection, version: StoreVersion, model_version: str, config: StoreConfig, make_result: MakeResult
) -> ApplyResult:
    """See `OnlineStore.activate`."""
    finish_trim(connection)
    found = describe(connection).writable(version, model_version)
    if found is None:
        raise replaced(connection, version, model_version)
    target, model = found
    results: list[ApplyResult] = []
    if target.state == "loading":
        results = _catch_up(connection, target, model, config, make_result)
    elif connection.run("swap", target.name, model.number, config.kept_versions)[0] != b"ok":
        raise replaced(connection, version, model_version)
    finish_trim(connection)
    remove_marked(connection)
    return merge_results(results)


def finish_trim(connection: Connection) -> None:
    """Let the journal go of what the log of the generation activated last holds, also where that was broken off."""
    name = describe(connection).trimming
    if name is None:
        return
    flags = connection.key(name, "replayed")
    with connection.guard():
        for user, _ in connection.client.hscan_iter(flags, count=1000):
            connection.run("trim", name, user)
    connection.run("trim", name, "")


def _catch_up(
    connection: Connection, target: Generation, model: Model, config: StoreConfig, make_result: MakeResult
) -> list[ApplyResult]:
    """Replay what came live, until the generation can be made live in a moment at which nothing is left out."""
    replay = _JournalReplay(connection, target, config, make_result)
    notes = NotesReplay(connection, target, config.horizon_us)
    with connection.guard():
        notes.replay_all()
        replay.replay_users(user for user, _ in connection.client.zscan_iter(connection.key("journal"), count=1000))
    for _ in range(_ROUNDS):
        answer = connection.run("swap", target.name, model.number, config.kept_versions)
        if answer[0] == b"ok":
            with connection.guard():
                notes.drop_said()
            return replay.results
        if answer[0] == b"replaced":
            raise replaced(connection, target.version, model.version)
        with connection.guard():
            replay.replay_users(connection.client.smembers(connection.key(target.name, "dirty")))
            notes.replay_dirty()
    raise StoreError(f"store {connection.where}: live records came faster than they could be replayed; try again")


class _JournalReplay:
    """Replays journals, user by user."""

    def __init__(
        self, connection: Connection, target: Generation, config: StoreConfig, make_result: MakeResult
    ) -> None:
        self._connection, self._target, self._make_result = connection, target, make_result
        self._horizon_us = config.horizon_us
        self._kept = Kept.of(target.features, config, CHUNK_BUCKETS)
        self.results: list[ApplyResult] = []

    def replay_users(self, users: Iterable[bytes]) -> None:
        """Replay the journals of some users, as far as they go now."""
        for user in users:
            while self._replay_batch(user.decode()):
                pass

    def _replay_batch(self, user: str) -> bool:
        """Replay a part of a user's journal; False when nothing is left."""
        connection, target = self._connection, self._target
        start = len(connection.client.hget(connection.key(target.name, "replayed"), user) or b"")
        entries = connection.client.lrange(connection.key("j", user), start, start + BATCH_RECORDS - 1)
        names = [name.decode() for name in connection.client.lrange(connection.key("behaviors"), 0, -1)]
        records = unpack_entries(entries)
        answer = connection.run(
            "replay",
            target.name,
            self._horizon_us,
            user,
            start,
            *record_arguments(records, names, names, connection.where),
            *counted_arguments(records, names, target.features, self._kept, connection.where),
        )
        if answer[0] == b"replaced":
            raise replaced(connection, target.version)
        if answer[0] == b"changed":
            return True
        self.results.append(self._make_result(records, answer[1], answer[2]))
        return len(entries) == BATCH_RECORDS
