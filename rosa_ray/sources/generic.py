"""Any Parquet or CSV log, by a column map."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import available_timezones

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import ConfigError, ContractError
from rosa_ray.schema import BEHAVIORS, CONTRACTS
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceConfig, SourceFile
from rosa_ray.sources.table_files import (
    csv_names,
    map_values,
    parquet_names,
    require_columns,
    row_ids,
    stream_csv,
    stream_parquet,
    times_from_integers,
)

ROW_NUMBER = "#row"


@dataclass(frozen=True)
class TabularSource(ABC):
    """Reads files of one format for each contract whose location is configured.

    >>> config = SourceConfig(kind="csv", events="s3://logs/clicks/*.csv.gz", time_unit="ms",
    ...     columns={"events": {"event_id": "#row", "user_id": "uid", "event_time": "ts"}},
    ...     behaviors={"pv": "view"})
    >>> CsvSource(config).column_map("events")["user_id"]
    'uid'
    """

    config: SourceConfig

    def __post_init__(self) -> None:
        config = self.config
        if config.path or not self._locations():
            raise ConfigError(
                f"source.kind '{config.kind}' reads source.events, source.impressions, source.ads and "
                "source.candidates; give at least one of them, and no source.path"
            )
        if config.time_zone and config.time_zone not in available_timezones():
            raise ConfigError(
                f"source.time_zone '{config.time_zone}' is unknown; give a name such as UTC or Asia/Shanghai"
            )
        self._check_names()

    def _check_names(self) -> None:
        for contract, columns in self.config.columns.items():
            known = CONTRACTS[contract].schema.names if contract in CONTRACTS else None
            wrong = next((name for name in columns if known is not None and name not in known), None)
            if known is None or wrong:
                key, choice = f"{contract}.{wrong}" if wrong else contract, known or list(CONTRACTS)
                raise ConfigError(f"source.columns.{key} is in no contract; known are {', '.join(choice)}")
        for value, behavior in self.config.behaviors.items():
            if behavior not in BEHAVIORS:
                raise ConfigError(f"source.behaviors.{value} is '{behavior}'; it is one of {', '.join(BEHAVIORS)}")

    def _locations(self) -> dict[str, str]:
        return {name: getattr(self.config, name) for name in CONTRACTS if getattr(self.config, name)}

    def files(self) -> list[SourceFile]:
        """List the files of every configured location."""
        return [file for name, location in self._locations().items() for file in find_files(location, name)]

    def column_map(self, contract_name: str) -> dict[str, str]:
        """Return {contract column: file column} with the unmapped columns under their own names."""
        names = CONTRACTS[contract_name].schema.names
        return dict(zip(names, names, strict=True)) | dict(self.config.columns.get(contract_name, {}))

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        mapped = self.config.columns.get(file.contract_name, {}).values()
        require_columns(self._names(file.path), [name for name in mapped if name != ROW_NUMBER], file.path)
        columns = self.column_map(file.contract_name)
        first_row = 0
        for batch in self._stream(file.path, set(columns.values())):
            yield RawBatch(self._rename(batch.table, columns, file, first_row), batch.rejected)
            first_row += batch.table.num_rows

    def _rename(self, raw: pa.Table, columns: dict[str, str], file: SourceFile, first_row: int) -> pa.Table:
        kinds = CONTRACTS[file.contract_name].schema
        values = {}
        for name, file_column in columns.items():
            if file_column == ROW_NUMBER:
                values[name] = row_ids(file, first_row, raw.num_rows)
            elif file_column in raw.column_names:
                values[name] = self._convert(raw[file_column], name, kinds.field(name).type, file.path)
        return pa.table(values)

    def _convert(self, values: pa.ChunkedArray, name: str, kind: pa.DataType, where: str) -> pa.ChunkedArray:
        if name == "behavior" and self.config.behaviors:
            return map_values(values.cast(pa.string()), self.config.behaviors)
        if not pa.types.is_timestamp(kind):
            return values
        return self._to_utc(values, name, where)

    def _to_utc(self, values: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
        textual = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        if self.config.time_unit and (textual or pa.types.is_integer(values.type)):
            return times_from_integers(values, self.config.time_unit, name, where)
        if not self.config.time_zone or getattr(values.type, "tz", None):
            return values
        try:
            local = values.cast(pa.timestamp("us"))
            return pc.assume_timezone(local, self.config.time_zone, ambiguous="earliest", nonexistent="earliest")
        except pa.ArrowInvalid as error:
            raise ContractError(
                f"{where}: column '{name}' does not hold times in zone '{self.config.time_zone}': "
                f"{str(error).splitlines()[0]}"
            ) from error

    @abstractmethod
    def _names(self, path: str) -> list[str]:
        """Columns of a file."""

    @abstractmethod
    def _stream(self, path: str, columns: set[str]) -> Iterator[RawBatch]:
        """Rows of a file in batches, these columns only."""


@dataclass(frozen=True)
class ParquetSource(TabularSource):
    """Kind `parquet`."""

    def _names(self, path: str) -> list[str]:
        return parquet_names(path)

    def _stream(self, path: str, columns: set[str]) -> Iterator[RawBatch]:
        return stream_parquet(path, columns)


@dataclass(frozen=True)
class CsvSource(TabularSource):
    """Kind `csv`: a header line, and `.gz` files are unpacked."""

    def _names(self, path: str) -> list[str]:
        return csv_names(path, self.config.delimiter)

    def _stream(self, path: str, columns: set[str]) -> Iterator[RawBatch]:
        return stream_csv(path, columns=columns, delimiter=self.config.delimiter)


SOURCES = {"csv": CsvSource, "parquet": ParquetSource}
