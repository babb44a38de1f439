"""Random numbers as a function of ids: the same in every process, whatever the order of rows."""

import numpy as np


def hash_uniform(key: np.ndarray, seed: int, salt: int) -> np.ndarray:
    """Map 64-bit keys to [0, 1), equal in every process and independent between salts.

    >>> draws = hash_uniform(np.arange(1000), seed=1, salt=2)
    >>> bool(abs(draws.mean() - 0.5) < 0.05 and (draws >= 0).all() and (draws < 1).all())
    True
    """
    stream = mix64(np.array([seed * 1_000_003 + salt], dtype=np.uint64))
    return (mix64(key.astype(np.uint64) ^ stream) >> np.uint64(11)) * 2.0**-53


class KeyedIntegers:
    """Whole numbers as a function of a key: how many are drawn moves no other draw.

    >>> KeyedIntegers(7).integers(0, 5, 3).tolist() == KeyedIntegers(7).integers(0, 5, 9)[:3].tolist()
    True
    """

    def __init__(self, key: int) -> None:
        self._next = np.uint64(key)

    def integers(self, low: int, high: int, size: int) -> np.ndarray:
        """Draw `size` numbers from `low` to below `high`."""
        at = self._next + np.arange(size, dtype=np.uint64)
        self._next = self._next + np.uint64(size)
        return low + (mix64(at) % np.uint64(high - low)).astype(np.int64)


def mix64(value: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
