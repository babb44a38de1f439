"""Activation: live records that the loaded log lacks go to the loaded generation, then it takes the active one's place.

Live updates go on meanwhile. Users whose journal grew since are replayed again, and the swap happens only at a moment
when no record is left out.
"""

from collections.abc import Callable, Iterable, Sequence

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import FeatureConfig
from rosa_ray.store.backends.redis.columns import NotesReplay
from rosa_ray.store.backends.redis.connection import Connection
from rosa_ray.store.backends.redis.counters import kept_arguments
from rosa_ray.store.backends.redis.generations import Generation, read_generation, remove_replaced, replaced
from rosa_ray.store.backends.redis.records import record_arguments, unpack_entries
from rosa_ray.store.protocol import ApplyResult, StoreVersion, merge_results
from rosa_ray.store.windows import Kept

BATCH_RECORDS = 200
"""Records that one script handles: it keeps the server from others for some milliseconds."""

_ROUNDS = 1000
"""Attempts to swap while live records keep coming."""

MakeResult = Callable[[Columns, Sequence[int], Sequence[int]], ApplyResult]
"""Makes a result of a batch from its records, the rows that were new and those that were late."""


def activate(
    connection: Connection,
    version: StoreVersion,
    features: FeatureConfig,
    horizon_us: int,
    kept: Kept,
    make_result: MakeResult,
) -> ApplyResult:
    """See `OnlineStore.activate`."""
    active, target = read_generation(connection, "active"), read_generation(connection, "loading")
    if active is None or target is None or target.version != version:
        raise replaced(connection, version)
    replay = _JournalReplay(connection, active.name, target, features, horizon_us, kept, make_result)
    notes = NotesReplay(connection, target, features.columns, horizon_us)
    with connection.guard():
        notes.replay_all()
        replay.replay_users(connection.client.sscan_iter(connection.key(active.name, "journal"), count=1000))
    for _ in range(_ROUNDS):
        answer = connection.run("swap", target.name)
        if answer[0] == b"ok":
            with connection.guard():
                notes.drop_said()
            remove_replaced(connection)
            return merge_results(replay.results)
        if answer[0] == b"replaced":
            break
        with connection.guard():
            replay.replay_users(connection.client.smembers(connection.key(target.name, "dirty")))
            notes.replay_dirty()
    else:
        raise StoreError(f"store {connection.where}: live records came faster than they could be replayed; try again")
    raise replaced(connection, version)


class _JournalReplay:
    """Copies journals, user by user."""

    def __init__(
        self,
        connection: Connection,
        active: str,
        target: Generation,
        features: FeatureConfig,
        horizon_us: int,
        kept: Kept,
        make_result: MakeResult,
    ) -> None:
        self._connection, self._active, self._target = connection, active, target
        self._features, self._make_result = features, make_result
        self._limits = (horizon_us, *kept_arguments(kept))
        self.results: list[ApplyResult] = []

    def replay_users(self, users: Iterable[bytes]) -> None:
        """Replay the journals of some users, as far as they go now."""
        for user in users:
            while self._replay_batch(user.decode()):
                pass

    def _replay_batch(self, user: str) -> bool:
        """Replay a part of a user's journal; False when nothing is left."""
        replayed = self._connection.client.hget(self._connection.key(self._target.name, "replayed"), user)
        start = int(replayed or 0)
        journal = self._connection.key(self._active, f"j:{user}")
        entries = self._connection.client.lrange(journal, start, start + BATCH_RECORDS - 1)
        records = unpack_entries(entries)
        arguments = record_arguments(records, self._features, self._connection.where)
        answer = self._connection.run("replay", self._target.name, *self._limits, user, start, *arguments)
        if answer[0] == b"replaced":
            raise replaced(self._connection, self._target.version)
        if answer[0] == b"changed":
            return True
        self.results.append(self._make_result(records, answer[1], answer[2]))
        return len(entries) == BATCH_RECORDS
