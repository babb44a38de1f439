"""How each column of a table is written, by the settings of `source`, and its values under the contract's type."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from rosa_ray.errors import ContractError
from rosa_ray.schema import Column
from rosa_ray.schema.own_columns import OwnColumn, contract_with, prefix_of
from rosa_ray.sources.lists import is_list, read_number_lists, read_text_lists
from rosa_ray.sources.protocol import SourceConfig
from rosa_ray.sources.times import TimeForm, read_times, time_remedy
from rosa_ray.sources.values import (
    NAN_WORDS,
    NULL_WORDS,
    TEXT_NULL_WORDS,
    Marks,
    ValueForm,
    is_scalar,
    mapped,
    nulled,
    number_remedy,
    read_flags,
    read_numbers,
    texts_of,
    value_remedy,
)

OwnColumns = tuple[OwnColumn, ...]

ROW_NUMBER = "#row"
FILE_NAME = "#file"
FOLDER_NAME = "#folder"
PLACEHOLDERS = (ROW_NUMBER, FILE_NAME, FOLDER_NAME)
CONSTANT = "="
NAIVE = "say no time zone"


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
    def name(self) -> str:
        """Name of the column in its contract."""
        return self.key.partition(".")[2]

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


def forms_of(config: SourceConfig, table: str, own: OwnColumns = ()) -> dict[str, ColumnForm]:
    """Return how each column of a table is written, declared ones included."""
    return {entry.name: _form(config, table, entry) for entry in contract_with(table, own).columns}


def shared_null_words(forms: Mapping[str, ColumnForm]) -> tuple[str, ...]:
    """Return the words that are null in every column of a table, and that no value map gives a meaning."""
    words = [set(form.values.null_words) - set(form.values.mapping) for form in forms.values()]
    return tuple(sorted(set.intersection(*words)))


def without_null_words(form: ColumnForm, words: Collection[str]) -> ColumnForm:
    """Return the form of a column in which some words have been made null already, in lists only as a whole."""
    if is_list(form.type):
        return form
    left = tuple(word for word in form.values.null_words if word not in words)
    return replace(form, values=replace(form.values, null_words=left))


def parse(values: pa.ChunkedArray, form: ColumnForm, where: str) -> Parsed:
    """Read the values of a column under its contract's type.

    Raises:
        ContractError: the column is of a type that has no such values.
    """
    try:
        return _parse(values, form)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(
            f"{where}: column '{form.name}' is {values.type}, which does not become {form.type}: "
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


def remedy(reason: str, text: str, form: ColumnForm) -> str:
    """Name the setting that would read a value, which was set aside for a reason of `Parsed`."""
    if reason == NAIVE:
        return f"source.time_zone: {{{form.key}: UTC}} states one"
    if pa.types.is_timestamp(form.type):
        return time_remedy(text, form.key, form.times)
    if pa.types.is_boolean(form.type):
        return value_remedy(text, form.key, "false")
    if is_list(form.type):
        return _list_remedy(text, form)
    return number_remedy(text, form.key, form.values)


def _form(config: SourceConfig, table: str, entry: Column) -> ColumnForm:
    name = entry.name
    say = partial(config.setting, table=table, column=name)
    words = say("null_words")
    if words is None:
        words = TEXT_NULL_WORDS if pa.types.is_string(entry.type) else NULL_WORDS
        words = [word for word in words if not (entry.required and word in NAN_WORDS)]
    said = config.values.get(table, {}).get(name, {})
    meanings = {value: _as_text(meaning, say("decimal")) for value, meaning in said.items()}
    if name == "behavior":
        meanings = {**config.behaviors, **meanings}
    return ColumnForm(
        key=f"{table}.{name}",
        type=entry.type,
        file_column=config.columns.get(table, {}).get(name, name.removeprefix(prefix_of(name))),
        values=ValueForm(tuple(dict.fromkeys(("", *words))), meanings, say("decimal"), say("thousands"), say("strip")),
        times=TimeForm(say("time_format"), say("time_unit"), say("time_zone")),
    )


def _as_text(meaning: Any, decimal: str) -> str | None:
    if meaning is None or isinstance(meaning, str):
        return meaning
    return str(meaning).lower() if isinstance(meaning, bool) else repr(meaning).replace(".", decimal)


def _parse(values: pa.ChunkedArray, form: ColumnForm) -> Parsed:
    kind, written = form.type, form.values
    values = _decoded(values)
    if is_list(kind) and pa.types.is_string(kind.value_type):
        lists, bad = read_text_lists(values, written)
        return Parsed(lists, _faults(("are no JSON lists of texts", bad)))
    if written.mapping and is_scalar(values.type):
        values = mapped(texts_of(values), written.mapping)
    if pa.types.is_timestamp(kind):
        times = read_times(values, form.times, written.null_words)
        return Parsed(times.values, _faults((_time_reason(form, values.type), times.bad), (NAIVE, times.naive)))
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        numbers, bad = read_numbers(values, written, kind)
        whole = "whole " if pa.types.is_integer(kind) else ""
        return Parsed(numbers, _faults((f"do not parse as {whole}numbers", bad)))
    if pa.types.is_boolean(kind):
        flags, bad = read_flags(values, written)
        return Parsed(flags, _faults(("are neither yes nor no", bad)))
    if pa.types.is_string(kind) and is_scalar(values.type):
        return Parsed(nulled(texts_of(values), written.null_words))
    if is_list(kind):
        vectors, bad = read_number_lists(values, written)
        return Parsed(vectors, _faults(("do not parse as lists of numbers", bad)))
    if pa.types.is_string(kind):
        declared = "; features.columns reads lists as type categories" if prefix_of(form.name) else ""
        raise pa.ArrowInvalid(f"a list or a struct is no text{declared}")
    return Parsed(values)


def _list_remedy(text: str, form: ColumnForm) -> str:
    if pa.types.is_string(form.type.value_type):
        return 'a list is written as a|b or as ["a", "b"]'
    null = f'; source.null_words: {{{form.key}: ["{text[:20]}"]}} makes it null' if len(text) <= 20 else ""
    return f"a vector is written as 0.5|1, as 0.5 1 or as [0.5, 1]{null}"


def _time_reason(form: ColumnForm, kind: pa.DataType) -> str:
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if numeric and not form.times.unit and not form.times.format:
        return "are numbers with no time unit"
    if form.times.format:
        return f"are not written as source.time_format '{form.times.format}' says"
    unit = f", in the unit '{form.times.unit}' or" if form.times.unit else ""
    return f"are no times{unit} in ISO 8601"


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
