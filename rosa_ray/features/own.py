"""Declared columns as features: tokens for embedding tables, and scaled numbers.

A category is a token: the row of its value in a vocabulary. A number is two things: a token, the row of the interval
it lies in, so that a model can learn any shape; and the number itself, on its scale and standardised.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa

from rosa_ray.arrays import Columns, Floats, Ints
from rosa_ray.schema import MISSING_KEY, derive_key, hash_ids
from rosa_ray.schema.own_columns import OwnColumn, OwnKind
from rosa_ray.settings import section

INTERVALS_PER_FOLD = 8
"""Intervals that a number's scale is cut into, for each step of 1 on it; on a log scale, for each factor of e."""

_TOKEN = 7


@section("features.columns.*")
class ColumnConfig:
    """A column of your own."""

    type: OwnKind = "category"
    """`category`: values are alike or not. `number`: they have an order and distances."""
    scale: Literal["log", "linear"] = "log"
    """How numbers are laid out: `log` spreads small ones and draws in large ones of either sign, `linear` leaves
    them."""


ColumnConfigs = Mapping[str, ColumnConfig]
"""Declared columns by name, in the order in which models read them."""


def own_columns(configs: ColumnConfigs) -> tuple[OwnColumn, ...]:
    """What the log is to bring.

    >>> own_columns({"request.floor": ColumnConfig(type="number")})
    (OwnColumn(name='request.floor', kind='number'),)
    """
    return tuple(OwnColumn(name, config.type) for name, config in configs.items())


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


def keyed_columns(table: pa.Table, configs: ColumnConfigs) -> dict[str, np.ndarray]:
    """Declared columns of contract rows as user rows hold them.

    Returns:
        Per category its keys, int64 (n,), `MISSING_KEY` where null; per number its values, float64 (n,), NaN where
        null. A column that the table lacks is missing in every row.
    """
    return {name: _keyed(table, name, config) for name, config in configs.items()}


def given_columns(values: Mapping[str, object], count: int, configs: ColumnConfigs) -> dict[str, np.ndarray]:
    """The same for N candidates of one request, which share its values.

    Args:
        values: by column name; text for categories, numbers for numbers; absent or None is missing.
    """
    one = {
        name: pa.array([values.get(name)], pa.float64() if config.type == "number" else pa.string())
        for name, config in configs.items()
    }
    columns = keyed_columns(pa.table(one), configs) if one else {}
    return {name: np.repeat(column, count) for name, column in columns.items()}


def empty_columns(configs: ColumnConfigs) -> dict[str, np.ndarray]:
    """Declared columns of no rows."""
    return given_columns({}, 0, configs)


def token_keys(values: np.ndarray, config: ColumnConfig) -> Ints:
    """Keys of the tokens of a column as user rows hold it, int64 (n,)."""
    if config.type == "category":
        return values
    known = np.isfinite(values)
    place = np.floor(on_scale(np.where(known, values, 0.0), config) * INTERVALS_PER_FOLD).astype(np.int64)
    return np.where(known, derive_key(place, _TOKEN), MISSING_KEY)


def on_scale(values: np.ndarray, config: ColumnConfig) -> Floats:
    """Numbers as they are laid out, float64 (n,); NaN stays NaN.

    >>> on_scale(np.array([0.0, 1.0, -1.0]), ColumnConfig(type="number")).round(3).tolist()
    [0.0, 0.881, -0.881]
    """
    return np.asarray(np.arcsinh(values) if config.scale == "log" else values, np.float64)


def number_matrix(columns: Columns, configs: ColumnConfigs, count: int) -> Floats:
    """All numbers on their scales, float64 (count, K), NaN where missing."""
    names = number_names(configs)
    scaled = [on_scale(columns[name], configs[name]) for name in names]
    return np.stack(scaled, axis=1) if scaled else np.empty((count, 0))


def _keyed(table: pa.Table, name: str, config: ColumnConfig) -> np.ndarray:
    if config.type == "category":
        return hash_ids(table[name]) if name in table.column_names else np.full(table.num_rows, MISSING_KEY)
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return table[name].cast(pa.float64()).fill_null(float("nan")).to_numpy()
