"""What is kept of the rows of one table while they stream by: a few bytes a column."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.schema.own_columns import prefix_of

MOST_TEXTS = 200_000
"""Distinct ids that are kept as they are written, for each column."""
_TEXTS = ("user_id", "item_id", "ad_id", "campaign_id", "category", "request_id", "impression_id", "click_id")
_ODD = np.uint64(0x9E3779B97F4A7C15)
EXAMPLES = 3
"""Values of a declared column that are kept as they are."""


class KeptColumns:
    """Columns of the good rows of one table: ids as 64-bit keys, times as microseconds, numbers and labels.

    Args:
        schema: the contract's.
        row_id: the column that should be different in every row.
    """

    def __init__(self, schema: pa.Schema, row_id: str) -> None:
        self._schema = schema
        self._row_id = row_id
        self._parts: dict[str, list[np.ndarray]] = {name: [] for name in [*schema.names, "#content"]}
        self._texts: dict[str, pa.Array] = {name: pa.array([], pa.string()) for name in _TEXTS if name in schema.names}
        self._known: dict[str, int] = dict.fromkeys(schema.names, 0)
        self._examples: dict[str, list[str]] = {name: [] for name in schema.names if prefix_of(name)}
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Take in the next rows, which satisfy the contract."""
        content = np.zeros(table.num_rows, np.uint64)
        for name in self._schema.names:
            kept = _kept(table[name])
            self._parts[name].append(kept)
            self._known[name] += len(kept) - table[name].null_count
            if name != self._row_id:
                content = (content ^ _bits(kept)) * _ODD
                content ^= content >> np.uint64(29)
        self._parts["#content"].append(content)
        for name, found in self._examples.items():
            if len(found) < EXAMPLES:
                few = table[name].drop_null().slice(0, 1000).to_pylist()
                found[:] = list(dict.fromkeys([*found, *map(_told, few)]))[:EXAMPLES]
        for name, texts in self._texts.items():
            if len(texts) < MOST_TEXTS:
                fresh = table[name].unique().drop_null().cast(pa.string())
                self._texts[name] = pa.concat_arrays([texts, fresh]).unique()
        self.rows += table.num_rows

    def column(self, name: str) -> np.ndarray:
        """Return one column of all rows.

        Returns:
            uint64 keys of texts and int64 microseconds of times, 0 where null; float64 of numbers, NaN where null; bool
            of labels.
        """
        parts = self._parts[name]
        if len(parts) > 1:
            self._parts[name] = parts = [np.concatenate(parts)]
        return parts[0] if parts else np.zeros(0, np.uint64)

    def put(self, name: str, values: np.ndarray) -> None:
        """Replace a column, as `column` returns it, of all rows."""
        self._parts[name] = [values]
        absent = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
        self._known[name] = int((~absent & (values != 0)).sum()) if values.dtype.kind == "i" else int((~absent).sum())

    def texts(self, name: str) -> tuple[pa.Array, bool]:
        """Distinct ids of a column as they are written, and whether these are all of them."""
        texts = self._texts[name]
        return texts.slice(0, MOST_TEXTS), len(texts) < MOST_TEXTS

    def distinct(self, name: str) -> int:
        """Different values of a column."""
        keys = self.column(name)
        return len(np.unique(keys[~np.isnan(keys) if keys.dtype.kind == "f" else keys != 0]))

    def examples(self, name: str) -> tuple[str, ...]:
        """A few different values of a declared column, in words."""
        return tuple(self._examples[name])

    @property
    def own(self) -> tuple[str, ...]:
        """Declared columns."""
        return tuple(self._examples)

    def known_share(self, name: str) -> float:
        """Share of the rows in which a column is not null."""
        return self._known[name] / self.rows if self.rows else 0.0

    @property
    def names(self) -> Sequence[str]:
        """The contract's columns."""
        return tuple(self._schema.names)


def _kept(values: pa.ChunkedArray) -> np.ndarray:
    kind = values.type
    if pa.types.is_timestamp(kind):
        return np.asarray(pc.fill_null(values.cast(pa.int64()), 0).to_numpy())
    if pa.types.is_boolean(kind):
        return np.asarray(pc.fill_null(values, False).to_numpy(), bool)
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return np.asarray(pc.fill_null(values.cast(pa.float64()), np.nan).to_numpy())
    return _list_keys(values) if pa.types.is_list(kind) else _keys(values)


def _list_keys(values: pa.ChunkedArray) -> np.ndarray:
    """Keys of lists, by their elements in order; 0 where there is none."""
    lists = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    elements = _bits(_kept(pa.chunked_array([lists.flatten()])))
    keys = np.zeros(len(lists), np.uint64)
    mixed = (elements + _ODD) * (2 * place + 1).astype(np.uint64) * _ODD
    np.add.at(keys, np.repeat(np.arange(len(lists)), lengths), mixed ^ (mixed >> np.uint64(29)))
    return np.where(lists.is_valid().to_numpy(zero_copy_only=False), keys | np.uint64(1), np.uint64(0))


def _told(value: object) -> str:
    """A value in a few characters.

    >>> _told([0.5, 1.25, 3.0]), _told("18-24")
    ('0.5, 1.25, …', '18-24')
    """
    if isinstance(value, list):
        shown = [f"{one:.3g}" if isinstance(one, float) else str(one) for one in value[:2]]
        return ", ".join([*shown, *(["…"] if len(value) > len(shown) else [])])
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:30]


def _keys(values: pa.ChunkedArray) -> np.ndarray:
    """Keys of texts, 0 where there is none."""
    encoded = values.combine_chunks().dictionary_encode()
    words = np.asarray(encoded.dictionary.to_numpy(zero_copy_only=False), object)
    keys = pd.util.hash_array(words, categorize=False) | np.uint64(1) if len(words) else np.zeros(0, np.uint64)
    at = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(np.append(keys, np.uint64(0))[at])


def _bits(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.bool_:
        return values.astype(np.uint64)
    return np.ascontiguousarray(values).view(np.uint64)
