"""Tables of users and items: which declared columns need them, and where they lie beside a log known by name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rosa_ray.errors import ConfigError
from rosa_ray.schema import CONTRACTS, ITEMS, USERS
from rosa_ray.schema.own_columns import tables_needed
from rosa_ray.sources.column_forms import OwnColumns
from rosa_ray.sources.generic import CsvSource
from rosa_ray.sources.protocol import RawBatch, Source, SourceConfig, SourceFile

OWN_TABLES = (USERS.name, ITEMS.name)
"""Tables that hold declared columns alone, and that are read only for those."""


@dataclass(frozen=True)
class WithOwnTables:
    """A log whose tables of users and items lie elsewhere, as text or as Parquet.

    Attributes:
        source: reads the log itself.
        tables: reads the tables.
    """

    source: Source
    tables: Source

    def files(self) -> list[SourceFile]:
        """See `Source.files`."""
        return [*self.source.files(), *self.tables.files()]

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """See `Source.read`."""
        return (self.tables if file.contract_name in OWN_TABLES else self.source).read(file)


def with_own_tables(source: Source, config: SourceConfig, own: OwnColumns) -> Source:
    """The source with the tables that `source.users` and `source.items` name, where a declared column needs one."""
    if not any(getattr(config, table) for table in tables_needed(own)):
        return source
    return WithOwnTables(source, CsvSource(beside(config, "csv"), own))


def beside(config: SourceConfig, kind: str, path: str = "") -> SourceConfig:
    """The settings of a log of another kind, whose tables of users and items are the configured ones.

    >>> beside(SourceConfig(kind="csv", events="e.csv", users="u.csv"), "log", "/log").users
    'u.csv'
    """
    others: dict[str, Any] = dict.fromkeys((name for name in CONTRACTS if name not in OWN_TABLES), "")
    return replace(config, kind=kind, path=path, **others)


def require_tables(brought: Iterable[str], own: OwnColumns) -> None:
    """Refuse declared columns of tables that a source does not have.

    Args:
        brought: names of the tables that it has.

    Raises:
        ConfigError: names the column and the setting.

    >>> from rosa_ray.schema.own_columns import OwnColumn
    >>> require_tables(["impressions"], (OwnColumn("user.age_band", "category"),))
    Traceback (most recent call last):
        ...
    rosa_ray.errors.ConfigError: features.columns declares user.age_band, but the source has no table of users; \
source.users says where it lies
    """
    there = set(brought)
    for table, column in tables_needed(own).items():
        if table not in there:
            raise ConfigError(
                f"features.columns declares {column}, but the source has no table of {table}; "
                f"source.{table} says where it lies"
            )
