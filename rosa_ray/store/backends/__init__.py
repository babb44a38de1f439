"""Implementations of the online store; a module defines `Store` and is found by its name."""

from rosa_ray.settings import Folder

_BACKENDS = Folder(__name__, __path__)


def store_kinds() -> list[str]:
    """Names of all implementations.

    >>> "sqlite" in store_kinds()
    True
    """
    return _BACKENDS.names()
