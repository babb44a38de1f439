"""Build the source that a configuration names: one of this package, or your own.

A kind with a dot, such as `shop.logs.jsonl`, is the entry `jsonl` in `SOURCES` of the module `shop.logs`. Every worker
must be able to import that.
"""

import importlib
from collections.abc import Callable, Mapping

from rosa_ray.errors import ConfigError
from rosa_ray.schema import CONTRACTS, IMPRESSIONS
from rosa_ray.schema.own_columns import OwnKind
from rosa_ray.schema.pseudonyms import Pseudonyms
from rosa_ray.sources.column_forms import OwnColumns
from rosa_ray.sources.generic import TabularSource
from rosa_ray.sources.kinds import source_kinds
from rosa_ray.sources.log import LogSource
from rosa_ray.sources.named import NamedLog
from rosa_ray.sources.own_tables import require_tables, with_own_tables
from rosa_ray.sources.protocol import Source, SourceConfig, SourceFactory
from rosa_ray.sources.pseudonymous import PseudonymousSource


def brings(config: SourceConfig, table: str) -> bool:
    """Tell whether a configured source brings a table: by its location, or as part of a log at `source.path`.

    A class says in `tables` what its logs hold. One of your own that does not say is taken to hold whole logs.

    >>> [brings(SourceConfig(kind=kind, path="/logs"), "impressions") for kind in ("taobao", "open_bandit")]
    [False, True]

    Raises:
        ConfigError: the module of an own kind has no such source.
    """
    if getattr(config, table, ""):
        return True
    return bool(config.path) and table in getattr(_factory(config.kind), "tables", CONTRACTS)


def features_of(config: SourceConfig) -> Mapping[str, OwnKind]:
    """Columns of its own that a log known by name has, by name; they become features where none are declared.

    >>> features_of(SourceConfig(kind="open_bandit", path="/logs"))
    {'request.user_feature_2': 'category', 'request.user_feature_3': 'category'}
    """
    kinds = source_kinds()
    return getattr(kinds[config.kind], "features", {}) if config.kind in kinds else {}


def open_source(config: SourceConfig, pseudonyms: Pseudonyms | None = None, own: OwnColumns = ()) -> Source:
    """Build the source a configuration names. Nothing is read yet.

    Args:
        pseudonyms: replace the user ids of everything that is read.
        own: declared columns to read beside those of the contracts. A source of your own brings them by itself.

    Raises:
        ConfigError: the module of an own kind has no such source, or an option does not fit the kind; or a log with
            impressions has no table that a declared column needs.
    """
    if brings(config, IMPRESSIONS.name):
        require_tables([table for table in CONTRACTS if brings(config, table)], own)
    factory: Callable[..., Source] = _factory(config.kind)
    takes_own = isinstance(factory, type) and issubclass(factory, TabularSource | NamedLog | LogSource)
    source = factory(config, own) if takes_own else factory(config)
    if isinstance(source, NamedLog | LogSource):
        source = with_own_tables(source, config, own)
    return source if pseudonyms is None else PseudonymousSource(source, pseudonyms)


def _factory(kind: str) -> SourceFactory:
    module, _, name = kind.rpartition(".")
    return _own_factory(module, name) if module else source_kinds()[kind]


def _own_factory(module: str, name: str) -> SourceFactory:
    try:
        kinds: dict[str, SourceFactory] = getattr(importlib.import_module(module), "SOURCES", {})
    except ImportError as error:
        raise ConfigError(f"source.kind is '{module}.{name}', and {module} cannot be imported: {error}") from error
    if name not in kinds:
        raise ConfigError(f"source.kind is '{module}.{name}'; SOURCES of {module} has {', '.join(kinds) or 'nothing'}")
    return kinds[name]
