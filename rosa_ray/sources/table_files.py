"""Stream CSV and Parquet files in bounded batches, and the column operations every source shares."""

import csv as plain_csv
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from rosa_ray.errors import ContractError, InputError
from rosa_ray.schema import Violation
from rosa_ray.sources.protocol import RawBatch, SourceFile
from rosa_ray.storage import open_file, readable

CSV_BLOCK_BYTES = 16 << 20
PARQUET_BATCH_ROWS = 1 << 18
CSV_FORM = "a CSV file"
PARQUET_FORM = "a Parquet file"


def stream_csv(
    path: str, names: Sequence[str] | None = None, columns: Iterable[str] | None = None, delimiter: str = ","
) -> Iterator[RawBatch]:
    """Yield a CSV file, plain or `.gz`, as tables whose columns are all strings; an empty field is null.

    A row with another number of fields is set aside and counted: the cut last line of a truncated plain file, a
    separator inside a value. A file with more such rows than good ones is of another format.

    Args:
        path: local path or URL.
        names: column names of a file without header; None reads them from the first line.
        columns: the columns to keep, absent ones passed over; None keeps all.
        delimiter: what separates fields.

    Raises:
        InputError: the file is truncated, damaged or of another format.
    """
    header = list(names) if names else csv_names(path, delimiter)
    kept = [name for name in header if columns is None or name in set(columns)]
    odd_rows = _OddRows(path, len(header))
    with open_file(path) as handle:
        with readable(path, CSV_FORM):
            reader = pa_csv.open_csv(
                pa.input_stream(handle, compression=_compression(path)),
                pa_csv.ReadOptions(
                    use_threads=False, block_size=CSV_BLOCK_BYTES, column_names=header, skip_rows=0 if names else 1
                ),
                pa_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=odd_rows.skip),
                pa_csv.ConvertOptions(
                    include_columns=kept,
                    column_types=dict.fromkeys(header, pa.string()),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
        for table in _tables(reader, path, CSV_FORM):
            yield RawBatch(table, odd_rows.take(table.num_rows))
        yield RawBatch(reader.schema.empty_table(), odd_rows.take(0))


class _OddRows:
    """Counts the rows of a CSV file whose number of fields is not the header's."""

    def __init__(self, path: str, fields: int) -> None:
        self._path = path
        self._reason = f"have another number of fields than {fields}"
        self._good = 0
        self._odd = 0
        self._taken = 0

    def skip(self, row: pa_csv.InvalidRow) -> str:
        self._odd += 1
        return "skip"

    def take(self, good_rows: int) -> tuple[Violation, ...]:
        self._good += good_rows
        fresh, self._taken = self._odd - self._taken, self._odd
        if self._odd > self._good:
            raise InputError(f"{self._path}: is not the expected CSV file: {self._odd} rows {self._reason}")
        return (Violation(self._path, "(row)", fresh, self._reason),) if fresh else ()


def csv_names(path: str, delimiter: str = ",") -> list[str]:
    """Return the fields of a CSV file's first line.

    Raises:
        InputError: the file cannot be read, is empty, is not UTF-8 text, or repeats a name.
    """
    with open_file(path) as handle, readable(path, CSV_FORM):
        head = bytes(pa.input_stream(handle, compression=_compression(path)).read(1 << 16))
        first_line = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode().rstrip("\r")
        names = next(plain_csv.reader([first_line], delimiter=delimiter), [])
        if not names or len(set(names)) < len(names):
            raise ValueError(f"the first line should hold distinct column names, it holds '{first_line[:80]}'")
        return names


def stream_parquet(path: str, columns: Iterable[str] | None = None) -> Iterator[RawBatch]:
    """Yield a Parquet file's columns in batches, page checksums verified.

    Args:
        path: local path or URL.
        columns: the columns to read, absent ones passed over; None reads all.

    Raises:
        InputError: the file is truncated, damaged or not Parquet.
    """
    with open_file(path) as handle:
        with readable(path, PARQUET_FORM):
            parquet = pq.ParquetFile(handle, page_checksum_verification=True)
            kept = [name for name in parquet.schema_arrow.names if columns is None or name in set(columns)]
            batches = parquet.iter_batches(PARQUET_BATCH_ROWS, columns=kept, use_threads=False)
        for table in _tables(batches, path, PARQUET_FORM):
            yield RawBatch(table)


def parquet_names(path: str) -> list[str]:
    """Return a Parquet file's top-level column names.

    Raises:
        InputError: the file is truncated, damaged or not Parquet.
    """
    with open_file(path) as handle, readable(path, PARQUET_FORM):
        return list(pq.ParquetFile(handle).schema_arrow.names)


def require_columns(found: Sequence[str], needed: Iterable[str], where: str) -> None:
    """Check that a file has columns.

    Raises:
        ContractError: one is missing.
    """
    missing = [name for name in needed if name not in found]
    if missing:
        raise ContractError(f"{where}: column '{missing[0]}' is missing; found columns {', '.join(found) or 'none'}")


def row_ids(file: SourceFile, first_row: int, count: int) -> pa.Array:
    """Return ids of consecutive rows, unique across files, whose string order is file order.

    >>> row_ids(SourceFile("/logs/a.csv", "events", "a.csv"), 9, 2).to_pylist()
    ['a-000000000009', 'a-000000000010']
    """
    numbers = pc.utf8_lpad(pa.array(np.arange(first_row, first_row + count)).cast(pa.string()), 12, "0")
    return pc.binary_join_element_wise(file.stem, numbers, "-")


def times_from_integers(values: pa.ChunkedArray, unit: str, column: str, where: str) -> pa.ChunkedArray:
    """Turn integers, or their decimal strings, into UTC microsecond timestamps.

    Args:
        values: integers or strings.
        unit: `s`, `ms`, `us` or `ns` since 1970.
        column: the contract column, for errors.
        where: the file, for errors.

    Raises:
        ContractError: a value is no integer, or too large for the unit.
    """
    try:
        return (
            values.cast(pa.int64()).cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp("us", "UTC"), safe=unit != "ns")
        )
    except pa.ArrowInvalid as error:
        raise ContractError(
            f"{where}: column '{column}' does not hold integer times in unit '{unit}': {str(error).splitlines()[0]}"
        ) from error


def map_values(values: pa.ChunkedArray, mapping: Mapping[str, str]) -> pa.ChunkedArray:
    """Replace the values a mapping names and keep the others.

    >>> map_values(pa.chunked_array([["buy", "odd", None]]), {"buy": "purchase"}).to_pylist()
    ['purchase', 'odd', None]
    """
    found = pc.index_in(values, value_set=pa.array(list(mapping), pa.string()))
    return pc.coalesce(pc.take(pa.array(list(mapping.values()), pa.string()), found), values)


def set_aside(batch: RawBatch, keep: pa.ChunkedArray, where: str, column: str, reason: str) -> RawBatch:
    """Split off and count the rows whose `keep` is false; a null keeps its row for the contract to judge."""
    kept = batch.table.filter(pc.fill_null(keep, True))
    dropped = batch.table.num_rows - kept.num_rows
    fresh = (Violation(where, column, dropped, reason),) if dropped else ()
    return RawBatch(kept, batch.rejected + fresh)


def _tables(batches: Iterator[pa.RecordBatch], path: str, form: str) -> Iterator[pa.Table]:
    while True:
        with readable(path, form):
            batch = next(batches, None)
        if batch is None:
            return
        yield pa.Table.from_batches([batch])


def _compression(path: str) -> str | None:
    return "gzip" if path.endswith(".gz") else None
