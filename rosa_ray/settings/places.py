"""Places in a config: what a dataclass of settings says of the data that lies at one key, at any depth."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args

from rosa_ray.errors import ConfigError
from rosa_ray.settings.bounds import element_hints, is_union, without_bounds
from rosa_ray.settings.fields import Choice, Tagged, dotted, hints_of


@dataclass(frozen=True)
class Place:
    """One place.

    Attributes:
        hint: the annotation of what lies here.
        choice: how a `Tagged` here, or below here, finds its dataclass.
    """

    hint: Any
    choice: Choice | None = None

    @property
    def kind(self) -> Any:
        """The type here without its bounds; of a union, the branch that has keys or elements below, if there is one."""
        kind = without_bounds(self.hint)
        branches = [Place(branch).kind for branch in get_args(kind)] if is_union(kind) else []
        return next((branch for branch in branches if is_dataclass(branch) or element_hints(branch)), kind)

    def dataclass(self, data: Any) -> Any:
        """The dataclass whose keys lie here, None where no dataclass does.

        Args:
            data: what lies here; its `name` picks the class of `Tagged` settings.
        """
        kind = self.kind
        if kind is Tagged:
            return self._chosen(name_in(data, self.choice)) if self.choice else None
        return kind if is_dataclass(kind) else None

    def below(self, key: Any, data: Any) -> "Place":
        """The place of a key, or of a position in a list; one that takes anything where no setting is known."""
        owner = self.dataclass(data)
        if owner is not None:
            entry = next((entry for entry in fields(owner) if entry.name == key), None)
            return ANYTHING if entry is None else Place(hints_of(owner)[key], entry.metadata.get("choice"))
        inner = element_hints(self.kind)
        return Place(inner[0], self.choice) if inner else ANYTHING

    def keys(self, data: Any, path: str = "") -> Iterator[str]:
        """Every key that can be set below here, nested ones after their parent.

        Args:
            data: what is set; it decides how long lists are, and which settings a `Tagged` has.
            path: the key of this place.
        """
        owner = self.dataclass(data)
        if self.kind is Tagged:
            yield dotted(path, "name")
        for key in _elements(data) if owner is None else [entry.name for entry in fields(owner) if entry.init]:
            if owner is not None:
                yield dotted(path, key)
            if owner is not None or element_hints(self.kind):
                yield from self.below(key, data).keys(_element(data, key), dotted(path, key))

    def _chosen(self, name: Any) -> Any:
        try:
            return self.choice.class_of(name) if self.choice and isinstance(name, str) else None
        except ConfigError:
            return None


ANYTHING = Place(Any)


def name_in(data: Any, choice: Choice | None) -> Any:
    """The name that `Tagged` settings give, or else the default."""
    default = choice.default if choice else None
    return data.get("name", default) if isinstance(data, Mapping) else default


def _elements(data: Any) -> Iterable[Any]:
    """Keys of a mapping, positions of a list."""
    return data if isinstance(data, Mapping) else range(len(data) if isinstance(data, list) else 0)


def _element(data: Any, key: Any) -> Any:
    return data[key] if isinstance(data, list) else data.get(key) if isinstance(data, Mapping) else None
