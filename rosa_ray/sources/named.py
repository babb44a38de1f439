"""What public logs share: a text format that is known by name, so that only its location has to be configured."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rosa_ray.errors import ConfigError
from rosa_ray.schema import EVENTS
from rosa_ray.schema.own_columns import OwnKind
from rosa_ray.sources.column_forms import OwnColumns, forms_of
from rosa_ray.sources.columns import FileColumns
from rosa_ray.sources.generic import check_tables, check_writing
from rosa_ray.sources.paths import find_files
from rosa_ray.sources.protocol import RawBatch, SourceConfig, SourceFile
from rosa_ray.sources.text_files import TextFile, TextForm

Derive = Callable[[pa.Table], Mapping[str, pa.Array | pa.ChunkedArray]]
"""Computes more columns of a file from those it has."""


@dataclass(frozen=True)
class NamedLog(ABC):
    """A log at `source.path`. Its columns are known; settings of `source` come before what is known.

    Attributes:
        tables: the contracts that it brings.
        own: declared columns to read too.
        features: columns of its own that become features where the config declares none.
    """

    config: SourceConfig
    own: OwnColumns = ()
    features: ClassVar[Mapping[str, OwnKind]] = {}
    tables: ClassVar[tuple[str, ...]] = (EVENTS.name,)

    def __post_init__(self) -> None:
        if not self.config.path:
            raise ConfigError(f"source.path is empty; for kind '{self.config.kind}' give a file, directory or glob")
        check_tables(self.config, self.own)
        check_writing(self.config, self.own)

    def files(self) -> list[SourceFile]:
        """List the files of `config.path`, all of them events."""
        return find_files(self.config.path, EVENTS.name)

    @abstractmethod
    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""

    def known(self, **settings: Any) -> SourceConfig:
        """Return what is known of the files as settings; what the config says itself wins."""
        defaults, own = SourceConfig(), self.config
        merged: dict[str, Any] = {}
        for name, value in settings.items():
            said = getattr(own, name)
            both = isinstance(value, Mapping) and isinstance(said, Mapping)
            merged[name] = _overlay(value, said) if both else value if said == getattr(defaults, name) else said
        return replace(own, **merged)


def read_text(
    config: SourceConfig,
    file: SourceFile,
    form: TextForm | None = None,
    derive: Derive | None = None,
    of: tuple[str, ...] = (),
    own: OwnColumns = (),
) -> Iterator[RawBatch]:
    """Stream a text file by settings.

    Args:
        derive: computes columns beyond those of the file.
        of: the file columns that `derive` takes.
        own: declared columns to read too.
    """
    wanted = tuple(entry.file_column for entry in forms_of(config, file.contract_name, own).values())
    opened = TextFile(file.path, form or TextForm(), wanted)
    derived = tuple(derive(pa.table({name: pa.array([], pa.string()) for name in of}))) if derive else ()
    columns = FileColumns(config, file, (*opened.names, *derived), opened.describe(), own=own)
    for batch in opened.stream({*columns.to_read, *of}):
        table = batch.table
        for name, values in (derive(table) if derive else {}).items():
            table = table.append_column(name, values)
        yield columns.batch(replace(batch, table=table))


def first_of_each(batches: Iterator[RawBatch]) -> Iterator[RawBatch]:
    """Ads out of the rows that show them: each once, as its first row has it."""
    seen = pa.array([], pa.string())
    for batch in batches:
        ids = batch.table["ad_id"].combine_chunks()
        _, first = np.unique(ids.fill_null("").to_numpy(zero_copy_only=False), return_index=True)
        fresh = np.zeros(len(ids), bool)
        fresh[first] = True
        fresh &= ~pc.is_in(ids, seen).to_numpy(zero_copy_only=False)
        seen = pa.concat_arrays([seen, ids.filter(pa.array(fresh))])
        rows = None if batch.rows is None else batch.rows[fresh]
        yield replace(batch, table=batch.table.filter(pa.array(fresh)), rows=rows)


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _overlay(merged[key], value) if nested else value
    return merged
