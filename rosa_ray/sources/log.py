"""The project's own log directory, as the simulator and the exposure builder write it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from rosa_ray.errors import ConfigError, InputError
from rosa_ray.schema import ADS, CANDIDATES, EVENTS, IMPRESSIONS, ITEMS, USERS
from rosa_ray.schema.own_columns import tables_needed
from rosa_ray.sources.column_forms import OwnColumns
from rosa_ray.sources.columns import FileColumns
from rosa_ray.sources.paths import find_files, has_subdirectory
from rosa_ray.sources.protocol import RawBatch, SourceConfig, SourceFile
from rosa_ray.sources.table_files import ParquetFile

REQUIRED = (EVENTS.name, IMPRESSIONS.name, ADS.name)
OPTIONAL = (CANDIDATES.name, USERS.name, ITEMS.name)


@dataclass(frozen=True)
class LogSource:
    """Reads `LOG/{events,impressions,ads,candidates,users,items}/*.parquet`; the last three may be absent.

    `users` and `items` are read where a declared column needs them, and `truth` never.
    """

    config: SourceConfig
    own: OwnColumns = ()
    tables: ClassVar[tuple[str, ...]] = (*REQUIRED, *OPTIONAL)

    def __post_init__(self) -> None:
        if not self.config.path:
            raise ConfigError("source.path is empty; for kind 'log' give a directory that `rosa simulate` wrote")

    def files(self) -> list[SourceFile]:
        """List the files of every contract directory."""
        root = self.config.path.rstrip("/")
        present = [name for name in (*REQUIRED, *OPTIONAL) if has_subdirectory(root, name)]
        missing = [name for name in REQUIRED if name not in present]
        if missing:
            raise InputError(
                f"{root}: holds no directory '{missing[0]}'; a log has {', '.join(REQUIRED)} "
                "with Parquet files in each (`rosa simulate` writes one)"
            )
        unread = [name for name in (USERS.name, ITEMS.name) if name not in tables_needed(self.own)]
        elsewhere = [name for name in OPTIONAL if getattr(self.config, name)]
        read = [name for name in present if name not in (*unread, *elsewhere)]
        return [file for name in read for file in find_files(f"{root}/{name}", name)]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        opened = ParquetFile(file.path)
        columns = FileColumns(SourceConfig(), file, opened.names, own=self.own)
        for batch in opened.stream(columns.to_read):
            yield columns.batch(batch)


SOURCES = {"log": LogSource}
