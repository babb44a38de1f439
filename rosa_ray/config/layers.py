"""Layers of settings: a profile, a YAML file, then each `--set`; a later layer wins, key by key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosa_ray.config.keys import holds
from rosa_ray.config.text import parse_yaml
from rosa_ray.errors import ConfigError, InputError


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
    """Parse one `--set` argument; the value is YAML.

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
    data: Any = parse_yaml(value, where)
    for part in reversed(parts):
        data = {part: data}
    return Layer(where, data)


def merge(layers: Iterable[Layer], tagged: Iterable[str] = ()) -> dict[str, Any]:
    """Lay settings over each other.

    Args:
        layers: weakest first.
        tagged: sections whose `name` decides which other keys exist: another name drops what lower layers set.

    >>> merge([Layer("a", {"x": {"p": 1, "q": 2}}), Layer("b", {"x": {"q": 3}})])
    {'x': {'p': 1, 'q': 3}}
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        below = dict(merged)
        for section in tagged:
            if _renames(below.get(section), layer.data.get(section)):
                del below[section]
        merged = _overlay(below, layer.data)
    return merged


def origin(layers: list[Layer], path: tuple[str | int, ...]) -> str:
    """Name the topmost layer that sets `path`, or that sets its nearest parent."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            if holds(layer.data, path[:length]):
                return layer.where
    return layers[0].where if layers else "config"


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(merged.get(key), Mapping) and isinstance(value, Mapping):
            merged[key] = _overlay(merged[key], value)
        else:
            merged[key] = value
    return merged


def _renames(below: Any, above: Any) -> bool:
    both = isinstance(below, Mapping) and isinstance(above, Mapping)
    return both and "name" in above and above["name"] != below.get("name")
