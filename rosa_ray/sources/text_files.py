"""Delimited text: encodings, compressions, delimiters, headers and quoted newlines, as tables of strings."""

import codecs
import csv as plain_csv
import io
import lzma
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from rosa_ray.errors import InputError
from rosa_ray.schema import Violation
from rosa_ray.sources.names import distinct, find_columns
from rosa_ray.sources.protocol import RawBatch
from rosa_ray.storage import open_file, readable

CSV_BLOCK_BYTES = 16 << 20
CSV_FORM = "a CSV file"
DELIMITERS = (",", ";", "\t", "|")
_HEAD_BYTES = 1 << 18
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COMPRESSIONS = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xfd7zXZ\x00", "xz"),
)
_OTHER_FORMS = (
    (b"PAR1", "is a Parquet file; set source.kind: parquet"),
    (b"PK\x03\x04", "is a zip archive or an Excel workbook; unpack it, or save it as CSV"),
    (b"Obj\x01", "is an Avro file; convert it to Parquet"),
    (b"ORC", "is an ORC file; convert it to Parquet"),
    (b"\xff\x06\x00\x00sNaPpY", "is compressed with snappy; give it as gzip, bz2, zstd, lz4 or xz"),
)


@dataclass(frozen=True)
class TextForm:
    """How text files are written.

    Attributes:
        delimiter: what separates fields; empty guesses it from the first line.
        encoding: name of a Python codec; empty takes a byte order mark, or else UTF-8.
        header: names of the columns of files that have no header line.
        null_words: fields that are null in every column; the empty one always is.
    """

    delimiter: str = ""
    encoding: str = ""
    header: tuple[str, ...] = ()
    null_words: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class TextFile:
    """A text file, plain or compressed (gzip, bz2, zstd, lz4 or xz by its first bytes), whose head has been read.

    Attributes:
        wanted: names to look for in the header; the delimiter that finds most of them is taken.
        names: the file's columns. A repeated name has its place appended.
        delimiter: what separates its fields.
        encoding: what its bytes mean.
        skip_lines: lines before the first row.

    Raises:
        InputError: the file is empty, damaged, of another format or of another encoding.
    """

    path: str
    form: TextForm = TextForm()
    wanted: tuple[str, ...] = ()
    names: tuple[str, ...] = field(init=False)
    delimiter: str = field(init=False)
    encoding: str = field(init=False)
    skip_lines: int = field(init=False)

    def __post_init__(self) -> None:
        with _decodable(self.path), open_file(self.path) as handle, readable(self.path, CSV_FORM):
            head = _read_head(_unpacked(handle, self.path))
            encoding = self.form.encoding or _encoding_of(head)
            if encoding == "utf-8" and b"\0" in head[:4096]:
                raise InputError(
                    f"{self.path}: holds zero bytes, so it is not UTF-8 text; "
                    "set source.encoding, such as utf-16-le, or save the file as UTF-8"
                )
            text = codecs.getincrementaldecoder(encoding)().decode(head).removeprefix("\ufeff")
            text, skipped, delimiter = _without_separator_line(text, self.form.delimiter)
            delimiter = delimiter or _guess_delimiter(text, self.form.header, self.wanted)
            names, lines = _header(text, delimiter)
            if self.form.header:
                names, lines = list(self.form.header), 0
        found = {"names": tuple(names), "delimiter": delimiter, "encoding": encoding, "skip_lines": skipped + lines}
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @property
    def null_words(self) -> tuple[str, ...]:
        """Words that are null in every column."""
        return self.form.null_words

    def describe(self) -> str:
        """Say how the header was read, for messages."""
        if self.form.header:
            return "the names are those of source.header"
        sign = "tab" if self.delimiter == "\t" else f"'{self.delimiter}'"
        return f"the first line was split at {sign}; source.delimiter sets another sign, source.header gives names"

    def stream(self, columns: Iterable[str] | None = None) -> Iterator[RawBatch]:
        """Yield the rows in blocks, all columns as strings; an empty field is null.

        A row with another number of fields is set aside and counted: the cut last line of a truncated plain file, a
        separator inside a value. A file with more such rows than good ones is of another format.

        Args:
            columns: the columns to keep, absent ones passed over; None keeps all.

        Raises:
            InputError: the file is truncated, damaged or of another format.
        """
        kept = [name for name in self.names if columns is None or name in set(columns)]
        rows = _Rows(self.path, len(self.names), self.skip_lines)
        with _decodable(self.path), self._opened() as stream:
            yield from self._batches(stream, kept, rows)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The unpacked stream, closed at the end, however that comes.

        Arrow reads ahead in a thread. One that still reads while the interpreter ends aborts the process.
        """
        with open_file(self.path) as handle:
            with readable(self.path, CSV_FORM):
                stream = _unpacked(handle, self.path)
            with stream:
                yield stream

    def _batches(self, stream: Any, kept: list[str], rows: "_Rows") -> Iterator[RawBatch]:
        with readable(self.path, CSV_FORM):
            reader = pa_csv.open_csv(stream, *self._options(kept, rows))
        for table in tables_of(reader, self.path, CSV_FORM):
            yield rows.batch(table)
        yield rows.batch(reader.schema.empty_table())

    def _options(self, kept: list[str], rows: "_Rows") -> tuple[Any, Any, Any]:
        reading = pa_csv.ReadOptions(
            use_threads=False,
            block_size=CSV_BLOCK_BYTES,
            column_names=self.names,
            skip_rows=self.skip_lines,
            encoding=self.encoding,
        )
        parsing = pa_csv.ParseOptions(delimiter=self.delimiter, invalid_row_handler=rows.skip, newlines_in_values=True)
        converting = pa_csv.ConvertOptions(
            include_columns=kept,
            column_types=dict.fromkeys(self.names, pa.string()),
            strings_can_be_null=True,
            null_values=["", *self.form.null_words],
        )
        return reading, parsing, converting


def tables_of(batches: Iterator[pa.RecordBatch], path: str, form: str) -> Iterator[pa.Table]:
    """Yield record batches as tables; what goes wrong on the way names the file."""
    while True:
        with readable(path, form):
            batch = next(batches, None)
        if batch is None:
            return
        yield pa.Table.from_batches([batch])


class _Rows:
    """Numbers the rows of a text file, and counts those whose number of fields is not the header's."""

    def __init__(self, path: str, fields: int, skipped_lines: int) -> None:
        self._path = path
        self._fields = fields
        self._skipped_lines = skipped_lines
        self._good = 0
        self._odd: list[int] = []
        self._taken = 0
        self._next = 1
        self._first_fields = 0

    def skip(self, row: pa_csv.InvalidRow) -> str:
        self._first_fields = self._first_fields or row.actual_columns
        self._odd.append(row.number - self._skipped_lines)
        return "skip"

    def batch(self, table: pa.Table) -> RawBatch:
        self._good += table.num_rows
        fresh, self._taken = len(self._odd) - self._taken, len(self._odd)
        reason = f"have another number of fields than {self._fields}"
        example = f"row {self._odd[-fresh]}, with {self._first_fields}" if fresh else ""
        if len(self._odd) > self._good:
            hint = "a value that holds the delimiter must be quoted; source.delimiter sets another delimiter"
            raise InputError(
                f"{self._path}: is not the expected CSV file: {len(self._odd)} rows {reason}, "
                f"the first is row {self._odd[0]}, with {self._first_fields}; {hint}"
            )
        rejected = (Violation(self._path, "(row)", fresh, reason, example),) if fresh else ()
        return RawBatch(table, rejected, rows=self._numbers(table.num_rows))

    def _numbers(self, count: int) -> np.ndarray:
        """Numbers of the next good rows, counted from 1; odd rows have numbers too."""
        between = [number for number in self._odd if number >= self._next]
        numbers = np.arange(self._next, self._next + count + len(between))
        numbers = np.setdiff1d(numbers, between, assume_unique=True)[:count] if between else numbers
        self._next = int(numbers[-1]) + 1 if count else self._next
        return numbers


