"""Any Parquet or text log, by a column map and settings that say how values are written."""

import codecs
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from rosa_ray.errors import ConfigError, InputError
from rosa_ray.schema import CONTRACTS, ITEMS, USERS
from rosa_ray.schema.own_columns import contract_with, prefix_of, tables_needed
from rosa_ray.sources.column_forms import CONSTANT, ROW_NUMBER, OwnColumns, constant, forms_of, shared_null_words
from rosa_ray.sources.columns import FileColumns
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceConfig, SourceFile
from rosa_ray.sources.table_files import ParquetFile, begins_as_parquet, is_named_as_text
from rosa_ray.sources.text_files import TextFile, TextForm
from rosa_ray.sources.time_texts import pattern_of
from rosa_ray.sources.zones import known_zone

PER_TABLE = ("delimiter", "encoding")
PER_COLUMN = ("time_format", "time_unit", "time_zone", "null_words", "decimal", "thousands", "strip")


class TableFile(Protocol):
    """A file of rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns."""
        ...

    @property
    def null_words(self) -> tuple[str, ...]:
        """Words that its reader makes null."""
        ...

    def describe(self) -> str:
        """Say how the names were found."""
        ...

    def stream(self, columns: set[str]) -> Iterator[RawBatch]:
        """Yield its rows, these columns only."""
        ...


@dataclass(frozen=True)
class TabularSource(ABC):
    """Reads the files of each contract whose location is configured.

    >>> config = SourceConfig(kind="csv", events="s3://logs/clicks/*.csv.gz", time_unit="ms",
    ...     columns={"events": {"event_id": "#row", "user_id": "uid", "event_time": "ts"}},
    ...     behaviors={"pv": "view"})
    >>> CsvSource(config).column_map("events")["user_id"]
    'uid'
    """

    config: SourceConfig
    own: OwnColumns = ()

    def __post_init__(self) -> None:
        config = self.config
        if config.path or not self._locations():
            raise ConfigError(
                f"source.kind '{config.kind}' reads {', '.join(f'source.{name}' for name in CONTRACTS)}; "
                "give at least one of them, and no source.path"
            )
        check_tables(config, self.own)
        check_writing(config, self.own)

    def _locations(self) -> dict[str, str]:
        return {name: getattr(self.config, name) for name in CONTRACTS if getattr(self.config, name)}

    def files(self) -> list[SourceFile]:
        """List the files of every configured location; those of users and items where a declared column needs them."""
        unread = {ITEMS.name, USERS.name}.difference(tables_needed(self.own))
        locations = {name: location for name, location in self._locations().items() if name not in unread}
        files = [file for name, location in locations.items() for file in find_files(location, name)]
        for table, columns in self.config.columns.items():
            timed = [name for name, column in columns.items() if column == ROW_NUMBER and name.endswith("_time")]
            if timed:
                require_one_file([file for file in files if file.contract_name == table])
        return files

    def column_map(self, contract_name: str) -> dict[str, str]:
        """Return {contract column: file column} with the unmapped columns under their own names."""
        return {name: form.file_column for name, form in forms_of(self.config, contract_name, self.own).items()}

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        opened = self._open(file)
        columns = FileColumns(self.config, file, opened.names, opened.describe(), opened.null_words, self.own)
        for batch in opened.stream(columns.to_read):
            yield columns.batch(batch)

    @abstractmethod
    def _open(self, file: SourceFile) -> TableFile:
        """Read the head of a file."""

    def _text_file(self, file: SourceFile) -> TextFile:
        config, table = self.config, file.contract_name
        forms = forms_of(config, table, self.own)
        form = TextForm(
            delimiter=config.setting("delimiter", table),
            encoding=config.setting("encoding", table),
            header=tuple(config.header.get(table, ())),
            null_words=shared_null_words(forms),
        )
        return TextFile(file.path, form, tuple(entry.file_column for entry in forms.values()))


@dataclass(frozen=True)
class ParquetSource(TabularSource):
    """Kind `parquet`; a file that is named as text is read as kind `csv` reads it."""

    def _open(self, file: SourceFile) -> TableFile:
        return self._text_file(file) if is_named_as_text(file.path) else ParquetFile(file.path)


