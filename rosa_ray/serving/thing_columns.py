"""Declared columns of items and ads, kept between requests: decoded once, and read as of any time.

A change that this process writes takes effect at once. Those of other processes do when what is held has aged. It is
then read again in the background, and used meanwhile.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import repeat

import numpy as np

from rosa_ray.features.held_versions import UNKNOWN, HeldVersions
from rosa_ray.features.own import ColumnConfigs
from rosa_ray.serving.refresher import Later, NotHeldError

MAX_BYTES = 64_000_000
"""Of the versions that are held of all items, and of all ads. What would be more starts from nothing."""

ReadColumns = Callable[[np.ndarray], list[bytes]]


class ThingColumns:
    """The columns of one kind of things. Safe in several threads.

    Args:
        prefix: of the columns, such as `item.`.
        configs: all declared columns.
        read: reads the versions of some keys from the store.
        ttl_s: age at which what is held is read again.
        stale_s: for so long after that age it is used, while it is read again in the background.
    """

    def __init__(
        self,
        prefix: str,
        configs: ColumnConfigs,
        read: ReadColumns,
        ttl_s: float,
        stale_s: float = 0.0,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix, self._held = prefix, HeldVersions(prefix, configs)
        self._read, self._ttl_s, self._stale_s = read, ttl_s, stale_s
        self._max_bytes, self._clock = max_bytes, clock
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._changes = 0
        self._clear()

    def __len__(self) -> int:
        return len(self._number_of)

    def read(
        self, key: np.ndarray, time_us: np.ndarray, later: Later | None = None, wait: bool = True
    ) -> dict[str, np.ndarray]:
        """Values of n things at their times, (n, ...); those not held, or held for too long, are read first.

        Args:
            later: takes what can be read again in the background; without it all of that is read at once.
            wait: False does not ask the store.

        Raises:
            NotHeldError: the store would have to be asked.
        """
        oldest_s = self._ttl_s + (self._stale_s if later else 0.0)
        found = self._read_known(key, time_us, oldest_s)
        if found is None:
            if not wait:
                raise NotHeldError
            with self._reading:
                found = self._read_store(key, time_us, oldest_s)
        if later and len(aged := self._older(key, self._ttl_s)):
            later((self._prefix, "columns"), partial(self._fill, aged))
        return found

    def read_held(self, key: np.ndarray, time_us: np.ndarray) -> dict[str, np.ndarray]:
        """The same without the store: of what is not held nothing is known."""
        with self._lock:
            return self._held.read(self._numbers(key), time_us)

    def forget(self, key: np.ndarray) -> None:
        """Let go of what changed."""
        with self._lock:
            self._changes += 1
            for one in key.tolist():
                self._number_of.pop(one, None)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._changes += 1
            self._clear()

    def _clear(self) -> None:
        self._held.clear()
        self._number_of: dict[int, int] = {}
        self._read_at_s = np.full(1, -np.inf)

    def _read_known(self, key: np.ndarray, time_us: np.ndarray, oldest_s: float) -> dict[str, np.ndarray] | None:
        """Values where all things are held and young enough."""
        with self._lock:
            numbers = self._numbers(key)
            old = self._is_older(numbers, oldest_s).any()
            return None if old else self._held.read(numbers, time_us)

    def _read_store(self, key: np.ndarray, time_us: np.ndarray, oldest_s: float) -> dict[str, np.ndarray]:
        if self._held.nbytes > self._max_bytes:
            self.clear()
        self._fill(self._older(key, oldest_s))
        # What another thread lets go of meanwhile is read once more.
        while (found := self._read_known(key, time_us, float("inf"))) is None:
            self._fill(self._older(key, float("inf")))
        return found

    def _numbers(self, key: np.ndarray) -> np.ndarray:
        return np.fromiter(map(self._number_of.get, key.tolist(), repeat(UNKNOWN)), np.int64, len(key))

    def _older(self, key: np.ndarray, age_s: float) -> np.ndarray:
        """Keys of which nothing younger is held, each once."""
        with self._lock:
            return np.unique(key[self._is_older(self._numbers(key), age_s)])

    def _is_older(self, numbers: np.ndarray, age_s: float) -> np.ndarray:
        old: np.ndarray = (self._read_at_s[numbers] < self._clock() - age_s) | (numbers == UNKNOWN)
        return old

    def _fill(self, keys: np.ndarray) -> None:
        if not len(keys):
            return
        changes, packed, now_s = self._changes, self._read(keys), self._clock()
        with self._lock:
            # What changed during the read is held for this request, and read again by the next.
            self._keep(keys, packed, now_s if changes == self._changes else -np.inf)

    def _keep(self, keys: np.ndarray, packed: list[bytes], read_at_s: float) -> None:
        changed = []
        for key, versions in zip(keys.tolist(), packed, strict=True):
            number = self._number_of.get(key, UNKNOWN)
            if number == UNKNOWN or self._held.bytes_of(number) != versions:
                changed.append((key, versions))
            else:
                self._read_at_s[number] = read_at_s
        numbers = self._held.add([versions for _, versions in changed])
        self._number_of |= zip((key for key, _ in changed), numbers.tolist(), strict=True)
        if len(numbers):
            self._read_at_s = _with_room(self._read_at_s, int(numbers[-1]) + 1)
            self._read_at_s[numbers] = read_at_s


def _with_room(values: np.ndarray, needed: int) -> np.ndarray:
    if needed <= len(values):
        return values
    return np.concatenate([values, np.full(max(needed, 2 * len(values)) - len(values), -np.inf)])
