"""What is known of users, items and ads as of a time: declared columns in versions that held one after another.

From a log all versions come as one table, `Versions`. Live they come one by one, and a store keeps those of one thing
as bytes, `layout` and `merge`. Both are read as of the time of a request: the newest version at or before it, and never
one that came after. The union of versions does not depend on their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from rosa_ray.arrays import Columns
from rosa_ray.features.own import ColumnConfig, ColumnConfigs, keyed_columns, missing_columns
from rosa_ray.features.search import find_spans, search_spans
from rosa_ray.schema import hash_ids

ALWAYS_US = np.iinfo(np.int64).min
"""Since when a version holds where nothing says it."""


@dataclass(frozen=True)
class Versions:
    """V versions of things, sorted by key and since when each holds.

    Attributes:
        key, from_us: int64 (V,).
        columns: keyed values (V, ...), see `rosa_ray.features.own.keyed_columns`.
        configs: the columns, all of one prefix.
    """

    key: np.ndarray
    from_us: np.ndarray
    columns: Columns
    configs: ColumnConfigs

    @classmethod
    def of(cls, table: pa.Table, id_column: str, configs: ColumnConfigs) -> "Versions":
        """From contract rows, one per key and `valid_from`."""
        key = hash_ids(table[id_column])
        dated = "valid_from" in table.column_names
        from_us = (
            table["valid_from"].cast(pa.int64()).fill_null(ALWAYS_US).to_numpy()
            if dated
            else np.full(len(key), ALWAYS_US)
        )
        order = np.lexsort((from_us, key))
        columns = {name: values[order] for name, values in keyed_columns(table, configs).items()}
        return cls(key[order], from_us[order], columns, configs)

    def __len__(self) -> int:
        return len(self.key)

    def only(self, names: Sequence[str]) -> "Versions":
        """The same versions with some of the columns."""
        configs = {name: self.configs[name] for name in names}
        return replace(self, columns={name: self.columns[name] for name in names}, configs=configs)

    def read(self, key: np.ndarray, time_us: np.ndarray) -> dict[str, np.ndarray]:
        """Values of n things at their times, (n, ...); missing where a thing has no version yet.

        Columns with a static clock are read from the newest version, whenever that came.
        """
        first, stop = find_spans(self.key, key)
        held = search_spans(self.from_us, first, stop, time_us)
        rows = {"valid_from": np.where(held > first, held - 1, -1), "static": np.where(stop > first, stop - 1, -1)}
        read = {}
        for name, missing in missing_columns(len(key), self.configs).items():
            row = rows[self.configs[name].clock]
            known = row >= 0
            missing[known] = self.columns[name][row[known]]
            read[name] = missing
        return read

    def packed(self) -> tuple[np.ndarray, list[bytes]]:
        """Keys of the K things, int64 (K,), and the versions of each as a store keeps them."""
        rows = np.zeros(len(self.key), layout(self.configs))
        rows["time_us"] = self.from_us
        rows["said"] = np.packbits(np.ones(len(self.configs), bool), bitorder="little")
        for place, name in enumerate(self.configs):
            rows[field_name(place)] = self.columns[name]
        keys, first = np.unique(self.key, return_index=True)
        bounds = [*first.tolist(), len(rows)]
        return keys, [rows[low:high].tobytes() for low, high in pairwise(bounds)]


def layout(configs: ColumnConfigs) -> np.dtype:
    """One version as a store keeps it.

    Fields are `time_us`; `said`, bits of the columns that the version tells; and `c0`, `c1`, … with their values.

    Args:
        configs: the columns, all of one prefix.

    >>> layout({"user.age": ColumnConfig(type="number"), "user.city": ColumnConfig()}).itemsize
    25
    """
    fields: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [("time_us", "<i8")]
    fields.append(("said", "u1", (-(-len(configs) // 8),)))
    for place, config in enumerate(configs.values()):
        fields.append((field_name(place), *_cell(config)))
    return np.dtype(fields)


def unpack(packed: bytes, configs: ColumnConfigs) -> np.ndarray:
    """Versions of one thing by time, (v,) of `layout`."""
    return np.frombuffer(packed, layout(configs))


def merge(packed: bytes, rows: np.ndarray, configs: ColumnConfigs) -> bytes:
    """Add versions to those of one thing. Repetitions and order change nothing.

    Of one moment the columns that several versions tell are united; where they contradict, the larger bytes count.
    """
    both = np.concatenate([unpack(packed, configs), rows])
    both = both[np.argsort(both["time_us"], kind="stable")]
    again = both["time_us"][1:] == both["time_us"][:-1]
    if not again.any():
        return both.tobytes()
    merged = both[np.r_[True, ~again]]
    for row, into in zip(both[1:][again], np.cumsum(~again)[again].tolist(), strict=True):
        if row.tobytes() != merged[into].tobytes():
            _unite(merged[into : into + 1], row, len(configs))
    return merged.tobytes()


def _unite(merged: np.ndarray, row: np.void, columns: int) -> None:
    for place in range(columns):
        byte, bit = place // 8, np.uint8(1 << place % 8)
        if not row["said"][byte] & bit:
            continue
        name = field_name(place)
        known = merged["said"][0, byte] & bit
        if not known or row[name].tobytes() > merged[name][0].tobytes():
            merged[name] = row[name]
            merged["said"][0, byte] |= bit


def field_name(place: int) -> str:
    """Name of a column in `layout`, by its place among the columns."""
    return f"c{place}"


def _cell(config: ColumnConfig) -> tuple[str, tuple[int, ...]]:
    if config.type == "vector":
        return "<f4", (config.size,)
    if config.type == "categories":
        return "<i8", (config.most,)
    return ("<f8" if config.type == "number" else "<i8"), ()
