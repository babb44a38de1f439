"""One document of a cluster file, its texts with their places, and what a rule finds in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rosa_ray.errors import InputError


@dataclass(frozen=True)
class ClusterFinding:
    """One thing that is wrong with a cluster file.

    Attributes:
        file: the file, as it was named.
        place: dotted path of the value, such as `available_node_types.cpu_head.node_config`.
        problem: what is wrong.
        remedy: what would be right.
    """

    file: str
    place: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.problem}; {self.remedy}"


@dataclass(frozen=True)
class Document:
    """A mapping of a YAML file, and the way to say something about a place in it.

    Attributes:
        file: the file, as it was named.
        body: the mapping.
        prefix: what stands before every place; names the document where the file has several.
        verbs: by module, the verbs that `python -m MODULE VERB` takes; of other modules nothing is known.
        beside: the documents that are checked together with this one.
    """

    file: str
    body: dict[str, Any]
    prefix: str = ""
    verbs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    beside: tuple["Document", ...] = ()

    def finding(self, place: str, problem: str, remedy: str) -> ClusterFinding:
        """Return a finding at a place of this document."""
        return ClusterFinding(self.file, self.prefix + place, problem, remedy)

    def get(self, place: str, default: Any = None) -> Any:
        """Return the value at a dotted path of mapping keys, or the default where there is none.

        >>> Document("a.yaml", {"provider": {"type": "aws"}}).get("provider.type")
        'aws'
        """
        value: Any = self.body
        for key in place.split("."):
            if not isinstance(value, dict) or key not in value:
                return default
            value = value[key]
        return value

    def texts(self, place: str = "") -> Iterator[tuple[str, str]]:
        """Yield place and text of every string at or below a place.

        >>> list(Document("a.yaml", {"setup_commands": ["true"]}).texts())
        [('setup_commands[0]', 'true')]
        """
        yield from _texts(self.get(place) if place else self.body, place)


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _texts(below, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _texts(below, f"{place}[{index}]")


def mapping(value: Any) -> dict[str, Any]:
    """Return a value that is a mapping, and an empty one for anything else: the file may hold any YAML.

    >>> mapping({"a": 1}), mapping("a")
    ({'a': 1}, {})
    """
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return a value that is a list, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def read_documents(path: Path, verbs: Mapping[str, Sequence[str]]) -> tuple[Document, ...]:
    """Return the documents of a YAML file; `verbs` are those of `Document`.

    Raises:
        InputError: the file is missing, not YAML, empty, or a document is not a mapping.
    """
    try:
        bodies = [body for body in yaml.safe_load_all(path.read_text()) if body is not None]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML: {error}") from error
    if not bodies or not all(isinstance(body, dict) for body in bodies):
        raise InputError(f"{path}: a Ray cluster file or a KubeRay manifest is a mapping, with `provider` or `kind`")
    prefixes = [f"document {number}: " for number in range(1, len(bodies) + 1)] if len(bodies) > 1 else [""]
    return tuple(Document(str(path), body, prefix, verbs) for body, prefix in zip(bodies, prefixes, strict=True))
