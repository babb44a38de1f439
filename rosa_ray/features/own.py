"""Declared columns as features: tokens for embedding tables, scaled numbers, and vectors.

A category is a token: the row of its value in a vocabulary. Categories are several tokens of one vocabulary. A number
is two things: a token, the row of the interval it lies in, so that a model can learn any shape; and the number itself,
on its scale and standardised. A vector is read as it is.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from annotated_types import Ge, Le

from rosa_ray.arrays import Columns, Floats, Ints
from rosa_ray.schema import MISSING_KEY, derive_key, hash_id, hash_ids
from rosa_ray.schema.own_columns import AD, ITEM, REQUEST, OwnColumn, OwnKind, prefix_of
from rosa_ray.settings import section, wrong

INTERVALS_PER_FOLD = 8
"""Intervals that a number's scale is cut into, for each step of 1 on it; on a log scale, for each factor of e."""

_TOKEN = 7


@section("features.columns.*")
class ColumnConfig:
    """A column of your own."""

    type: OwnKind = "category"
    """`category`: values are alike or not. `categories`: a list of such values. `number`: they have an order and
    distances. `vector`: a list of numbers, such as the embedding of a text or an image."""
    scale: Literal["log", "linear"] = "log"
    """How numbers are laid out: `log` spreads small ones and draws in large ones of either sign, `linear` leaves
    them."""
    size: Annotated[int, Ge(0), Le(4096)] = 0
    """Numbers of a vector."""
    most: Annotated[int, Ge(1), Le(64)] = 8
    """Values of `categories` that are read, the first ones; more are left out."""
    clock: Literal["valid_from", "static"] = "valid_from"
    """`valid_from`: a request reads the row that held at its time. `static`: it reads the newest row, whenever that
    came. Static columns must not tell what happened after the request. Columns of a request have the request's time."""
    shared: bool = False
    """The items of the user's history are told by this column of an item too, from one table with the ad's."""
    fill: str | float | None = None
    """What a missing value reads: a text for categories, a number for numbers. Null leaves it missing, which is a value
    of its own."""
    min_count: Annotated[int, Ge(0)] = 0
    """A value seen less often in the training period shares an out-of-vocabulary row; 0 takes `features.min_count`."""
    oov_buckets: Annotated[int, Ge(0)] = 0
    """Rows that unseen values are hashed into; 0 takes `features.oov_buckets`."""
    meaning: str = ""
    """What the column says, for people who read the reports."""

    def __post_init__(self) -> None:
        if (self.type == "vector") != (self.size > 0):
            raise wrong(self, "size", "a vector needs at least 1, and other types none")
        if self.shared and self.type != "category":
            raise wrong(self, "shared", "it must be false for any type but category")
        text = isinstance(self.fill, str)
        if self.fill is not None and (self.type == "vector" or text == (self.type == "number") or self.fill == ""):
            raise wrong(self, "fill", "it must be text for categories, a number for numbers, and null for vectors")

    def definition(self) -> dict[str, object]:
        """What decides a value: the type and settings other than their defaults."""
        default = ColumnConfig(size=self.size, type=self.type)
        names = ("scale", "most", "clock", "shared", "fill", "min_count", "oov_buckets")
        changed = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(default, name)}
        return {"type": self.type, "scale": self.scale, **({"size": self.size} if self.size else {}), **changed}


ColumnConfigs = Mapping[str, ColumnConfig]
"""Declared columns by name, in the order in which models read them."""


def own_columns(configs: ColumnConfigs) -> tuple[OwnColumn, ...]:
    """What the log is to bring.

    >>> own_columns({"request.floor": ColumnConfig(type="number")})
    (OwnColumn(name='request.floor', kind='number', size=0),)
    """
    return tuple(OwnColumn(name, config.type, config.size) for name, config in configs.items())


