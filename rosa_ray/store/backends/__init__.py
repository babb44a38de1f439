"""Implementations of the online store; a module defines `Store` and is found by its name."""

import pkgutil


def store_kinds() -> list[str]:
    """Names of all implementations.

    >>> "sqlite" in store_kinds()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
