"""The staging area between the two passes of preprocessing: `STAGING/<contract>/part=<p>/<file>-<n>.parquet`.

Staged tables have their contract's columns and int64 keys. All rows of a user lie in partition `user_key mod P`, and
impressions without a user in that of their id; ads and items belong to no user and lie in partition 0. Clicks and
conversions of logs of their own lie in `route_key mod P` at first, the key of the id that they are joined by;
`rosa_ray.data.label_routes` brings them to their impressions.
"""

import os
import tempfile
from types import TracebackType
from typing import Self

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from fsspec.implementations.local import LocalFileSystem

from rosa_ray.schema import (
    CANDIDATES,
    CLICKS,
    CONTRACTS,
    CONVERSIONS,
    EVENTS,
    IMPRESSIONS,
    MISSING_KEY,
    USERS,
    Contract,
    hash_ids,
)
from rosa_ray.storage import full_path, make_parent, readable, writable

FLUSH_ROWS = 1 << 19
KEYS_OF: dict[str, dict[str, str | tuple[str, ...]]] = {
    EVENTS.name: {"user_key": "user_id", "item_key": "item_id", "category_key": "category"},
    IMPRESSIONS.name: {"user_key": "user_id"},
    CANDIDATES.name: {"user_key": "user_id"},
    USERS.name: {"user_key": "user_id"},
    CLICKS.name: {"user_key": "user_id", "route_key": ("impression_id", "user_id")},
    CONVERSIONS.name: {"user_key": "user_id", "route_key": ("impression_id", "click_id", "user_id")},
}
"""Contract to its keys, each the hash of a column, or of the first of several that is known."""
_INCOMING = ".incoming-"


def staged_schema(contract: Contract) -> pa.Schema:
    """Return the schema of a contract's staged tables.

    >>> from rosa_ray.schema import EVENTS
    >>> staged_schema(EVENTS).names[-3:]
    ['user_key', 'item_key', 'category_key']
    """
    keys = [pa.field(name, pa.int64(), nullable=False) for name in KEYS_OF.get(contract.name, {})]
    return pa.schema([*contract.schema, *keys])


def staged_files(staging_dir: str, contract: Contract, part: int) -> list[str]:
    """List the staged files of one partition, sorted by name; none when the contract has no rows there."""
    fs, root = fsspec.core.url_to_fs(staging_dir)
    return [full_path(fs, path) for path in sorted(fs.find(f"{root}/{contract.name}/part={part}"))]


def read_staged(staging_dir: str, contract: Contract, part: int, columns: list[str] | None = None) -> pa.Table:
    """Read one partition, page checksums verified. Rows are ordered by file name, then as in the file.

    Args:
        columns: to read; None reads all.

    Raises:
        InputError: a staged file is damaged.
    """
    empty = staged_schema(contract).empty_table()
    tables = [empty if columns is None else empty.select(columns)]
    for path in staged_files(staging_dir, contract, part):
        with readable(path, "a staged Parquet file"), fsspec.open(path, "rb") as handle:
            tables.append(pq.ParquetFile(handle, page_checksum_verification=True).read(columns))
    return pa.concat_tables(tables)


def file_hash(contract: str, name: str) -> str:
    """What the staged files of an input file are named by.

    Args:
        contract: name of its contract.
        name: stable name of the file.
    """
    return xxhash.xxh64_hexdigest(f"{contract}/{name}".encode())


def leftovers(fs: fsspec.AbstractFileSystem, root: str) -> list[str]:
    """Directories of tasks that died while they wrote."""
    entries = fs.ls(root, detail=False) if fs.isdir(root) else []
    return [path for path in entries if os.path.basename(path.rstrip("/")).startswith(_INCOMING)]


def all_staged_files(fs: fsspec.AbstractFileSystem, root: str) -> list[str]:
    """Staged files of all contracts and partitions."""
    return [path for name in CONTRACTS for path in fs.find(f"{root}/{name}") if "/part=" in path]