def category_text(value: object) -> str | None:
    """A category as the log would hold it, from JSON; empty text is missing.

    >>> category_text(True), category_text(3), category_text("")
    ('true', '3', None)
    """
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value) or None


def number_names(configs: ColumnConfigs) -> tuple[str, ...]:
    """Names of the numbers, in order."""
    return tuple(name for name, config in configs.items() if config.type == "number")


def token_names(configs: ColumnConfigs) -> tuple[str, ...]:
    """Names of the columns that are one token each: categories of one value, and numbers."""
    return tuple(name for name, config in configs.items() if config.type in ("category", "number"))


def set_names(configs: ColumnConfigs) -> tuple[str, ...]:
    """Names of the columns that are several tokens."""
    return tuple(name for name, config in configs.items() if config.type == "categories")


def vector_names(configs: ColumnConfigs) -> tuple[str, ...]:
    """Names of the vectors."""
    return tuple(name for name, config in configs.items() if config.type == "vector")


def shared_names(configs: ColumnConfigs) -> tuple[str, ...]:
    """Names of the columns that events have too, of their items."""
    return tuple(name for name, config in configs.items() if config.shared)


def is_frozen(name: str, config: ColumnConfig) -> bool:
    """Whether a column's values belong to the model, one for each id: vectors of items and ads.

    >>> is_frozen("item.image", ColumnConfig(type="vector", size=2))
    True
    """
    return config.type == "vector" and prefix_of(name) in (ITEM, AD)


def frozen_names(configs: ColumnConfigs) -> tuple[str, ...]:
    """Names of the frozen columns, those of items first."""
    frozen = [name for name, config in configs.items() if is_frozen(name, config)]
    return tuple(sorted(frozen, key=lambda name: prefix_of(name) != ITEM))


def row_columns(configs: ColumnConfigs) -> dict[str, ColumnConfig]:
    """The columns that user rows hold, which are all that are not frozen."""
    return {name: config for name, config in configs.items() if not is_frozen(name, config)}


def of_prefix(prefix: str, configs: ColumnConfigs) -> dict[str, ColumnConfig]:
    """The columns in user rows that begin with a prefix, in order."""
    return {name: config for name, config in row_columns(configs).items() if name.startswith(prefix)}


def keyed_columns(table: pa.Table, configs: ColumnConfigs) -> dict[str, np.ndarray]:
    """Declared columns of contract rows as user rows hold them.

    Returns:
        Per category its keys, int64 (n,), `MISSING_KEY` where null. Per list of categories the keys of its first
        different values, int64 (n, most), `MISSING_KEY` behind them. Per number its values, float64 (n,), NaN where
        null. Per vector float32 (n, size), NaN where null. A column that the table lacks is missing in every row.
    """
    return {name: _keyed(table, name, config) for name, config in configs.items()}


def missing_columns(count: int, configs: ColumnConfigs) -> dict[str, np.ndarray]:
    """Columns of n rows of which nothing is known, to be written to."""
    nothing = pa.table({"": pa.nulls(count)})
    return {name: values.copy() for name, values in keyed_columns(nothing, configs).items()}


def given_columns(values: Mapping[str, object], count: int, configs: ColumnConfigs) -> dict[str, np.ndarray]:
    """The columns of a request for N candidates, which share its values.

    Args:
        values: by column name, as a log has them: text, lists of text, numbers, lists of numbers; absent or None is
            missing.
        configs: all declared columns; those of a request are taken.
    """
    columns = {name: _keyed_one(values.get(name), config) for name, config in of_prefix(REQUEST, configs).items()}
    return {name: np.repeat(column, count, axis=0) for name, column in columns.items()}


def column_type(config: ColumnConfig) -> pa.DataType:
    """The type of a column in contract rows."""
    if config.type == "vector":
        return pa.list_(pa.float32())
    if config.type == "categories":
        return pa.list_(pa.string())
    return pa.float64() if config.type == "number" else pa.string()


