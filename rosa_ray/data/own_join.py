"""Declared columns of users, items and ads joined to the rows of a partition, as of their times."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.arrays import Columns
from rosa_ray.data.same_id import RULES, unique_rows
from rosa_ray.data.staging_area import read_staged
from rosa_ray.features.frozen import FrozenVectors
from rosa_ray.features.own import ColumnConfigs, frozen_names, of_prefix, own_columns, shared_names
from rosa_ray.features.versions import Versions
from rosa_ray.run_dir import DataDir
from rosa_ray.schema import ITEMS, USERS
from rosa_ray.schema.own_columns import AD, ENTITIES, ITEM, USER, contract_with, prefix_of
from rosa_ray.storage import read_parquet, write_parquet

Things = Mapping[str, Versions]
"""Versions of things by the prefix of their columns; of those alone that columns are declared of."""

ID_COLUMNS = {USER: "user_id", ITEM: "item_id", AD: "ad_id"}
"""Prefix -> the id in the table that brings its columns."""


@dataclass(frozen=True)
class Told:
    """Rows of a table by what became of them, and an example of each kind of loss."""

    counts: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)


def write_users_table(layout: DataDir, part: int, configs: ColumnConfigs) -> Told:
    """Leave one row per user and time of what is known of a partition's users; nothing where nothing is declared."""
    if not of_prefix(USER, configs):
        return Told()
    rows, told = _unique(layout, USERS.name, part, configs)
    write_parquet(rows, layout.users_table(part))
    return told


def write_things(
    layout: DataDir, ads: pa.Table, configs: ColumnConfigs
) -> tuple[pa.Table, dict[str, FrozenVectors], Told]:
    """Leave one row per item and time of what is known of items, and take the frozen vectors of items and ads.

    Args:
        ads: the catalogue, with its declared columns.

    Returns:
        The catalogue without frozen vectors; these by name; and what became of the rows of items.
    """
    items, told = pa.table({}), Told()
    if any(name.startswith(ITEM) for name in configs):
        items, told = _unique(layout, ITEMS.name, 0, configs)
    tables = {ITEM: items, AD: ads}
    frozen = {
        name: FrozenVectors.of(tables[prefix_of(name)], ID_COLUMNS[prefix_of(name)], name, configs[name])
        for name in frozen_names(configs)
    }
    if of_prefix(ITEM, configs):
        write_parquet(_without(items, frozen), layout.items)
    return _without(ads, frozen), frozen, told


def _unique(layout: DataDir, name: str, part: int, configs: ColumnConfigs) -> tuple[pa.Table, Told]:
    staged = read_staged(layout.staging, contract_with(name, own_columns(configs)), part)
    rows, repeats = unique_rows(staged, RULES[name])
    counts = {name: rows.num_rows, f"duplicate_{name}": repeats.copies, f"conflicting_{name}": repeats.conflicts}
    return rows, Told(counts, {f"conflicting_{name}": repeats.conflict} if repeats.conflict else {})


def _without(table: pa.Table, names: Iterable[str]) -> pa.Table:
    return table.drop_columns([name for name in names if name in table.column_names])


def read_things(layout: DataDir, part: int, ads: pa.Table, configs: ColumnConfigs) -> Things:
    """Read what is known of the users of a partition, and of all items and ads.

    Args:
        ads: the catalogue, with its declared columns.
    """
    tables = {
        USER: lambda: read_parquet(layout.users_table(part)),
        ITEM: lambda: read_parquet(layout.items),
        AD: lambda: ads,
    }
    declared = {prefix: of_prefix(prefix, configs) for prefix in tables}
    return {
        prefix: Versions.of(tables[prefix](), ID_COLUMNS[prefix], columns)
        for prefix, columns in declared.items()
        if columns
    }


def keyed_table(columns: Columns) -> pa.Table:
    """Keyed columns as a table; those of several values a row become lists of one size."""
    return pa.table({name: _arrow(values) for name, values in columns.items()})


def keyed_columns_of(table: pa.Table) -> dict[str, np.ndarray]:
    """Inverse of `keyed_table`."""
    return {name: _numpy(table[name]) for name in table.column_names}


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _numpy(column: pa.ChunkedArray) -> np.ndarray:
    wide = pa.types.is_fixed_size_list(column.type)
    values: np.ndarray = (pc.list_flatten(column) if wide else column).to_numpy()
    return values.reshape(-1, column.type.list_size) if wide else values


def with_things(rows: Columns, things: Things) -> dict[str, np.ndarray]:
    """The rows of `keyed_impressions` with declared columns of their users, items and ads, as of their requests."""
    more: dict[str, np.ndarray] = {}
    for prefix, versions in things.items():
        more |= versions.read(rows[ENTITIES[prefix]], rows["time_us"])
    return {**rows, **more}


def with_shared(events: Columns, things: Things) -> dict[str, np.ndarray]:
    """The rows of `keyed_events` with the shared columns of their items, as of the events."""
    if ITEM not in things:
        return dict(events)
    versions = things[ITEM].only(shared_names(things[ITEM].configs))
    return {**events, **versions.read(events["item_key"], events["time_us"])}
