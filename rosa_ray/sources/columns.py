"""The columns of one file become those of a contract, and rows that do not parse are set aside."""

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import ContractError
from rosa_ray.schema import IMPRESSIONS, Violation
from rosa_ray.schema.contract import TIMESTAMP
from rosa_ray.schema.own_columns import contract_with, prefix_of
from rosa_ray.sources.column_forms import (
    CONSTANT,
    FILE_NAME,
    FOLDER_NAME,
    ROW_NUMBER,
    ColumnForm,
    OwnColumns,
    Parsed,
    constant,
    forms_of,
    parse,
    remedy,
    without_null_words,
)
from rosa_ray.sources.names import find_columns
from rosa_ray.sources.protocol import RawBatch, SourceConfig, SourceFile
from rosa_ray.sources.table_files import row_ids
from rosa_ray.sources.values import InexactIdError, are_float_ids, are_rounded_ids, mask_of, without_fraction
from rosa_ray.units import SECOND_US

JOINED = ("user_id", "item_id", "ad_id", "campaign_id", "category")
"""Columns of text by which tables are joined."""

EPOCH_S = 946_684_800
"""The beginning of 2000, UTC, in seconds since 1970: when the first row of a file without times is said to be."""

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


class FileColumns:
    """Reads the tables of one file in order: finds columns by name, parses them, sets rows aside that do not parse.

    Args:
        names: columns of the file.
        note: how the names were found, for messages.
        nulled: words that the reader of the file has made null.
        own: declared columns that are read too.

    Raises:
        ContractError: a required column, or one that the settings name, is missing.
    """

    def __init__(
        self,
        config: SourceConfig,
        file: SourceFile,
        names: Sequence[str],
        note: str = "",
        nulled: Collection[str] = (),
        own: OwnColumns = (),
    ) -> None:
        self._config, self._file, self._own = config, file, own
        forms = forms_of(config, file.contract_name, own)
        self._forms = {name: without_null_words(form, nulled) if nulled else form for name, form in forms.items()}
        self._folders = folder_values(file.path)
        wanted = [form.file_column for form in self._forms.values() if form.reads_file]
        self._in_file = find_columns(names, wanted)
        self._in_folders = find_columns(list(self._folders), [name for name in wanted if name not in self._in_file])
        self._require(config.columns.get(file.contract_name, {}), names, note)
        self._elsewhere = {
            name: value
            for name, value in labels_elsewhere(config, file.contract_name).items()
            if self._forms[name].reads_file
            and self._forms[name].file_column not in {**self._in_file, **self._in_folders}
        }
        self._tallies = {name: _Tally(form) for name, form in self._forms.items()}
        self._first_row = 0
        self._float_ids: dict[str, bool] = {}

    @property
    def to_read(self) -> set[str]:
        """The columns of the file that are needed."""
        return set(self._in_file.values())

    def batch(self, raw: RawBatch) -> RawBatch:
        """Return the next rows under contract names and types.

        Raises:
            ContractError: more than half of the values of a column so far do not parse.
        """
        count = raw.table.num_rows
        rows = np.arange(self._first_row + 1, self._first_row + 1 + count) if raw.rows is None else raw.rows
        columns, rejected, noted = {}, list(raw.rejected), list(raw.noted)
        good = np.ones(count, bool)
        for name, form in self._forms.items():
            values = self._values(raw.table, form)
            if values is None:
                continue
            parsed = self._parsed(values, form, rows)
            columns[name] = parsed.values
            noted += self._padded(parsed.values, name, rows) if name in JOINED else []
            for reason, marks in parsed.faults.items():
                example = self._example(values, marks & good if (marks & good).any() else marks, form, rows, reason)
                self._tallies[name].add(marks, reason, example)
                if fresh := int((marks & good).sum()):
                    rejected.append(Violation(self._file.path, name, fresh, reason, example))
                good &= ~marks
            self._tallies[name].check(parsed.values, self._file.path)
        self._first_row += count
        columns |= {name: pa.repeat(pa.scalar(value), count) for name, value in self._elsewhere.items()}
        table = pa.table(columns)
        kept = table if good.all() else table.filter(pa.array(good))
        return RawBatch(kept, tuple(rejected), tuple(noted), rows if good.all() else rows[good])

    def _values(self, table: pa.Table, form: ColumnForm) -> pa.ChunkedArray | None:
        """The column as the file has it; None where the file has none."""
        count = table.num_rows
        if form.file_column in self._in_file:
            return table[self._in_file[form.file_column]]
        if form.file_column in self._in_folders:
            value = self._folders[self._in_folders[form.file_column]]
            return pa.chunked_array([pa.repeat(pa.scalar(value, pa.string()), count)])
        if form.file_column == ROW_NUMBER and pa.types.is_timestamp(form.type):
            return pa.chunked_array([_row_times(self._first_row, count)])
        if form.file_column == ROW_NUMBER:
            return pa.chunked_array([row_ids(self._file, self._first_row, count)])
        if form.file_column in (FILE_NAME, FOLDER_NAME):
            folder = self._file.path.rpartition("/")[0]
            path = self._file.stem if form.file_column == FILE_NAME else folder
            name = path.rpartition("/")[2]
            return pa.chunked_array([pa.repeat(pa.scalar(name), count)])
        if form.file_column.startswith(CONSTANT):
            value = constant(form)
            # Arrow repeats no list zero times.
            return pa.chunked_array([pa.repeat(value, count)] if count else [], value.type)
        return None

    def _parsed(self, values: pa.ChunkedArray, form: ColumnForm, rows: np.ndarray) -> Parsed:
        if form.file_column.startswith(CONSTANT) or form.file_column == ROW_NUMBER:
            return Parsed(values)
        try:
            parsed = parse(values, form, self._file.path)
        except InexactIdError as error:
            raise ContractError(f"{self._file.path}: column '{form.name}', row {rows[error.at]}: {error}") from error
        if not pa.types.is_string(form.type):
            return parsed
        texts = parsed.values
        if form.key not in self._float_ids and texts.null_count < len(texts):
            self._require_whole_ids(texts, form)
            self._float_ids[form.key] = are_float_ids(texts)
        return Parsed(without_fraction(texts)) if self._float_ids.get(form.key) else parsed

    def _require_whole_ids(self, texts: pa.ChunkedArray, form: ColumnForm) -> None:
        if form.name.endswith("_id") and are_rounded_ids(texts):
            raise ContractError(
                f"{self._file.path}: column '{form.name}' holds ids such as '{texts.drop_null()[0]}', "
                "whose last digits are lost; write them as integers or as text"
            )

    def _example(
        self, values: pa.ChunkedArray, marks: np.ndarray, form: ColumnForm, rows: np.ndarray, reason: str
    ) -> str:
        first = int(marks.argmax())
        text = str(values[first].as_py())
        way_out = remedy(reason, text, form)
        return f"row {rows[first]}, {text[:60]!r}" + (f"; {way_out}" if way_out else "")

    def _padded(self, texts: pa.ChunkedArray, name: str, rows: np.ndarray) -> list[Violation]:
        """Ids with spaces around them: they are kept, and equal no id without."""
        marks = mask_of(pc.or_(pc.starts_with(texts, " "), pc.ends_with(texts, " ")))
        if not marks.any():
            return []
        first = int(marks.argmax())
        example = f"row {rows[first]}, {texts[first].as_py()[:60]!r}"
        return [Violation(self._file.path, name, int(marks.sum()), "have spaces around them", example)]

    def _require(self, mapping: Mapping[str, str], names: Sequence[str], note: str) -> None:
        table = self._file.contract_name
        for entry in contract_with(table, self._own).columns:
            wanted = self._forms[entry.name]
            absent = wanted.reads_file and wanted.file_column not in {**self._in_file, **self._in_folders}
            elsewhere = entry.name in labels_elsewhere(self._config, table)
            needed = entry.needed and not elsewhere
            if absent and (needed or entry.name in mapping or prefix_of(entry.name)):
                twice = [name for name in names if name.startswith(f"{wanted.file_column} (column ")]
                problem = f"is there {len(twice)} times" if twice else "is missing"
                raise ContractError(
                    f"{self._file.path}: column '{wanted.file_column}' {problem}; "
                    f"found columns {', '.join(names) or 'none'}{f'; {note}' if note else ''}; "
                    f"{_missing_remedy(table, entry.name)}"
                )


