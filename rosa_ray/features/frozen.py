"""Vectors of items and ads, one for each id: they come from a file, stay as they are, and belong to the model."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import InputError
from rosa_ray.features.own import ColumnConfig, keyed_columns
from rosa_ray.schema import hash_ids


@dataclass(frozen=True)
class FrozenVectors:
    """The vectors of V ids.

    Attributes:
        keys: int64 (V,), rising.
        matrix: float32 (V, S), as in the file.
    """

    keys: np.ndarray
    matrix: np.ndarray

    @classmethod
    def of(cls, table: pa.Table, id_column: str, name: str, config: ColumnConfig) -> "FrozenVectors":
        """From contract rows; rows without a vector are passed over.

        Raises:
            InputError: an id has two different vectors.
        """
        table = table.filter(pc.is_valid(table[name]))
        key = hash_ids(table[id_column])
        vectors = keyed_columns(table, {name: config})[name]
        order = np.argsort(key, kind="stable")
        key, vectors = key[order], vectors[order]
        begins = np.r_[True, key[1:] != key[:-1]] if len(key) else np.zeros(0, bool)
        differ = np.flatnonzero(~begins[1:] & (vectors[1:] != vectors[:-1]).any(axis=1))
        if len(differ):
            which = table[id_column][int(order[differ[0]])].as_py()
            raise InputError(
                f"{name}: {id_column} '{which}' has two different vectors; vectors of items and ads are frozen, "
                "so give one for each id"
            )
        return cls(key[begins], vectors[begins])

    @property
    def size(self) -> int:
        """S, numbers of a vector."""
        return int(self.matrix.shape[1])

    def rows(self, key: np.ndarray) -> np.ndarray:
        """Row of each key in `table`, int64 of the same shape; 0 where it has no vector.

        >>> FrozenVectors(np.array([7]), np.ones((1, 2), np.float32)).rows(np.array([7, 8]))
        array([1, 0])
        """
        if not len(self.keys):
            return np.zeros(key.shape, np.int64)
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where(self.keys[place] == key, place + 1, 0)

    @cached_property
    def table(self) -> np.ndarray:
        """What a model reads, float32 (V + 1, S): a row of zeros for unknown ids, and the vectors at mean square 1."""
        square = float(np.mean(self.matrix.astype(np.float64) ** 2)) if self.matrix.size else 1.0
        scaled = self.matrix / np.sqrt(square or 1.0)
        return np.concatenate([np.zeros((1, self.size), np.float32), scaled.astype(np.float32)])