def _unpacked(handle: IO[bytes], path: str) -> Any:
    first = handle.read(16)
    handle.seek(0)
    if not first:
        raise InputError(f"{path}: is empty, 0 bytes")
    for mark, problem in _OTHER_FORMS:
        if first.startswith(mark):
            raise InputError(f"{path}: {problem}")
    compression = next((name for mark, name in _COMPRESSIONS if first.startswith(mark)), None)
    if compression == "xz":
        return pa.PythonFile(lzma.LZMAFile(handle), mode="r")
    return pa.input_stream(handle, compression=compression)


def _read_head(stream: Any) -> bytes:
    head = bytes(stream.read(_HEAD_BYTES))
    if not head:
        raise ValueError("the first line should hold distinct column names, the file is empty")
    return head


def _encoding_of(head: bytes) -> str:
    return next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), "utf-8")


def _without_separator_line(text: str, delimiter: str) -> tuple[str, int, str]:
    """Pass over Excel's first line `sep=;`, which says the delimiter."""
    line, _, rest = text.partition("\n")
    said = line.rstrip("\r")
    if said[:4].lower() == "sep=" and len(said) == 5:
        return rest, 1, delimiter or said[4]
    return text, 0, delimiter


def _guess_delimiter(text: str, header: Sequence[str], wanted: Sequence[str]) -> str:
    """Take the delimiter that finds most wanted columns, or as many fields as there are names; then most fields."""

    def fitness(delimiter: str) -> tuple[int, int]:
        names, _ = _fields(text, delimiter)
        known = int(len(names) == len(header)) if header else len(find_columns(names, wanted))
        return known, len(names)

    return max(DELIMITERS, key=fitness)


def _header(text: str, delimiter: str) -> tuple[list[str], int]:
    names, lines = _fields(text, delimiter)
    if not names:
        raise ValueError(f"the first line should hold distinct column names, it holds '{text[:80].splitlines()[:1]}'")
    return distinct(names), lines


def _fields(text: str, delimiter: str) -> tuple[list[str], int]:
    """Fields of the first record, and how many lines it takes."""
    reader = plain_csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = next(reader, [])
    except plain_csv.Error:
        return [], 0
    return names, reader.line_num


@contextmanager
def _decodable(path: str) -> Iterator[None]:
    """Say of text in an unexpected encoding which setting reads it."""
    try:
        yield
    except lzma.LZMAError as error:
        raise InputError(f"{path}: is truncated, damaged or not {CSV_FORM}: {error}") from error
    except InputError as error:
        cause = error.__cause__
        if isinstance(cause, UnicodeError) or "invalid UTF8" in str(cause):
            place = str(cause).splitlines()[0]
            raise InputError(
                f"{path}: is not text in the expected encoding: {place}; "
                "set source.encoding, such as latin-1, cp1252 or utf-16, or save the file as UTF-8"
            ) from cause
        raise