class StagedWriter:
    """Stages the rows of one input file: buffered, partitioned, and visible only after `publish`.

    >>> import rosa_ray.schema as schema
    >>> with tempfile.TemporaryDirectory() as folder, StagedWriter(folder, schema.ADS, "ads.csv", 4) as writer:
    ...     writer.add(schema.ADS.schema.empty_table())
    ...     writer.publish()
    """

    def __init__(self, staging_dir: str, contract: Contract, name: str, partitions: int) -> None:
        """Open a temporary directory beside the partitions (for a remote staging area, on the local disk).

        Args:
            staging_dir: local directory or URL.
            contract: what the rows satisfy.
            name: stable name of the input file; staged files are named by its hash.
            partitions: number of hash partitions P.
        """
        self._fs, self._root = fsspec.core.url_to_fs(staging_dir)
        self._contract = contract
        self._file_hash = file_hash(contract.name, name)
        self._partitions = partitions
        self._is_local = isinstance(self._fs, LocalFileSystem)
        self._incoming = tempfile.TemporaryDirectory(prefix=_INCOMING, dir=self._root if self._is_local else None)
        self._buffer: list[pa.Table] = []
        self._chunks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._incoming.cleanup()

    def add(self, table: pa.Table) -> None:
        """Take checked rows."""
        self._buffer.append(table)
        if sum(buffered.num_rows for buffered in self._buffer) >= FLUSH_ROWS:
            self._flush()

    def publish(self) -> None:
        """Move everything written to its partitions."""
        self._flush()
        with writable(full_path(self._fs, self._root)):
            for relative in sorted(_files_below(self._incoming.name)):
                source, target = os.path.join(self._incoming.name, relative), f"{self._root}/{relative}"
                make_parent(self._fs, target)
                if self._is_local:
                    os.replace(source, target)
                else:
                    self._fs.put_file(source, target)

    def _flush(self) -> None:
        rows = pa.concat_tables([self._contract.schema.empty_table(), *self._buffer]).combine_chunks()
        self._buffer = []
        for part, table in partition(add_keys(rows, self._contract), self._partitions):
            relative = f"{self._contract.name}/part={part}/{self._file_hash}-{self._chunks}.parquet"
            path = os.path.join(self._incoming.name, relative)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            pq.write_table(table, path, write_page_checksum=True)
        self._chunks += 1


def add_keys(table: pa.Table, contract: Contract) -> pa.Table:
    """Append the int64 keys of a contract's staged tables."""
    keys = [pa.array(hash_ids(_first_known(table, columns))) for columns in KEYS_OF.get(contract.name, {}).values()]
    return pa.table([*table.columns, *keys], schema=staged_schema(contract))


def _first_known(table: pa.Table, columns: str | tuple[str, ...]) -> pa.ChunkedArray:
    return table[columns] if isinstance(columns, str) else pc.coalesce(*(table[name] for name in columns))


def partition(table: pa.Table, partitions: int) -> list[tuple[int, pa.Table]]:
    """Split a staged table into its non-empty hash partitions, rows in their given order.

    >>> [(part, rows["user_key"].to_pylist()) for part, rows in partition(pa.table({"user_key": [4, -1, 3, 1]}), 3)]
    [(0, [3]), (1, [4, 1]), (2, [-1])]
    """
    if "user_key" not in table.column_names:
        return [(0, table)] if table.num_rows else []
    parts = _placing_keys(table) % partitions
    ordered = table.take(np.argsort(parts, kind="stable"))
    counts = np.bincount(parts, minlength=partitions)
    starts = np.cumsum(counts) - counts
    return [(int(part), ordered.slice(starts[part], counts[part])) for part in np.flatnonzero(counts)]


def _placing_keys(table: pa.Table) -> np.ndarray:
    if "route_key" in table.column_names:
        routes: np.ndarray = table["route_key"].to_numpy()
        return routes
    keys: np.ndarray = table["user_key"].to_numpy()
    nobody = keys == MISSING_KEY
    return np.where(nobody, hash_ids(table["impression_id"]), keys) if nobody.any() else keys


def _files_below(folder: str) -> list[str]:
    return [
        os.path.relpath(os.path.join(parent, name), folder) for parent, _, names in os.walk(folder) for name in names
    ]
