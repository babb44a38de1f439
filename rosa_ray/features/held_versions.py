"""Versions as a store keeps them, decoded once and read many times, as of any time."""

from collections.abc import Sequence

import numpy as np

from rosa_ray.features.own import ColumnConfigs, missing_columns, of_prefix
from rosa_ray.features.search import search_spans
from rosa_ray.features.versions import field_name, layout

UNKNOWN = 0
"""The number of a thing of which nothing is known."""


class HeldVersions:
    """The versions of things, one thing after another; more are added at the end.

    Args:
        prefix: of the columns.
        configs: all declared columns.

    >>> from rosa_ray.features.own import ColumnConfig
    >>> held = HeldVersions("ad.", {"ad.margin": ColumnConfig(type="number")})
    >>> held.read(np.array([UNKNOWN]), np.array([5]))
    {'ad.margin': array([nan])}
    """

    def __init__(self, prefix: str, configs: ColumnConfigs) -> None:
        self._configs = of_prefix(prefix, configs)
        self._nothing = missing_columns(1, self._configs)
        self._layout = layout(self._configs)
        self.clear()

    def clear(self) -> None:
        """Hold nothing."""
        self._versions, self._things = 0, 1
        self._rows = np.empty(0, self._layout)
        self._told = np.empty((len(self._configs), 0), np.int64)
        self._first, self._stop = np.zeros(1, np.int64), np.zeros(1, np.int64)

    @property
    def nbytes(self) -> int:
        """Memory that the versions take, bytes."""
        return int(self._rows.nbytes + self._told.nbytes + self._first.nbytes + self._stop.nbytes)

    def add(self, packed: Sequence[bytes]) -> np.ndarray:
        """Hold E more things, each by its bytes, empty where nothing is known.

        Returns:
            int64 (E,), the numbers by which they are read.
        """
        rows = np.frombuffer(b"".join(packed), self._layout)
        low, high = self._versions, self._versions + len(rows)
        first, stop = self._things, self._things + len(packed)
        self._rows, self._told = _room(self._rows, high), _room(self._told, high)
        self._first, self._stop = _room(self._first, stop), _room(self._stop, stop)
        self._rows[low:high] = rows
        said = np.unpackbits(rows["said"], axis=1, count=len(self._configs), bitorder="little").T > 0
        # Per version the newest one up to it that tells a column; it may be another thing's, which a read looks at.
        self._told[:, low:high] = np.maximum.accumulate(np.where(said, np.arange(low, high), -1), axis=1)
        ends = low + np.cumsum([len(one) // rows.itemsize for one in packed], dtype=np.int64)
        self._stop[first:stop], self._first[first:stop] = ends, np.r_[low, ends[:-1]][: len(packed)]
        self._versions, self._things = high, stop
        return np.arange(first, stop)

    def bytes_of(self, thing: int) -> bytes:
        """The versions of one thing, as they were added."""
        return self._rows[self._first[thing] : self._stop[thing]].tobytes()

    def read(self, thing: np.ndarray, time_us: np.ndarray) -> dict[str, np.ndarray]:
        """Values of n things at their times, (n, ...), as `rosa_ray.features.versions.Versions.read` gives them.

        Args:
            thing: int64 (n,), numbers that `add` returned, or `UNKNOWN`.
        """
        first, stop = self._first[thing], self._stop[thing]
        ends = {"valid_from": search_spans(self._rows["time_us"], first, stop, time_us), "static": stop}
        read = {}
        for place, (name, config) in enumerate(self._configs.items()):
            read[name] = np.repeat(self._nothing[name], len(thing), axis=0)
            some = np.flatnonzero(ends[config.clock] > first)
            row = self._told[place][ends[config.clock][some] - 1]
            told = row >= first[some]
            read[name][some[told]] = self._rows[field_name(place)][row[told]]
        return read


def _room(values: np.ndarray, needed: int) -> np.ndarray:
    """The same with at least so many places along the last axis, of which there are twice as many as before."""
    held = values.shape[-1]
    if needed <= held:
        return values
    grown = np.empty((*values.shape[:-1], max(needed, 2 * held)), values.dtype)
    grown[..., :held] = values
    return grown
