"""Sections of the page: each module of this folder is one, found by its file name.

A module defines `TITLE`, `ORDER` (its place on the page, rising) and `render(RunFiles) -> Child`, which also answers
for a run that lacks the section's files. Adding a section is adding one file.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from rosa_ray.report.markup import Child
from rosa_ray.report.run_files import RunFiles


@dataclass(frozen=True)
class Section:
    """One section: `name` is its anchor on the page."""

    name: str
    title: str
    order: int
    render: Callable[[RunFiles], Child]


def all_sections() -> list[Section]:
    """Sections in the order of the page.

    >>> [section.name for section in all_sections()][0]
    'summary'
    """
    names = (module.name for module in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    found = [Section(name, module.TITLE, module.ORDER, module.render) for name, module in modules.items()]
    return sorted(found, key=lambda section: (section.order, section.name))
