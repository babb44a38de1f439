"""Declared columns of users, items and ads joined to the rows of a partition, as of their times."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.arrays import Columns
from rosa_ray.features.frozen import FrozenVectors
from rosa_ray.features.own import ColumnConfigs, frozen_names, of_prefix, shared_names
from rosa_ray.features.versions import Versions
from rosa_ray.run_dir import DataDir
from rosa_ray.schema.own_columns import AD, ENTITIES, ITEM, TABLES_OF, USER, prefix_of
from rosa_ray.sources.paths import find_files
from rosa_ray.storage import read_parquet, write_parquet

Things = Mapping[str, Versions]
"""Versions of things by the prefix of their columns; of those alone that columns are declared of."""

ID_COLUMNS = {USER: "user_id", ITEM: "item_id", AD: "ad_id"}
"""Prefix -> the id in the table that brings its columns."""


def take_frozen(layout: DataDir, ads: pa.Table, configs: ColumnConfigs) -> tuple[pa.Table, dict[str, FrozenVectors]]:
    """Take the frozen vectors out of the tables of items and ads, whose rows then hold all else.

    Args:
        ads: the catalogue, with its declared columns.

    Returns:
        The catalogue without frozen vectors; and these by name.
    """
    frozen = {}
    for name in frozen_names(configs):
        prefix = prefix_of(name)
        table = read_parquet(layout.items, [ID_COLUMNS[ITEM], name]) if prefix == ITEM else ads
        frozen[name] = FrozenVectors.of(table, ID_COLUMNS[prefix], name, configs[name])
    if any(name.startswith(ITEM) for name in frozen):
        write_parquet(_without(read_parquet(layout.items), frozen), layout.items)
    return _without(ads, frozen), frozen


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


def table_paths(layout: DataDir, prefix: str) -> list[str]:
    """Files of what is known of all users, items or ads; all rows of one are in one file.

    Raises:
        InputError: there are none.
    """
    if prefix != USER:
        return [layout.items if prefix == ITEM else layout.ads]
    return [file.path for file in find_files(layout.users_tables, TABLES_OF[USER][0])]


def read_static(layout: DataDir, configs: ColumnConfigs) -> Things:
    """Read the columns with a static clock, of all users, items and ads; things that have none are left out."""
    found = {}
    for prefix, id_column in ID_COLUMNS.items():
        columns = {name: one for name, one in of_prefix(prefix, configs).items() if one.clock == "static"}
        if columns:
            tables = [read_parquet(path) for path in table_paths(layout, prefix)]
            # A partition without dates has no column for them.
            table = pa.concat_tables(tables, promote_options="default")
            found[prefix] = Versions.of(table, id_column, columns)
    return found


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
