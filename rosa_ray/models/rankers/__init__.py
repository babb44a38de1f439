"""Rankers by name: each module of this folder is one model, found by its file name.

A module defines `Config` (a frozen dataclass of its settings) and `Ranker` (built from the config, the table sizes and
the base rates; `forward(UserBatch) -> Predictions`). Adding a model is adding one file.

The file may also lie outside: a name with a dot, such as `shop.my_model`, is a module that every worker can import.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import nn

from rosa_ray.errors import ConfigError
from rosa_ray.models.embedding import TableSizes
from rosa_ray.settings import Folder, Tagged
from rosa_ray.settings.compose import read

_RANKERS = Folder(__name__, __path__)


def ranker_names() -> list[str]:
    """Names of the rankers of this folder.

    >>> "rosa" in ranker_names()
    True
    """
    return _RANKERS.names()


def config_class(name: str) -> type:
    """The frozen dataclass of a ranker's settings.

    Args:
        name: of a ranker of this folder, or the import path of a module of your own.

    Raises:
        ConfigError: there is no ranker of that name.
    """
    config: type = _module(name).Config
    return config


def ranker_settings(name: str, config: Mapping[str, Any]) -> Tagged:
    """Return the settings of a ranker from plain values; those left out take their defaults.

    >>> ranker_settings("rosa", {"width": 32}).settings.width
    32

    Raises:
        ConfigError: the name or a setting is unknown, or a value does not fit.
    """
    return Tagged(name, read(config_class(name), config))


def build_ranker(name: str, config: Mapping[str, Any], sizes: TableSizes, base_rates: Mapping[str, float]) -> nn.Module:
    """Build a ranker with fresh weights.

    Args:
        config: settings by name, plain values; those left out take their defaults.
        sizes: rows per embedding table and `dense`, from `FeatureState.table_sizes`.
        base_rates: from `FeatureState.base_rates`; outputs start there.

    Raises:
        ConfigError: the name or a setting is unknown, or a value does not fit.
    """
    settings = ranker_settings(name, config).settings
    ranker: nn.Module = _module(name).Ranker(settings, sizes, base_rates)
    return ranker


def as_written(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a model that is kept: what it was written without takes the value that it had then.

    A module that gives a new part a default which changes scores names the former one in `BEFORE`.

    >>> as_written("rosa", {"width": 32})["state_scale"], as_written("rosa", {"state_scale": 0.1})["state_scale"]
    (1.0, 0.1)
    """
    return {**getattr(_module(name), "BEFORE", {}), **config}


def _module(name: str) -> ModuleType:
    if "." in name and all(part.isidentifier() for part in name.split(".")):
        return _own_module(name)
    if name not in ranker_names():
        known = ", ".join(ranker_names())
        raise ConfigError(f"model.name is '{name}'; known models are {known}, or give package.module of your own")
    return _RANKERS.module(name)


def _own_module(name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"model.name is '{name}', which cannot be imported: {error}") from error
    if missing := [part for part in ("Config", "Ranker") if not hasattr(module, part)]:
        raise ConfigError(f"model.name is '{name}'; that module defines no {missing[0]}")
    return module
