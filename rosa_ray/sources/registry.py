"""Find sources by the `SOURCES` table that each of their modules declares: those of this folder, and your own.

A kind with a dot, such as `shop.logs.jsonl`, is the entry `jsonl` of the module `shop.logs`. Every worker must be able
to import that.
"""

import importlib
import pkgutil
from pathlib import Path

from rosa_ray.errors import ConfigError
from rosa_ray.schema import Pseudonyms
from rosa_ray.sources.protocol import Source, SourceConfig, SourceFactory
from rosa_ray.sources.pseudonymous import PseudonymousSource


def source_kinds() -> dict[str, SourceFactory]:
    """Return every known kind and what builds it, sorted by kind.

    >>> list(source_kinds())
    ['csv', 'log', 'parquet', 'rees46', 'taobao']
    """
    kinds: dict[str, SourceFactory] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        kinds |= getattr(importlib.import_module(f"{__package__}.{module.name}"), "SOURCES", {})
    return dict(sorted(kinds.items()))


def open_source(config: SourceConfig, pseudonyms: Pseudonyms | None = None) -> Source:
    """Build the source a configuration names. Nothing is read yet.

    Args:
        pseudonyms: replace the user ids of everything that is read.

    Raises:
        ConfigError: the kind is unknown, or an option does not fit it.
    """
    source = _factory(config.kind)(config)
    return source if pseudonyms is None else PseudonymousSource(source, pseudonyms)


def _factory(kind: str) -> SourceFactory:
    module, _, name = kind.rpartition(".")
    if module and all(part.isidentifier() for part in module.split(".")):
        return _own_factory(module, name)
    kinds = source_kinds()
    if kind not in kinds:
        raise ConfigError(
            f"source.kind '{kind}' is unknown; it is one of {', '.join(kinds)}, or package.module.kind of your own"
        )
    return kinds[kind]


def _own_factory(module: str, name: str) -> SourceFactory:
    try:
        kinds: dict[str, SourceFactory] = getattr(importlib.import_module(module), "SOURCES", {})
    except ImportError as error:
        raise ConfigError(f"source.kind is '{module}.{name}', and {module} cannot be imported: {error}") from error
    if name not in kinds:
        raise ConfigError(f"source.kind is '{module}.{name}'; SOURCES of {module} has {', '.join(kinds) or 'nothing'}")
    return kinds[name]
