"""Find the sources of this folder by the `SOURCES` table each of their modules declares."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def source_kinds() -> dict[str, Callable[..., Any]]:
    """Return every known kind and the `SourceFactory` that builds it, sorted by kind.

    >>> [kind for kind in source_kinds() if kind.startswith("c")]
    ['criteo_attribution', 'criteo_display', 'csv']
    """
    kinds: dict[str, Callable[..., Any]] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        kinds |= getattr(importlib.import_module(f"{__package__}.{module.name}"), "SOURCES", {})
    return dict(sorted(kinds.items()))
