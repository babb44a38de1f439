"""Live records in Redis: one script folds a batch into every live generation, each as its own features count."""

from collections.abc import Sequence
from typing import Any

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import FeatureConfig
from rosa_ray.features.views import OF_USERS
from rosa_ray.store.backends.redis.connection import Argument, Connection
from rosa_ray.store.backends.redis.counters import CHUNK_BUCKETS
from rosa_ray.store.backends.redis.generations import Generation, describe
from rosa_ray.store.backends.redis.records import counted_arguments, record_arguments
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.protocol import StreamPosition
from rosa_ray.store.windows import Kept

_EXPIRE_USERS = 20
_ROUNDS = 100


class Applying:
    """Applies batches, and remembers which generations are live and by which codes behaviours are journaled.

    A script refuses what is remembered wrong; then it is asked for again.

    Args:
        reader: counting fingerprint and model of the caller, whose generation's result is given.
    """

    def __init__(self, connection: Connection, config: StoreConfig, reader: Sequence[Argument]) -> None:
        self._connection, self._config, self._reader = connection, config, reader
        self._known: tuple[Sequence[Generation], tuple[str, ...]] | None = None

    def apply(self, records: Columns, said: FeatureConfig, positions: Sequence[StreamPosition]) -> list[Any]:
        """Apply a batch; returns what `apply.lua` does, rows that were new and those that were late behind `ok`.

        Args:
            said: features by whose codes behaviours come.

        Raises:
            StoreError: the script refused, or the server failed.
        """
        for _ in range(_ROUNDS):
            answer = self._connection.run("apply", *self._reader, *self._arguments(records, said, positions))
            if answer[0] != b"changed":
                return answer
            self._known = None
        raise StoreError(f"store {self._connection.where}: other loads changed it all the time; try again")

    def _arguments(self, records: Columns, said: FeatureConfig, positions: Sequence[StreamPosition]) -> list[Argument]:
        live, names = self._known or self._ask(said)
        if not {*said.behavior_names} <= {*names}:
            live, names = self._ask(said)
        config, where = self._config, self._connection.where
        flat: list[Argument] = [value for position in positions for value in (position.stream, position.offset)]
        limit = _EXPIRE_USERS + 2 * len(records["time_us"])
        arguments: list[Argument] = [config.horizon_us, config.ttl_us or 0, limit, config.journal_us, "\n".join(names)]
        arguments += [len(OF_USERS), *OF_USERS, len(flat), *flat]
        arguments += record_arguments(records, said.behavior_names, names, where)
        arguments += [len(live), *(one.stamp for one in live)]
        counted: dict[str, list[Argument]] = {}
        for one in live:
            if one.definition not in counted:
                kept = Kept.of(one.features, config, CHUNK_BUCKETS)
                behaviors = said.behavior_names
                tells_all = int(one.is_told_all(said))
                arguments_of = counted_arguments(records, behaviors, one.features, kept, where)
                counted[one.definition] = [tells_all, *arguments_of]
            arguments += counted[one.definition]
        return arguments

    def _ask(self, said: FeatureConfig) -> tuple[Sequence[Generation], tuple[str, ...]]:
        behaviors = said.behavior_names
        _, held = self._connection.run("behaviors", len(behaviors), *behaviors)
        self._known = describe(self._connection).live, tuple(name.decode() for name in held)
        return self._known