def labels_elsewhere(config: SourceConfig, table: str) -> dict[str, bool | float]:
    """Columns of the impressions that logs of their own bring, with what they read before these are joined.

    >>> labels_elsewhere(SourceConfig(clicks="clicks.csv"), "impressions")
    {'click': False, 'cost': 0.0}
    """
    if table != IMPRESSIONS.name:
        return {}
    of_clicks = {"click": False, "cost": 0.0} if config.clicks else {}
    return of_clicks | ({"conversion": False, "revenue": 0.0} if config.conversions else {})


def folder_values(path: str) -> dict[str, str | None]:
    """Return what the folders of a path say, as Hive and Spark name them.

    >>> folder_values("/log/day=2026-01-01/country=a%20b/part-0.csv")
    {'day': '2026-01-01', 'country': 'a b'}
    """
    folders = [part.partition("=") for part in path.split("/")[:-1] if "=" in part]
    return {unquote(key): None if value == _HIVE_NULL else unquote(value) for key, _, value in folders if key}


def _row_times(first: int, count: int) -> pa.Array:
    """Times of rows that are in order but say no time: a second apart, from the beginning of 2000."""
    seconds = np.arange(first, first + count, dtype=np.int64)
    return pa.array((seconds + EPOCH_S) * SECOND_US).cast(TIMESTAMP)


class _Tally:
    """Values of one column of a file so far, and those that did not parse."""

    def __init__(self, form: ColumnForm) -> None:
        self._form = form
        self._known = 0
        self._bad = 0
        self._reason = ""
        self._example = ""

    def add(self, marks: np.ndarray, reason: str, example: str) -> None:
        self._bad += int(marks.sum())
        self._reason, self._example = self._reason or reason, self._example or example

    def check(self, values: pa.ChunkedArray, where: str) -> None:
        self._known += len(values) - values.null_count
        if self._bad > self._known:
            total = self._known + self._bad
            raise ContractError(
                f"{where}: column '{self._form.name}': {self._bad} of {total} values {self._reason}, "
                f"the first is {self._example}"
            )


def _missing_remedy(table: str, name: str) -> str:
    examples = {"behavior": "=view", "bid": "=0.1", "cost": "=0"}
    example = ROW_NUMBER if name in ("event_id", "impression_id", "request_id") else examples.get(name, "")
    stands = {ROW_NUMBER: f'"{ROW_NUMBER}" numbers the rows', "": '"=value" gives every row one value'}
    said = stands.get(example, f'"{example}" gives every row that value')
    return f"source.columns.{table}.{name} names another column, {said}"
