"""Public logs and the project's own log, read as tables with contract column names.

Adding a source is adding one file to this folder: a class that satisfies `Source`, and a module-level
`SOURCES = {"kind": TheClass}`.
"""

from rosa_ray.sources.kinds import source_kinds
from rosa_ray.sources.own_tables import OWN_TABLES, beside, require_tables
from rosa_ray.sources.protocol import RawBatch, Source, SourceConfig, SourceFile
from rosa_ray.sources.registry import brings, features_of, open_source

__all__ = [
    "OWN_TABLES",
    "RawBatch",
    "Source",
    "SourceConfig",
    "SourceFile",
    "beside",
    "brings",
    "features_of",
    "open_source",
    "require_tables",
    "source_kinds",
]
