"""Declared columns of one request, as of its time: of the user, the candidates' items and ads, and the history."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features.changes import Changes
from rosa_ray.features.held_versions import HeldVersions
from rosa_ray.features.own import ColumnConfigs, missing_columns, of_prefix, shared_names
from rosa_ray.schema.own_columns import AD, ITEM, USER
from rosa_ray.serving.messages import FeatureQuery
from rosa_ray.serving.refresher import Later
from rosa_ray.serving.thing_columns import ThingColumns


class OwnColumns:
    """Reads the columns that things have of their own; what is not declared costs nothing.

    Args:
        configs: all declared columns.
        read: `OnlineStore.read_columns`.
        ttl_s: age at which columns of items and ads are read again.
        stale_s: for so long after that age they are used, while they are read again in the background.
    """

    def __init__(
        self,
        configs: ColumnConfigs,
        read: Callable[[str, np.ndarray], list[bytes]],
        ttl_s: float,
        stale_s: float = 0.0,
    ) -> None:
        declared = [prefix for prefix in (USER, ITEM, AD) if of_prefix(prefix, configs)]
        self._shared = shared_names(configs)
        self._user = HeldVersions(USER, configs) if USER in declared else None
        self._things = {
            prefix: ThingColumns(prefix, configs, partial(read, prefix), ttl_s, stale_s)
            for prefix in declared
            if prefix != USER
        }
        self._lock = threading.Lock()

    @property
    def declared(self) -> bool:
        """Whether there are any."""
        return self._user is not None or bool(self._things)

    def read(
        self,
        query: FeatureQuery,
        item_key: np.ndarray,
        events: Columns,
        user: bytes,
        held: bool = False,
        later: Later | None = None,
        wait: bool = True,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Columns of the N candidates, (N, ...), and those of the items of T events, (T,).

        Args:
            item_key: int64 (N,), of the candidates.
            events: of the history.
            user: versions of the user's columns.
            held: do not ask the store: of what is not held nothing is known.
            later: takes what can be read again in the background.
            wait: False does not ask the store.

        Raises:
            NotHeldError: the store would have to be asked.
        """
        moment = np.full(len(query.ad_key), query.time_us)
        read = partial(self._read_things, held=held, later=later, wait=wait)
        of_user = {} if self._user is None else self._read_user(self._user, user, moment)
        items, shared = self._read_items(item_key, moment, events, read)
        return {**of_user, **items, **read(AD, query.ad_key, moment)}, shared

    def forget(self, changes: Sequence[Changes]) -> None:
        """Let go of what changed."""
        for change in changes:
            if change.prefix in self._things:
                self._things[change.prefix].forget(change.key)

    def clear(self) -> None:
        """Let go of all items and ads."""
        for things in self._things.values():
            things.clear()

    def _read_items(
        self, item_key: np.ndarray, moment: np.ndarray, events: Columns, read: Callable[..., dict[str, np.ndarray]]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        if not self._shared:
            return read(ITEM, item_key, moment), {}
        key, time_us = np.r_[item_key, events["item_key"]], np.r_[moment, events["time_us"]]
        both, count = read(ITEM, key, time_us), len(item_key)
        candidates = {name: values[:count] for name, values in both.items()}
        return candidates, {name: both[name][count:] for name in self._shared}

    def _read_things(
        self, prefix: str, key: np.ndarray, time_us: np.ndarray, held: bool, later: Later | None, wait: bool
    ) -> dict[str, np.ndarray]:
        if prefix not in self._things:
            return {}
        things = self._things[prefix]
        return things.read_held(key, time_us) if held else things.read(key, time_us, later, wait)

    def _read_user(self, versions: HeldVersions, user: bytes, moment: np.ndarray) -> dict[str, np.ndarray]:
        with self._lock:
            versions.clear()
            one = versions.read(versions.add([user]), moment[:1])
        return {name: np.repeat(value, len(moment), axis=0) for name, value in one.items()}


def unknown_columns(configs: ColumnConfigs, candidates: int, events: int) -> tuple[Columns, Columns]:
    """The same where nothing can be read: columns of N candidates, and shared ones of T events."""
    own = {prefix: of_prefix(prefix, configs) for prefix in (USER, ITEM, AD)}
    of_things = {name: config for columns in own.values() for name, config in columns.items()}
    of_events = {name: configs[name] for name in shared_names(configs)}
    return missing_columns(candidates, of_things), missing_columns(events, of_events)
