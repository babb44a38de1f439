"""Counters on disk: each partition's own, those that users share merged in shards, and all of them in one file.

A user's counters lie in its partition alone. Every partition has counts of the items, categories, ads and campaigns,
and cuts them into shards by entity. Each shard is summed over the partitions on its own, and a reader takes from the
shards the entities that it asks about. So nothing ever holds all counters in memory. Requests ask about what ads
advertise, often a small part of all items: these entities come first in a shard, and readers read no further. Own
counters by anything that the catalogue does not tell come first as a whole.
"""

from collections.abc import Collection, Iterator

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rosa_ray.features import Counters, CounterStates
from rosa_ray.features.views import is_of_users
from rosa_ray.storage import read_parquet, readable, write_row_groups

MOST_SHARDS = 64

_READ_ROWS = 1 << 18


def shard_count(partitions: int) -> int:
    """Shards of the counters that users share: one per partition, up to a number of row groups that files bear well.

    >>> shard_count(4), shard_count(1000)
    (4, 64)
    """
    return min(partitions, MOST_SHARDS)


def counters_table(states: CounterStates) -> pa.Table:
    """All views in one table."""
    tables = [counters.to_table(view) for view, counters in sorted(states.items())]
    return pa.concat_tables(tables, promote_options="default")


def read_counters_file(path: str) -> CounterStates:
    """Counter states by view from a file of `counters_table`; rows of one entity and bucket are summed.

    Raises:
        InputError: the file is missing or damaged.
    """
    return split_counters(read_parquet(path))


def split_counters(table: pa.Table) -> CounterStates:
    """Inverse of `counters_table`."""
    names = table["view"].to_numpy(zero_copy_only=False)
    return {str(name): _counters_of(table.filter(pa.array(names == name))) for name in np.unique(names.astype(str))}


def _counters_of(rows: pa.Table) -> Counters:
    """Counters of the rows of one view, one or more; each row says how much it counts."""
    return Counters.from_table(rows, len(rows["sums"][0]))


def write_partition_counters(states: CounterStates, path: str, shards: int) -> None:
    """Write one partition's counters: a row group per shard of what users share, then one of the users' own."""
    table = counters_table(states)
    own = _among(table["view"], [view for view in states if is_of_users(view)]).to_numpy()
    # Group `shards`, the last, holds the users' own counters: no other partition has any of these users.
    shard = np.where(own, shards, table["entity_key"].to_numpy() % shards)
    write_row_groups((table.filter(pa.array(shard == group)) for group in range(shards + 1)), table.schema, path)


def merge_shard(
    partition_files: list[str], shard: int, path: str, asked_keys: np.ndarray, asked_views: Collection[str] = ()
) -> int:
    """Sum one shard over all partitions; returns its rows.

    Args:
        partition_files: from `write_partition_counters`, of every partition.
        asked_keys: int64, entities that `counters_for_partition` may ask for; they go to a row group of their own.
        asked_views: views of which it may ask for any entity.
    """
    parts = [_row_group(part, shard) for part in partition_files]
    merged = split_counters(pa.concat_tables(parts, promote_options="default"))
    # A shard has the schema of the partitions, whichever views have rows in it.
    found = [counters_table(merged)] if merged else []
    table = pa.concat_tables([parts[0].slice(0, 0), *found], promote_options="default")
    asked = pc.is_in(table["entity_key"], value_set=pa.array(np.unique(asked_keys)))
    asked = pc.or_(asked, _among(table["view"], asked_views))
    # Two row groups: readers take the first, what requests can ask about, and never read the second.
    write_row_groups((table.filter(chosen) for chosen in (asked, pc.invert(asked))), table.schema, path)
    rows: int = table.num_rows
    return rows


def combine_counters(partition_files: list[str], merged: list[str], path: str) -> int:
    """Write the merged shards and every partition's own counters into one file; returns its rows."""
    rows = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal rows
        for shard in merged:
            table = read_parquet(shard)
            rows += table.num_rows
            yield table
        for part in partition_files:
            table = _row_group(part, len(merged))
            rows += table.num_rows
            yield table

    write_row_groups(tables(), read_parquet(merged[0]).schema, path)
    return rows


def counters_for_partition(partition_file: str, merged: list[str], entity_keys: np.ndarray) -> CounterStates:
    """What a partition may read: its users' own counters, and the shared ones of some entities.

    Args:
        partition_file: the partition's own counters.
        merged: all merged shards.
        entity_keys: int64, of items, categories, ads, campaigns and own counters; some of those that the shards were
            merged with.
    """
    wanted = pa.array(np.unique(entity_keys))
    found = [_row_group(partition_file, len(merged))]
    for path in merged:
        with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
            batches = pq.ParquetFile(handle, page_checksum_verification=True).iter_batches(_READ_ROWS, row_groups=[0])
            asked = (batch.filter(pc.is_in(batch["entity_key"], value_set=wanted)) for batch in batches)
            found.append(pa.Table.from_batches(asked, found[0].schema))
    return split_counters(pa.concat_tables(found))


def _among(names: pa.ChunkedArray, chosen: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(names, value_set=pa.array([*chosen], pa.string()))


def _row_group(path: str, group: int) -> pa.Table:
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        return pq.ParquetFile(handle, page_checksum_verification=True).read_row_group(group)