def token_keys(values: np.ndarray, config: ColumnConfig) -> Ints:
    """Keys of the tokens of a column as user rows hold it, int64 of the same shape."""
    return values if config.type != "number" else interval_keys(on_scale(values, config))


def interval_keys(scaled: Floats) -> Ints:
    """Keys of the intervals that numbers on their scale lie in, int64 of the same shape; of NaN `MISSING_KEY`."""
    known = np.isfinite(scaled)
    place = np.floor(np.where(known, scaled, 0.0) * INTERVALS_PER_FOLD).astype(np.int64)
    return np.where(known, derive_key(place.ravel(), _TOKEN).reshape(place.shape), MISSING_KEY)


def on_scale(values: np.ndarray, config: ColumnConfig) -> Floats:
    """Numbers as they are laid out, float64 (n,); NaN stays NaN.

    >>> on_scale(np.array([0.0, 1.0, -1.0]), ColumnConfig(type="number")).round(3).tolist()
    [0.0, 0.881, -0.881]
    """
    return np.asarray(np.arcsinh(values) if config.scale == "log" else values, np.float64)


def number_matrix(columns: Columns, configs: ColumnConfigs, count: int) -> Floats:
    """All numbers on their scales, float64 (count, K), NaN where missing."""
    names = number_names(configs)
    if not names:
        return np.empty((count, 0))
    matrix: Floats = np.stack([columns[name] for name in names], axis=1).astype(np.float64)
    logs = [place for place, name in enumerate(names) if configs[name].scale == "log"]
    matrix[:, logs] = np.arcsinh(matrix[:, logs])
    return matrix


def _keyed(table: pa.Table, name: str, config: ColumnConfig) -> np.ndarray:
    values = table[name] if name in table.column_names else pa.nulls(table.num_rows, column_type(config))
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    if config.type == "vector":
        return _matrix(whole, config.size)
    if config.type == "categories":
        return _first_keys(whole, config)
    if config.fill is not None:
        whole = whole.fill_null(config.fill)
    if config.type == "category":
        return hash_ids(whole)
    return whole.cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False)


def _keyed_one(value: Any, config: ColumnConfig) -> np.ndarray:
    """One value as `_keyed` gives it in a row, without building a table: requests wait for it."""
    if config.type == "vector":
        return np.full((1, config.size), np.nan if value is None else value, np.float32)
    if config.type == "categories":
        first = dict.fromkeys(one for one in value or () if one is not None)
        keys = [hash_id(one) for one in [*first][: config.most]] or [hash_id(_text(config.fill))]
        return np.array([keys + [MISSING_KEY] * (config.most - len(keys))])
    value = config.fill if value is None else value
    if config.type == "category":
        return np.array([hash_id(_text(value))])
    return np.array([np.nan if value is None else value], np.float64)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _matrix(vectors: pa.ListArray, size: int) -> np.ndarray:
    rows = np.full((len(vectors), size), np.nan, np.float32)
    known = vectors.is_valid().to_numpy(zero_copy_only=False)
    rows[known] = vectors.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return rows


def _first_keys(lists: pa.ListArray, config: ColumnConfig) -> np.ndarray:
    """Keys of each list's first different values, int64 (n, most)."""
    found = np.full((len(lists), config.most), MISSING_KEY)
    owner = np.repeat(np.arange(len(lists)), pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
    keys = hash_ids(lists.flatten())
    kept = np.flatnonzero(keys != MISSING_KEY)
    _, first = np.unique(np.stack([owner[kept], keys[kept]], axis=1), axis=0, return_index=True)
    kept = kept[np.sort(first)]
    owner, keys = owner[kept], keys[kept]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    inside = place < config.most
    found[owner[inside], place[inside]] = keys[inside]
    if config.fill is not None:
        nothing = found[:, 0] == MISSING_KEY
        found[nothing, 0] = hash_ids(pa.array([str(config.fill)]))[0]
    return found