@dataclass(frozen=True)
class CsvSource(TabularSource):
    """Kind `csv`: text with a delimiter, plain or compressed, whose header the file or `source.header` gives.

    A file that begins as Parquet does is read as that.
    """

    def _open(self, file: SourceFile) -> TableFile:
        return ParquetFile(file.path) if begins_as_parquet(file.path) else self._text_file(file)


def require_one_file(files: list[SourceFile]) -> None:
    """Refuse several files whose rows say no time: they would begin at the same moment.

    Raises:
        InputError: names two of them.
    """
    if len(files) > 1:
        raise InputError(
            f"{files[0].path} and {files[1].path}: their rows say no time, so that both would begin at one moment; "
            "give one file, in the order of time"
        )


def check_tables(config: SourceConfig, own: OwnColumns = ()) -> None:
    """Refuse settings of tables and columns that no contract has, and that are not declared.

    Raises:
        ConfigError: names the setting.
    """
    for name, mapping in (("columns", config.columns), ("values", config.values)):
        for table, columns in mapping.items():
            for column in columns or [""]:
                _check_key(name, table, column, own)
    for table, columns in config.values.items():
        for column, meanings in columns.items():
            if not isinstance(meanings, Mapping) or any(
                isinstance(value, Mapping | list) for value in meanings.values()
            ):
                raise ConfigError(f"source.values.{table}.{column} maps a value in the file to one of the column")
    for table in config.header:
        _check_key("header", table, "", own)
    for name in (*PER_TABLE, *PER_COLUMN):
        value = getattr(config, name)
        for key in value if isinstance(value, Mapping) else ():
            table, _, column = key.partition(".")
            _check_key(name, table, column if name in PER_COLUMN or column else "", own)


def check_writing(config: SourceConfig, own: OwnColumns = ()) -> None:
    """Refuse settings that say in an impossible way how values are written.

    Raises:
        ConfigError: names the setting.
    """
    for zone in filter(None, _each(config.time_zone)):
        if not known_zone(zone):
            raise ConfigError(
                f"source.time_zone '{zone}' is unknown; give a name such as Asia/Shanghai or an offset such as +05:30"
            )
    for time_format in filter(None, _each(config.time_format)):
        try:
            pattern_of(time_format)
        except ValueError as error:
            raise ConfigError(f"source.time_format '{time_format}' cannot be read: {error}") from error
    for encoding in filter(None, _each(config.encoding)):
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise ConfigError(
                f"source.encoding '{encoding}' is unknown; give a name such as utf-8 or latin-1"
            ) from error
    for delimiter in filter(None, _each(config.delimiter)):
        if len(delimiter) != 1:
            raise ConfigError(f"source.delimiter '{delimiter}' is not one character")
    for table in CONTRACTS:
        for name, form in forms_of(config, table, own).items():
            if form.values.thousands == form.values.decimal:
                raise ConfigError(f"source.thousands of {form.key} is '{form.values.thousands}', the decimal sign too")
            _check_constant(f"source.columns.{table}.{name}", form.file_column, form.type)
            if form.file_column.startswith(CONSTANT):
                try:
                    constant(form)
                except ValueError as error:
                    raise ConfigError(f"source.columns.{table}.{name}: {error}") from error


def _check_constant(key: str, file_column: str, kind: pa.DataType) -> None:
    if file_column == ROW_NUMBER and not (pa.types.is_string(kind) or pa.types.is_timestamp(kind)):
        raise ConfigError(f"{key} is '{ROW_NUMBER}', which makes ids and times; the column is {kind}")


def _each(value: str | Mapping[str, str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value.values())


def _check_key(setting: str, table: str, column: str, own: OwnColumns) -> None:
    known = contract_with(table, own).schema.names if table in CONTRACTS else None
    if known and prefix_of(column) and column not in known:
        raise ConfigError(f"source.{setting}.{table}.{column} is not declared; add it to features.columns")
    if known is None or (column and column not in known):
        key = f"{table}.{column}" if column and known else table
        raise ConfigError(f"source.{setting}.{key} is in no contract; known are {', '.join(known or CONTRACTS)}")
    if column and setting in PER_TABLE:
        raise ConfigError(f"source.{setting}.{table}.{column} is of a column; it is a setting of the whole table")


SOURCES = {"csv": CsvSource, "parquet": ParquetSource}
