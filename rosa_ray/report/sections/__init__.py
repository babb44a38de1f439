"""Sections of the page: each module of this folder is one, found by its file name.

A module defines `TITLE`, `ORDER` (its place on the page, rising) and `render(RunFiles) -> Child`, which also answers
for a run that lacks the section's files. Adding a section is adding one file.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rosa_ray.report.markup import Child
from rosa_ray.report.run_files import RunFiles
from rosa_ray.settings import Folder

_SECTIONS = Folder(__name__, __path__)


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
    modules = {name: _SECTIONS.module(name) for name in _SECTIONS.names()}
    found = [Section(name, module.TITLE, module.ORDER, module.render) for name, module in modules.items()]
    return sorted(found, key=lambda section: (section.order, section.name))
