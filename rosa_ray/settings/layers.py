"""Layers of settings: a profile, a YAML file, then each `--set`; a later layer wins, key by key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosa_ray.errors import ConfigError, InputError
from rosa_ray.settings.bounds import KeyPath
from rosa_ray.settings.fields import Tagged, dotted
from rosa_ray.settings.keys import holds
from rosa_ray.settings.places import ANYTHING, Place, name_in
from rosa_ray.settings.secrets import hide, names_secret, redact_text
from rosa_ray.settings.text import parse_yaml


@dataclass(frozen=True)
class Layer:
    """Settings from one place; `where` is how errors name it."""

    where: str
    data: dict[str, Any]


def file_layer(path: Path) -> Layer:
    """Read a YAML file of settings.

    Raises:
        InputError: the file is missing or unreadable.
        ConfigError: it is not a YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such config file") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: cannot be read as a config file: {reason}") from error
    data = parse_yaml(text, str(path))
    if data is None:
        data = {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ConfigError(f"{path}: a config is a mapping of sections, like 'training: {{epochs: 3}}'")
    return Layer(str(path), data)


def override_layer(override: str) -> Layer:
    """Parse one `--set` argument; the value is YAML, and a number in the key is a position in a list.

    >>> override_layer("training.learning_rate=1e-3").data
    {'training': {'learning_rate': 0.001}}

    Raises:
        ConfigError: it is not `key=value`.
    """
    key, equals, value = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {override}: write key=value, like --set training.epochs=3")
    where = f"--set {override}"
    data: Any = parse_yaml(value, f"--set {key}" if names_secret(override) else redact_text(where))
    for part in reversed(parts):
        data = {part: data}
    return Layer(hide(where, data), data)


def renamed(layer: Layer, former_names: Mapping[str, str]) -> Layer:
    """Return a layer in which settings go by the keys of today.

    Args:
        former_names: dotted keys that settings once had -> those of today.

    Raises:
        ConfigError: it sets one setting by both of its keys.

    >>> renamed(Layer("a", {"x": {"p": 1, "q": 2}}), {"x.p": "y.p"}).data
    {'x': {'q': 2}, 'y': {'p': 1}}
    """
    data = layer.data
    for former, name in former_names.items():
        (section, key), (new_section, new_key) = former.split("."), name.split(".")
        old, new = data.get(section), data.get(new_section) or {}
        if not isinstance(old, Mapping) or key not in old or not isinstance(new, Mapping):
            continue
        if new_key in new:
            raise ConfigError(f"{layer.where}: {former} is now called {name}, and both are set; leave {former} out")
        rest = {part: value for part, value in old.items() if part != key}
        data = {**data, section: rest, new_section: {**new, new_key: old[key]}}
    return Layer(layer.where, data)


def merge(layers: Iterable[Layer], root: Place = ANYTHING) -> dict[str, Any]:
    """Lay settings over each other.

    Args:
        layers: weakest first.
        root: what the settings are of. It tells where a `name` decides which other keys exist: another name drops
            what lower layers set there.

    Raises:
        ConfigError: a layer sets a position that a list does not have.

    >>> merge([Layer("a", {"x": {"p": 1, "q": 2}}), Layer("b", {"x": {"q": 3}})])
    {'x': {'p': 1, 'q': 3}}
    >>> merge([Layer("a", {"sizes": [8, 4]}), Layer("b", {"sizes": {"1": 2}})])
    {'sizes': [8, 2]}
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        try:
            merged = overlay(merged, layer.data, root)
        except ConfigError as error:
            raise ConfigError(f"{layer.where}: {error}") from error
    return merged


def origin(layers: list[Layer], path: KeyPath) -> str:
    """Name the topmost layer that sets `path`, or that sets its nearest parent."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            if holds(layer.data, path[:length]):
                return layer.where
    return layers[0].where if layers else "config"


def overlay(below: Any, above: Any, place: Place, path: KeyPath = ()) -> Any:
    """Lay the settings of one place over others, key by key; a mapping of positions changes elements of a list.

    Raises:
        ConfigError: the list below has no such position.
    """
    if isinstance(below, list) and are_positions(above):
        return _with_elements(below, above, place, path)
    if not isinstance(below, Mapping) or not isinstance(above, Mapping) or _renames(below, above, place):
        return above
    merged = dict(below)
    for key, value in above.items():
        merged[key] = overlay(below[key], value, place.below(key, below), (*path, key)) if key in below else value
    return merged


def are_positions(data: Any) -> bool:
    """Tell whether a mapping's keys are positions in a list, as `--set policy.0.name=floor` makes them."""
    return isinstance(data, Mapping) and bool(data) and all(isinstance(key, str) and key.isdecimal() for key in data)


def _with_elements(below: list[Any], above: Mapping[str, Any], place: Place, path: KeyPath) -> list[Any]:
    changed = list(below)
    for key, value in above.items():
        at = int(key)
        if at >= len(below):
            raise ConfigError(f"{dotted(*path)} has {len(below)} elements, counted from 0, and none at {at}")
        changed[at] = overlay(below[at], value, place.below(at, below), (*path, at))
    return changed


def _renames(below: Mapping[str, Any], above: Mapping[str, Any], place: Place) -> bool:
    return place.kind is Tagged and "name" in above and above["name"] != name_in(below, place.choice)
