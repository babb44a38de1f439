"""Declared columns of items and ads, kept between requests: decoded once, and read as of any time.

A change that this process writes takes effect at once. Those of other processes do when what is held has aged.
"""

import time
from collections.abc import Callable
from itertools import repeat

import numpy as np

from rosa_ray.features.held_versions import UNKNOWN, HeldVersions
from rosa_ray.features.own import ColumnConfigs

MAX_BYTES = 64_000_000
"""Of the versions that are held of all items, and of all ads. What would be more starts from nothing."""

ReadColumns = Callable[[np.ndarray], list[bytes]]


class ThingColumns:
    """The columns of one kind of things.

    Args:
        prefix: of the columns, such as `item.`.
        configs: all declared columns.
        read: reads the versions of some keys from the store.
        ttl_s: age at which what is held is read again.
    """

    def __init__(
        self,
        prefix: str,
        configs: ColumnConfigs,
        read: ReadColumns,
        ttl_s: float,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._held = HeldVersions(prefix, configs)
        self._read, self._ttl_s, self._max_bytes, self._clock = read, ttl_s, max_bytes, clock
        self.clear()

    def __len__(self) -> int:
        return len(self._number_of)

    def read(self, key: np.ndarray, time_us: np.ndarray) -> dict[str, np.ndarray]:
        """Values of n things at their times, (n, ...); those not held, or held for too long, are read first."""
        numbers = self._numbers(key)
        old = self._read_at_s[numbers] < self._clock() - self._ttl_s
        if old.any():
            if self._held.nbytes > self._max_bytes:
                self.clear()
                old = np.ones(len(key), bool)
            self._fill(np.unique(key[old]))
            numbers = self._numbers(key)
        return self._held.read(numbers, time_us)

    def read_held(self, key: np.ndarray, time_us: np.ndarray) -> dict[str, np.ndarray]:
        """The same without the store: of what is not held nothing is known."""
        return self._held.read(self._numbers(key), time_us)

    def forget(self, key: np.ndarray) -> None:
        """Let go of what changed."""
        for one in key.tolist():
            self._number_of.pop(one, None)

    def clear(self) -> None:
        """Let go of everything."""
        self._held.clear()
        self._number_of: dict[int, int] = {}
        self._read_at_s = np.full(1, -np.inf)

    def _numbers(self, key: np.ndarray) -> np.ndarray:
        return np.fromiter(map(self._number_of.get, key.tolist(), repeat(UNKNOWN)), np.int64, len(key))

    def _fill(self, keys: np.ndarray) -> None:
        packed, now_s = self._read(keys), self._clock()
        changed = []
        for key, versions in zip(keys.tolist(), packed, strict=True):
            number = self._number_of.get(key, UNKNOWN)
            if number == UNKNOWN or self._held.bytes_of(number) != versions:
                changed.append((key, versions))
            else:
                self._read_at_s[number] = now_s
        numbers = self._held.add([versions for _, versions in changed])
        self._number_of |= zip((key for key, _ in changed), numbers.tolist(), strict=True)
        if len(numbers):
            self._read_at_s = _with_room(self._read_at_s, int(numbers[-1]) + 1)
            self._read_at_s[numbers] = now_s


def _with_room(values: np.ndarray, needed: int) -> np.ndarray:
    if needed <= len(values):
        return values
    return np.concatenate([values, np.full(max(needed, 2 * len(values)) - len(values), -np.inf)])
