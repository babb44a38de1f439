"""Settings become plain data and YAML again."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from rosa_ray.settings.fields import Tagged
from rosa_ray.settings.secrets import redact
from rosa_ray.settings.text import to_yaml


def to_plain(config: Any) -> Any:
    """Turn settings into plain data that `compose` accepts as a layer: mappings, lists, text, numbers.

    >>> from rosa_ray.settings.fields import section
    >>> @section("model")
    ... class Config:
    ...     hidden: tuple[int, ...] = (128, 64)
    >>> to_plain(Tagged("rosa", Config()))
    {'name': 'rosa', 'hidden': [128, 64]}
    """
    if isinstance(config, Tagged):
        return {"name": config.name, **to_plain(config.settings)}
    if is_dataclass(config):
        return {entry.name: to_plain(getattr(config, entry.name)) for entry in fields(config)}
    if isinstance(config, Mapping):
        return {key: to_plain(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [to_plain(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def redacted(config: Any) -> Any:
    """Plain data as `to_plain` gives it, with secrets hidden: for all that is shown or kept."""
    return redact(to_plain(config))


def dump(config: Any) -> str:
    """Write the whole resolved config as YAML; loading it gives the same config, but for secrets, which are hidden."""
    return to_yaml(redacted(config))
