"""Every file below a run directory, from the one map of them in `rosa_ray/run_dir.py`."""

import inspect
from collections.abc import Iterator
from typing import Any, get_type_hints

from docs.reference_from_code.markdown import code, summary
from rosa_ray.run_dir import STUDY_DOCUMENTS, Directory, RunDir
from rosa_ray.store.config import StoreConfig
from rosa_ray.streaming.config import StreamConfig

_INTRODUCTION = """# Files of a run

`run_dir` names the directory, local or `s3://`. All verbs of a run share it, and each goes on from what others wrote.
`RUN` stands for it below. A job writes a file whole or not at all.
"""


def page() -> str:
    """The page as Markdown."""
    files = {*_files(RunDir("RUN"), seen=()), *_studies(), *_configured()}
    return "\n".join([_INTRODUCTION, *(f"- {code(path)}: {meaning}" for path, meaning in sorted(files)), ""])


def _studies() -> Iterator[tuple[str, str]]:
    for kind in STUDY_DOCUMENTS:
        yield RunDir("RUN").study(kind), f"What `rosa {kind}` found."
    yield RunDir("RUN").sweep.winner.bundle, "The winner of the sweep."


def _configured() -> Iterator[tuple[str, str]]:
    """Files that a setting may put elsewhere."""
    run_dir, stream = RunDir("RUN"), StreamConfig()
    yield run_dir.inside(StoreConfig().path), "The online store, unless `store.path` or `store.kind` say otherwise."
    yield run_dir.inside(stream.path), "The local log of live records, unless `stream.path` says otherwise."
    yield run_dir.inside(stream.dead_letters), "Refused live records, unless `stream.dead_letters` says otherwise."


def _files(directory: Directory, seen: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Path and meaning of everything that a directory names, and of what its directories name."""
    for name, member in inspect.getmembers(type(directory), _names_a_file):
        if name in ("below", "inside", "study") or (type(directory).__name__, name) in _TWICE:
            continue
        for found in _values(directory, name, member):
            path = found.root if isinstance(found, Directory) else found
            yield path, summary(member)
            if isinstance(found, Directory) and path not in seen:
                yield from _files(found, (*seen, path))


def _names_a_file(member: Any) -> bool:
    return isinstance(member, property) or (inspect.isfunction(member) and not member.__name__.startswith("_"))


def _values(directory: Directory, name: str, member: Any) -> list[Any]:
    if isinstance(member, property):
        return [getattr(directory, name)]
    hints = {key: hint for key, hint in get_type_hints(member).items() if key != "return"}
    return [member(directory, *(0 if hint is int else key.upper() for key, hint in hints.items()))]


_TWICE = {("SweepDir", "winner"), ("SweepDir", "default")}
"""A sweep's winner is a run directory again, with the same names."""
