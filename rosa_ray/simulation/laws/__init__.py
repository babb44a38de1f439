"""Laws of the simulator by name: each module of this folder but `law` is one law, found by its file name.

A law is a mechanism that some published idea needs and the default world lacks. It is off until
`simulation.laws` names it, and with no law on the log is the default one, byte for byte.

A module defines `Config` (a frozen dataclass of its settings) and `Law` (see `rosa_ray.simulation.laws.law`).
Adding a law is adding one file.
"""

import importlib
import pkgutil
from types import ModuleType

from rosa_ray.settings import SettingError


def law_names() -> list[str]:
    """Names of the laws of this folder.

    >>> "chains" in law_names()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "law")


def config_class(name: str) -> type:
    """The frozen dataclass of a law's settings.

    Raises:
        SettingError: there is no law of that name.
    """
    config: type = law_module(name).Config
    return config


def law_module(name: str) -> ModuleType:
    """The module of a law.

    Raises:
        SettingError: there is no law of that name.
    """
    if name not in law_names():
        raise SettingError("", (), f"is '{name}'; it must be one of {', '.join(law_names())}")
    return importlib.import_module(f"{__name__}.{name}")
