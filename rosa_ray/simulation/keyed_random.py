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


class KeyedPlaces:
    """Whole numbers as a function of a key, the place in a table, and how often was asked before.

    What one place gets does not depend on which others ask.

    >>> one, all_places = np.array([[False, True]]), np.array([[True, True]])
    >>> bool(KeyedPlaces(7)(one, 500)[0] == KeyedPlaces(7)(all_places, 500)[1])
    True
    """

    def __init__(self, key: int) -> None:
        self._next = np.uint64(key)

    def __call__(self, wanted: np.ndarray, below: int) -> np.ndarray:
        """Draw a number from 0 to below `below` for each marked place."""
        at = self._next + np.flatnonzero(wanted).astype(np.uint64)
        self._next = self._next + np.uint64(wanted.size)
        return (mix64(at) % np.uint64(below)).astype(np.int64)


def mix64(value: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
