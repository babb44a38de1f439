"""Stream Parquet files in bounded batches, and the column operations every source shares."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rosa_ray.schema import Violation
from rosa_ray.sources.protocol import RawBatch, SourceFile
from rosa_ray.sources.text_files import tables_of
from rosa_ray.storage import open_file, readable

PARQUET_BATCH_ROWS = 1 << 18
PARQUET_FORM = "a Parquet file"
PARQUET_MAGIC = b"PAR1"
_TEXT_NAMES = re.compile(r"\.(csv|tsv|txt)(\.\w+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file whose schema has been read.

    Attributes:
        names: its top-level columns.

    Raises:
        InputError: the file is truncated, damaged or not Parquet.
    """

    path: str
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        with open_file(self.path) as handle, readable(self.path, PARQUET_FORM):
            object.__setattr__(self, "names", tuple(pq.ParquetFile(handle).schema_arrow.names))

    @property
    def null_words(self) -> tuple[str, ...]:
        """Words that its reader makes null: none."""
        return ()

    def describe(self) -> str:
        """Say how the names were found; they are the file's."""
        return ""

    def stream(self, columns: Iterable[str] | None = None) -> Iterator[RawBatch]:
        """Yield the rows. See `stream_parquet`."""
        yield from stream_parquet(self.path, columns)


def begins_as_parquet(path: str) -> bool:
    """Whether the first bytes of a file are Parquet's.

    Raises:
        InputError: the file is missing or cannot be reached.
    """
    with open_file(path) as handle, readable(path, "a table"):
        return handle.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC


def is_named_as_text(path: str) -> bool:
    """Whether a file's name says that it is text, compressed or not.

    >>> [is_named_as_text(path) for path in ("a/day.csv.gz", "b.TSV", "part-0.parquet", "part-0")]
    [True, True, False, False]
    """
    return _TEXT_NAMES.search(path) is not None


def stream_parquet(path: str, columns: Iterable[str] | None = None) -> Iterator[RawBatch]:
    """Yield a Parquet file's columns in batches, page checksums verified.

    Args:
        path: local path or URL.
        columns: the columns to read, absent ones passed over; None reads all.

    Raises:
        InputError: the file is truncated, damaged or not Parquet.
    """
    first_row = 1
    with open_file(path) as handle:
        with readable(path, PARQUET_FORM):
            parquet = pq.ParquetFile(handle, page_checksum_verification=True, coerce_int96_timestamp_unit="us")
            kept = [name for name in parquet.schema_arrow.names if columns is None or name in set(columns)]
            batches = parquet.iter_batches(PARQUET_BATCH_ROWS, columns=kept, use_threads=False)
        for table in tables_of(batches, path, PARQUET_FORM):
            yield RawBatch(table, rows=np.arange(first_row, first_row + table.num_rows))
            first_row += table.num_rows


def row_ids(file: SourceFile, first_row: int, count: int) -> pa.Array:
    """Return ids of consecutive rows, unique across files, whose string order is file order.

    >>> row_ids(SourceFile("/logs/a.csv", "events", "a.csv"), 9, 2).to_pylist()
    ['a-000000000009', 'a-000000000010']
    """
    numbers = pc.utf8_lpad(pa.array(np.arange(first_row, first_row + count)).cast(pa.string()), 12, "0")
    return pc.binary_join_element_wise(file.stem, numbers, "-")


def set_aside(batch: RawBatch, keep: pa.ChunkedArray, where: str, column: str, reason: str) -> RawBatch:
    """Split off and count the rows whose `keep` is false; a null keeps its row for the contract to judge."""
    mask = np.asarray(pc.fill_null(keep, True).to_numpy(), bool)
    if mask.all():
        return batch
    first = int(mask.argmin())
    rows = np.arange(1, 1 + len(mask)) if batch.rows is None else batch.rows
    example = f"row {rows[first]}, {batch.table[column][first].as_py()}"
    fresh = Violation(where, column, int((~mask).sum()), reason, example)
    return RawBatch(batch.table.filter(pa.array(mask)), (*batch.rejected, fresh), batch.noted, rows[mask])
