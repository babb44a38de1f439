"""Build the source that a configuration names."""

from rosa_ray.schema import Pseudonyms
from rosa_ray.sources.kinds import source_kinds
from rosa_ray.sources.protocol import Source, SourceConfig, SourceFactory
from rosa_ray.sources.pseudonymous import PseudonymousSource


def open_source(config: SourceConfig, pseudonyms: Pseudonyms | None = None) -> Source:
    """Build the source a configuration names. Nothing is read yet.

    Args:
        pseudonyms: replace the user ids of everything that is read.

    Raises:
        ConfigError: an option does not fit the kind.
    """
    factory: SourceFactory = source_kinds()[config.kind]
    source = factory(config)
    return source if pseudonyms is None else PseudonymousSource(source, pseudonyms)
