"""A log format of your own in one file outside the package: JSON lines, one file a table.

    logs/events.jsonl  logs/impressions.jsonl  logs/ads.jsonl

A source lists its files and streams each as tables with the columns of its contract; the platform checks every row. To
read it, name the module and the kind in the config; every worker must be able to import it:

    PYTHONPATH=. rosa preprocess shop.yaml --set source.kind=examples.my_source.jsonl --set source.path=logs
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import json

from rosa_ray.errors import ConfigError
from rosa_ray.schema import ADS, CONTRACTS, EVENTS, IMPRESSIONS
from rosa_ray.sources import RawBatch, SourceConfig, SourceFile
from rosa_ray.sources.paths import find_files
from rosa_ray.storage import open_file, readable


@dataclass(frozen=True)
class JsonLines:
    """Reads `events.jsonl`, `impressions.jsonl` and `ads.jsonl` of the directory `config.path`.

    Fields have the contracts' names. Times are ISO 8601 in UTC, such as `2026-01-31T09:30:00Z`.
    """

    config: SourceConfig

    def __post_init__(self) -> None:
        if not self.config.path:
            raise ConfigError("source.path is empty; give the directory of the .jsonl files")

    def files(self) -> list[SourceFile]:
        """List one file for each table."""
        names = [contract.name for contract in (EVENTS, IMPRESSIONS, ADS)]
        return [file for name in names for file in find_files(f"{self.config.path}/{name}.jsonl", name)]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file in blocks of a megabyte; fields that the contract lacks are passed over."""
        wanted = json.ParseOptions(
            explicit_schema=CONTRACTS[file.contract_name].schema, unexpected_field_behavior="ignore"
        )
        with open_file(file.path) as handle, readable(file.path, "a file of JSON lines"):
            for batch in json.open_json(handle, json.ReadOptions(use_threads=False), wanted):
                yield RawBatch(pa.Table.from_batches([batch]))


SOURCES = {"jsonl": JsonLines}
