"""Plain data becomes frozen settings: every part is checked against the dataclass that its component owns.

A field that is itself a dataclass is a section. A `Tagged` field is a section whose `name` picks the dataclass.
Both nest, also in lists and mappings. Types are strict: `"3"` is not an integer.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

from rosa_ray.errors import ConfigError
from rosa_ray.settings.bounds import KeyPath, element_hints, is_list, is_mapping, is_union, without_bounds
from rosa_ray.settings.fields import Choice, SettingError, Tagged, dotted, hints_of, section_of
from rosa_ray.settings.keys import suggest
from rosa_ray.settings.layers import Layer, are_positions, merge, origin, overlay
from rosa_ray.settings.places import Place, name_in
from rosa_ray.settings.plain import to_plain
from rosa_ray.settings.secrets import hide

Root = TypeVar("Root")

_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "path"}
_WRONG = object()
"""Stands for a value that a problem was noted about."""


def compose(root: type[Root], layers: Sequence[Layer]) -> Root:
    """Merge the layers over the defaults of the code and build the root config.

    Args:
        root: a frozen dataclass of sections and plain settings.
        layers: weakest first.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or does not fit; names where it was set.
    """
    layers = list(layers)
    return _built(root, merge(layers, Place(root)), (), layers)


def read(settings: type[Root], data: Any, where: str = "") -> Root:
    """Build one settings dataclass from plain data that lies elsewhere than in a config.

    Args:
        data: what the dataclass's section of a config would hold.
        where: names the place in messages.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or does not fit.
    """
    path = tuple(part for part in section_of(settings).split(".") if part)
    return _built(settings, data, path, [Layer(where, {})])


def _built(kind: type[Root], data: Any, path: KeyPath, layers: list[Layer]) -> Root:
    composing = _Composing(layers, [*Place(kind).keys(data, dotted(*path))], data)
    built: Root = composing.dataclass(kind, data, path)
    composing.raise_first()
    return built


class _Composing:
    """Builds settings, and notes what is wrong instead of stopping, so that it can be counted."""

    def __init__(self, layers: list[Layer], known: list[str], data: Any) -> None:
        self._layers, self._known, self._data = layers, known, data
        self._problems: list[tuple[KeyPath, str]] = []

    def raise_first(self) -> None:
        """Raise ConfigError for the first problem, where there is one."""
        if self._problems:
            path, message = self._problems[0]
            message = hide(message, *(layer.data for layer in self._layers), self._data)
            others = len(self._problems) - 1
            raise ConfigError(f"{message} (and {others} more in {path[0]})" if others else message)

    def dataclass(self, kind: Any, data: Any, path: KeyPath) -> Any:
        """Build a dataclass from the mapping of its fields; None is an empty one, a section all commented out."""
        data = {} if data is None else data
        if not isinstance(data, Mapping):
            return self._mistyped(data, path, "a mapping")
        noted, entries = len(self._problems), {entry.name: entry for entry in fields(kind) if entry.init}
        for key in data:
            if key not in entries:
                unknown, here = dotted(*path, key), Place(kind).keys(data, dotted(*path))
                self._note((*path, key), f"unknown key '{unknown}'; {suggest(unknown, [*self._known, *here])}")
        built = {}
        for name, entry in entries.items():
            place = Place(hints_of(kind)[name], entry.metadata.get("choice"))
            if name in data:
                built[name] = self._field(entry, place, data[name], (*path, name))
            elif entry.default is entry.default_factory is MISSING:
                built[name] = self._absent(place, (*path, name))
            if not path:  # problems are counted by section
                self.raise_first()
        return self._construct(kind, built, path) if len(self._problems) == noted else _WRONG

    def _field(self, entry: Field[Any], place: Place, value: Any, path: KeyPath) -> Any:
        if is_list(place.kind) and are_positions(value):
            default = entry.default if entry.default_factory is MISSING else entry.default_factory()
            try:
                value = overlay([] if default is MISSING else to_plain(default), value, place, path)
            except ConfigError as error:
                return self._note(path, str(error))
        return self._value(place, value, path)

    def _absent(self, place: Place, path: KeyPath) -> Any:
        if is_dataclass(place.kind) and not is_union(place.hint):
            return self._value(place, {}, path)
        return self._note(path, f"{dotted(*path)} is missing")

    def _value(self, place: Place, value: Any, path: KeyPath) -> Any:
        kind = without_bounds(place.hint)
        if kind is Any:
            return value
        if is_union(kind):
            return self._union(kind, place.choice, value, path)
        if kind is Tagged and place.choice:
            return self._tagged(place.choice, value, path)
        if is_dataclass(kind):
            return self.dataclass(kind, value, path)
        if get_origin(kind) is Literal:
            fits = any(value == choice and type(value) is type(choice) for choice in get_args(kind))
            return value if fits else self._mistyped(value, path, _either(get_args(kind)))
        if is_list(kind) or is_mapping(kind):
            return self._elements(kind, place.choice, value, path)
        return self._scalar(kind, value, path)

    def _union(self, kind: Any, choice: Choice | None, value: Any, path: KeyPath) -> Any:
        branches = [branch for branch in get_args(kind) if branch is not NoneType]
        if value is None and NoneType in get_args(kind):
            return None
        before = len(self._problems)
        for branch in branches:
            noted = len(self._problems)
            built = self._value(Place(branch, choice), value, path)
            if len(self._problems) == noted:
                del self._problems[before:]
                return built
        return _WRONG

    def _tagged(self, choice: Choice, value: Any, path: KeyPath) -> Any:
        key, value = dotted(*path), {} if value is None else value
        if not isinstance(value, Mapping):
            return self._note(path, f"{key} is {_json(value)}; write {key}: {{name: ...}}")
        name = name_in(value, choice)
        if name is None:
            return self._note((*path, "name"), f"{key}.name is missing")
        try:
            kind = choice.class_of(name)
        except ConfigError as error:
            return self._refused(error, (*path, "name"))
        settings = self.dataclass(kind, {key: part for key, part in value.items() if key != "name"}, path)
        return settings if settings is _WRONG else Tagged(name, settings)

    def _elements(self, kind: Any, choice: Choice | None, value: Any, path: KeyPath) -> Any:
        place = Place(element_hints(kind)[0], choice)
        if is_list(kind):
            if not isinstance(value, list | tuple):
                return self._mistyped(value, path, "a list")
            parts = [self._value(place, part, (*path, at)) for at, part in enumerate(value)]
            return parts if get_origin(kind) is list else tuple(parts)
        if not isinstance(value, Mapping):
            return self._mistyped(value, path, "a mapping")
        keys = {key: key if isinstance(key, str) else _json(key) for key in value}
        return {keys[key]: self._value(place, part, (*path, key)) for key, part in value.items()}

    def _scalar(self, kind: Any, value: Any, path: KeyPath) -> Any:
        if kind not in _SCALARS:
            raise TypeError(f"{dotted(*path)}: {kind} is no type of settings")
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value) if abs(value) <= sys.float_info.max else self._mistyped(value, path, "a finite number")
        if kind is Path and isinstance(value, str):
            return Path(value)
        return value if type(value) is kind else self._mistyped(value, path, f"a valid {_SCALARS[kind]}")

    def _construct(self, kind: Any, values: dict[str, Any], path: KeyPath) -> Any:
        try:
            return kind(**values)
        except ConfigError as error:
            return self._refused(error, path)
        except ValueError as error:
            return self._note(path, f"{dotted(*path)}: {error}")

    def _refused(self, error: ConfigError, path: KeyPath) -> Any:
        """Note what a dataclass, or the choice of one, raised; it may begin with the key that it is about."""
        if isinstance(error, SettingError):
            path = (*path, *error.path)
            return self._note(path, f"{dotted(*path)} {error.problem}")
        key, _, _ = str(error).partition(" ")
        if key in (*self._known, dotted(*path)):
            return self._note(tuple(key.split(".")), str(error))
        return self._note(path, f"{dotted(*path)}: {error}")

    def _mistyped(self, value: Any, path: KeyPath, expected: str) -> Any:
        return self._note(path, f"{dotted(*path)} is {_json(value)}: it should be {expected}")

    def _note(self, path: KeyPath, message: str) -> Any:
        where = origin(self._layers, path)
        self._problems.append((path, f"{where}: {message}" if where else message))
        return _WRONG


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _either(choices: tuple[Any, ...]) -> str:
    """Join choices: `'a', 'b' or 'c'`."""
    *most, last = map(repr, choices)
    return f"{', '.join(most)} or {last}" if most else last
