"""REES46 multi-category shop: views, carts and purchases with prices."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import ConfigError, ContractError
from rosa_ray.schema import EVENTS
from rosa_ray.schema.contracts import TIMESTAMP
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceConfig, SourceFile
from rosa_ray.sources.table_files import csv_names, require_columns, row_ids, set_aside, stream_csv

FILE_COLUMNS = ("event_time", "event_type", "product_id", "category_id", "price", "user_id")
REMOVAL = "remove_from_cart"


@dataclass(frozen=True)
class Rees46Source:
    """Reads the monthly files, plain or `.csv.gz`, as events.

    They have a header, times such as `2019-10-01 00:00:00 UTC` and prices in USD. `remove_from_cart` undoes a cart
    and is none of the four behaviours: such rows are set aside. The files name no event: an id is the file's name
    and the row number.
    """

    config: SourceConfig

    def __post_init__(self) -> None:
        if not self.config.path:
            raise ConfigError("source.path is empty; for kind 'rees46' give a .csv or .csv.gz file, directory or glob")

    def files(self) -> list[SourceFile]:
        """List the files of `config.path`, all of them events."""
        return find_files(self.config.path, EVENTS.name)

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        require_columns(csv_names(file.path), FILE_COLUMNS, file.path)
        first_row = 0
        for batch in stream_csv(file.path, columns=FILE_COLUMNS):
            yield self._to_events(batch, file, first_row)
            first_row += batch.table.num_rows

    def _to_events(self, batch: RawBatch, file: SourceFile, first_row: int) -> RawBatch:
        raw = batch.table
        table = pa.table(
            {
                "event_id": row_ids(file, first_row, raw.num_rows),
                "user_id": raw["user_id"],
                "item_id": raw["product_id"],
                "behavior": raw["event_type"],
                "event_time": _parse_times(raw["event_time"], file.path),
                "category": raw["category_id"],
                "price": raw["price"],
            }
        )
        kept = pc.not_equal(table["behavior"], REMOVAL)
        reason = f"are {REMOVAL}, which has no contract behaviour"
        return set_aside(RawBatch(table, batch.rejected), kept, file.path, "behavior", reason)


def _parse_times(texts: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    try:
        return pc.replace_substring_regex(texts, " UTC$", "Z").cast(TIMESTAMP)
    except pa.ArrowInvalid as error:
        raise ContractError(
            f"{where}: column 'event_time' holds a value unlike '2019-10-01 00:00:00 UTC': {str(error).splitlines()[0]}"
        ) from error


SOURCES = {"rees46": Rees46Source}
