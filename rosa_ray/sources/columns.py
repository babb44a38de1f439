"""The columns of one file become those of a contract, as the settings of `source` say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import ContractError
from rosa_ray.schema import CONTRACTS, Column, Violation
from rosa_ray.sources.names import find_columns
from rosa_ray.sources.protocol import RawBatch, SourceConfig, SourceFile
from rosa_ray.sources.table_files import row_ids
from rosa_ray.sources.times import TimeForm, read_times, time_remedy
from rosa_ray.sources.values import (
    NAN_WORDS,
    NULL_WORDS,
    TEXT_NULL_WORDS,
    InexactIdError,
    Marks,
    ValueForm,
    are_float_ids,
    are_rounded_ids,
    is_scalar,
    mapped,
    mask_of,
    nulled,
    number_remedy,
    read_flags,
    read_numbers,
    texts_of,
    value_remedy,
    without_fraction,
)

ROW_NUMBER = "#row"
FILE_NAME = "#file"
FOLDER_NAME = "#folder"
PLACEHOLDERS = (ROW_NUMBER, FILE_NAME, FOLDER_NAME)
CONSTANT = "="
JOINED = ("user_id", "item_id", "ad_id", "campaign_id", "category")
"""Columns of text by which tables are joined."""

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class ColumnForm:
    """How one column of a contract is written in the files of its table.

    Attributes:
        key: `table.column`, as settings name it.
        type: the contract's.
        file_column: the column that the settings name; `#row`, `#file`, `#folder` or `=value` for none.
    """

    key: str
    type: pa.DataType
    file_column: str
    values: ValueForm
    times: TimeForm

    @property
    def reads_file(self) -> bool:
        """Whether a column of the file, or of its folders, is read."""
        return self.file_column not in PLACEHOLDERS and not self.file_column.startswith(CONSTANT)


@dataclass(frozen=True)
class Parsed:
    """A column under its contract's type, null where a value does not parse.

    Attributes:
        faults: for each reason, which rows it sets aside; rows of an earlier reason may be marked again.
    """

    values: pa.ChunkedArray
    faults: Mapping[str, np.ndarray] = field(default_factory=dict)


def forms_of(config: SourceConfig, table: str) -> dict[str, ColumnForm]:
    """Return how each column of a table is written."""
    return {entry.name: _form(config, table, entry) for entry in CONTRACTS[table].columns}


def shared_null_words(forms: Mapping[str, ColumnForm]) -> tuple[str, ...]:
    """Return the words that are null in every column of a table, and that no value map gives a meaning."""
    words = [set(form.values.null_words) - set(form.values.mapping) for form in forms.values()]
    return tuple(sorted(set.intersection(*words)))


def parse(values: pa.ChunkedArray, form: ColumnForm, where: str) -> Parsed:
    """Read the values of a column under its contract's type.

    Raises:
        ContractError: the column is of a type that has no such values.
    """
    try:
        return _parse(values, form)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(
            f"{where}: column '{form.key.partition('.')[2]}' is {values.type}, which does not become {form.type}: "
            f"{str(error).splitlines()[0]}"
        ) from error


def constant(form: ColumnForm) -> pa.Scalar:
    """Return the value that a column has in every row.

    Raises:
        ValueError: it does not parse.
    """
    text = form.file_column.removeprefix(CONSTANT)
    plain = ColumnForm(form.key, form.type, "", ValueForm(mapping=form.values.mapping), form.times)
    parsed = parse(pa.chunked_array([[text]]), plain, "source.columns")
    if parsed.faults:
        raise ValueError(f"'{text}' is no {form.type}")
    return parsed.values[0]


class FileColumns:
    """Reads the tables of one file in order: finds columns by name, parses them, sets rows aside that do not parse.

    Args:
        names: columns of the file.
        note: how the names were found, for messages.

    Raises:
        ContractError: a required column, or one that the settings name, is missing.
    """

    def __init__(self, config: SourceConfig, file: SourceFile, names: Sequence[str], note: str = "") -> None:
        self._file = file
        self._forms = forms_of(config, file.contract_name)
        self._folders = folder_values(file.path)
        wanted = [form.file_column for form in self._forms.values() if form.reads_file]
        self._in_file = find_columns(names, wanted)
        self._in_folders = find_columns(list(self._folders), [name for name in wanted if name not in self._in_file])
        self._require(config.columns.get(file.contract_name, {}), names, note)
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
        if form.file_column == ROW_NUMBER:
            return pa.chunked_array([row_ids(self._file, self._first_row, count)])
        if form.file_column in (FILE_NAME, FOLDER_NAME):
            folder = self._file.path.rpartition("/")[0]
            path = self._file.stem if form.file_column == FILE_NAME else folder
            name = path.rpartition("/")[2]
            return pa.chunked_array([pa.repeat(pa.scalar(name), count)])
        if form.file_column.startswith(CONSTANT):
            return pa.chunked_array([pa.repeat(constant(form), count)])
        return None

    def _parsed(self, values: pa.ChunkedArray, form: ColumnForm, rows: np.ndarray) -> Parsed:
        if form.file_column.startswith(CONSTANT) or form.file_column == ROW_NUMBER:
            return Parsed(values)
        try:
            parsed = parse(values, form, self._file.path)
        except InexactIdError as error:
            column = form.key.partition(".")[2]
            raise ContractError(f"{self._file.path}: column '{column}', row {rows[error.at]}: {error}") from error
        if not pa.types.is_string(form.type):
            return parsed
        texts = parsed.values
        if form.key not in self._float_ids and texts.null_count < len(texts):
            self._require_whole_ids(texts, form)
            self._float_ids[form.key] = are_float_ids(texts)
        return Parsed(without_fraction(texts)) if self._float_ids.get(form.key) else parsed

    def _require_whole_ids(self, texts: pa.ChunkedArray, form: ColumnForm) -> None:
        column = form.key.partition(".")[2]
        if column.endswith("_id") and are_rounded_ids(texts):
            raise ContractError(
                f"{self._file.path}: column '{column}' holds ids such as '{texts.drop_null()[0]}', "
                "whose last digits are lost; write them as integers or as text"
            )

    def _example(
        self, values: pa.ChunkedArray, marks: np.ndarray, form: ColumnForm, rows: np.ndarray, reason: str
    ) -> str:
        first = int(marks.argmax())
        text = str(values[first].as_py())
        remedy = f"source.time_zone: {{{form.key}: UTC}} states one" if reason == _NAIVE else _remedy(text, form)
        return f"row {rows[first]}, {text[:60]!r}" + (f"; {remedy}" if remedy else "")

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
        for entry in CONTRACTS[table].columns:
            wanted = self._forms[entry.name]
            absent = wanted.reads_file and wanted.file_column not in {**self._in_file, **self._in_folders}
            if absent and (entry.required or entry.name in mapping):
                twice = [name for name in names if name.startswith(f"{wanted.file_column} (column ")]
                problem = f"is there {len(twice)} times" if twice else "is missing"
                raise ContractError(
                    f"{self._file.path}: column '{wanted.file_column}' {problem}; "
                    f"found columns {', '.join(names) or 'none'}{f'; {note}' if note else ''}; "
                    f"{_missing_remedy(table, entry.name, entry.type)}"
                )


def folder_values(path: str) -> dict[str, str | None]:
    """Return what the folders of a path say, as Hive and Spark name them.

    >>> folder_values("/log/day=2026-01-01/country=a%20b/part-0.csv")
    {'day': '2026-01-01', 'country': 'a b'}
    """
    folders = [part.partition("=") for part in path.split("/")[:-1] if "=" in part]
    return {unquote(key): None if value == _HIVE_NULL else unquote(value) for key, _, value in folders if key}


class _Tally:
    """Values of one column of a file so far, and those that did not parse."""

    def __init__(self, form: ColumnForm) -> None:
        self._form = form
        self._known = 0
        self._bad = 0
        self._fresh: np.ndarray | None = None
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
                f"{where}: column '{self._form.key.partition('.')[2]}': {self._bad} of {total} values {self._reason}, "
                f"the first is {self._example}"
            )


def _form(config: SourceConfig, table: str, entry: Column) -> ColumnForm:
    name = entry.name
    say = partial(config.setting, table=table, column=name)
    words = say("null_words")
    if words is None:
        words = TEXT_NULL_WORDS if pa.types.is_string(entry.type) else NULL_WORDS
        words = [word for word in words if not (entry.required and word in NAN_WORDS)]
    meanings = {value: _as_text(meaning) for value, meaning in config.values.get(table, {}).get(name, {}).items()}
    if name == "behavior":
        meanings = {**config.behaviors, **meanings}
    return ColumnForm(
        key=f"{table}.{name}",
        type=entry.type,
        file_column=config.columns.get(table, {}).get(name, name),
        values=ValueForm(tuple(words), meanings, say("decimal"), say("thousands"), say("strip")),
        times=TimeForm(say("time_format"), say("time_unit"), say("time_zone")),
    )


def _as_text(meaning: Any) -> str | None:
    if meaning is None or isinstance(meaning, str):
        return meaning
    return str(meaning).lower() if isinstance(meaning, bool) else repr(meaning)


def _parse(values: pa.ChunkedArray, form: ColumnForm) -> Parsed:
    kind, written = form.type, form.values
    values = _decoded(values)
    if written.mapping and is_scalar(values.type):
        values = mapped(texts_of(values), written.mapping)
    if pa.types.is_timestamp(kind):
        times = read_times(values, form.times, written.null_words)
        return Parsed(times.values, _faults((_time_reason(form, values.type), times.bad), (_NAIVE, times.naive)))
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        numbers, bad = read_numbers(values, written, kind)
        return Parsed(
            numbers,
            _faults(("do not parse as whole numbers" if pa.types.is_integer(kind) else "do not parse as numbers", bad)),
        )
    if pa.types.is_boolean(kind):
        flags, bad = read_flags(values, written)
        return Parsed(flags, _faults(("are neither yes nor no", bad)))
    if pa.types.is_string(kind) and is_scalar(values.type):
        return Parsed(nulled(texts_of(values), written.null_words))
    if pa.types.is_string(kind):
        raise pa.ArrowInvalid("a list or a struct is no text")
    return Parsed(values)


_NAIVE = "say no time zone"


def _time_reason(form: ColumnForm, kind: pa.DataType) -> str:
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if numeric and not form.times.unit and not form.times.format:
        return "are numbers with no time unit"
    if form.times.format:
        return f"are not written as source.time_format '{form.times.format}' says"
    return (
        f"are no times, in the unit '{form.times.unit}' or in ISO 8601"
        if form.times.unit
        else "are no times in ISO 8601"
    )


def _faults(*found: tuple[str, Marks]) -> dict[str, np.ndarray]:
    return {reason: marks for reason, marks in found if marks is not None}


def _decoded(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Plain strings and values for dictionaries, other layouts of strings, and Parquet's unmarked strings."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _decoded(values.cast(kind.value_type))
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if binary or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    return values


def _remedy(text: str, form: ColumnForm) -> str:
    if pa.types.is_timestamp(form.type):
        return time_remedy(text, form.key, form.times)
    if pa.types.is_boolean(form.type):
        return value_remedy(text, form.key, "false")
    return number_remedy(text, form.key, form.values)


def _missing_remedy(table: str, name: str, kind: pa.DataType) -> str:
    examples = {"behavior": "=view", "bid": "=0.1", "cost": "=0"}
    example = ROW_NUMBER if name in ("event_id", "impression_id", "request_id") else examples.get(name, "")
    stands = {ROW_NUMBER: f'"{ROW_NUMBER}" numbers the rows', "": '"=value" gives every row one value'}
    said = stands.get(example, f'"{example}" gives every row that value')
    return f"source.columns.{table}.{name} names another column, {said}"
