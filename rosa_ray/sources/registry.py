"""Find the sources of this folder by the `SOURCES` table each of their modules declares."""

import importlib
import pkgutil
from pathlib import Path

from rosa_ray.schema import Pseudonyms
from rosa_ray.sources.protocol import Source, SourceConfig, SourceFactory
from rosa_ray.sources.pseudonymous import PseudonymousSource


def source_kinds() -> dict[str, SourceFactory]:
    """Return every known kind and what builds it, sorted by kind.

    >>> list(source_kinds())
    ['csv', 'ipinyou', 'kuairand', 'log', 'movielens', 'open_bandit', 'parquet', 'rees46', 'retailrocket', 'taobao']
    """
    kinds: dict[str, SourceFactory] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        kinds |= getattr(importlib.import_module(f"{__package__}.{module.name}"), "SOURCES", {})
    return dict(sorted(kinds.items()))


def brings(config: SourceConfig, table: str) -> bool:
    """Tell whether a configured source brings a table: by its location, or as part of a log known by name.

    >>> [brings(SourceConfig(kind=kind, path="/logs"), "impressions") for kind in ("taobao", "open_bandit")]
    [False, True]
    """
    if getattr(config, table, ""):
        return True
    return bool(config.path) and table in getattr(source_kinds()[config.kind], "tables", ())


def open_source(config: SourceConfig, pseudonyms: Pseudonyms | None = None) -> Source:
    """Build the source a configuration names. Nothing is read yet.

    Args:
        pseudonyms: replace the user ids of everything that is read.

    Raises:
        ConfigError: an option does not fit the kind.
    """
    source = source_kinds()[config.kind](config)
    return source if pseudonyms is None else PseudonymousSource(source, pseudonyms)
