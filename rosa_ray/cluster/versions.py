"""Versions: nodes must run the Ray, the Python and the project that send them their work."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from rosa_ray import __version__
from rosa_ray.cluster.document import ClusterFinding, Document

RAY = re.compile(
    r"(?<![\w-])ray(\[[^\]]*\])?==(?P<pip>\d+(\.\d+)*)"
    r"|rayproject/ray(-ml|-llm)?:(?P<image>\d+\.\d+\.\d+)"
    r"|[:-]ray(?P<tag>\d+\.\d+\.\d+)"
)
PROJECT = re.compile(r"\brosa[-_]ray(==|-)(?P<wheel>\d+\.\d+(\.\d+)?)|\brosa-ray:(?P<image>\d+\.\d+\.\d+)")
PYTHON = re.compile(r"\bpython3\.(?P<command>\d+)\b|-py3(?P<image>\d{1,2})\b")
PYTHON_MINORS = (11, 12)
"""What pyproject.toml allows: Python 3.11 and 3.12."""


def ray_version(document: Document) -> Iterator[ClusterFinding]:
    """Ray must be the one installed here: versions do not talk to each other."""
    try:
        installed = version("ray")
    except PackageNotFoundError:
        return
    rules = [(place, _first(match)) for place, text in document.texts() for match in RAY.finditer(text)]
    rules += [(place, text) for place, text in document.texts() if place.endswith("rayVersion")]
    for place, found in rules:
        if found != installed:
            yield document.finding(place, f"Ray {found}, but {installed} is installed here", f"name {installed}")


def project_version(document: Document) -> Iterator[ClusterFinding]:
    """The project must be the one that is here."""
    for place, text in document.texts():
        for match in PROJECT.finditer(text):
            if _first(match) != __version__:
                yield document.finding(
                    place, f"rosa-ray {_first(match)}, but this is {__version__}", f"name {__version__}"
                )


def python_version(document: Document) -> Iterator[ClusterFinding]:
    """Python must be one that the project runs on."""
    for place, text in document.texts():
        for match in PYTHON.finditer(text):
            if int(_first(match)) not in PYTHON_MINORS:
                yield document.finding(
                    place, f"Python 3.{_first(match)}, which the project does not run on", "name 3.11 or 3.12"
                )


def _first(match: re.Match[str]) -> str:
    return next(value for value in match.groupdict().values() if value)
