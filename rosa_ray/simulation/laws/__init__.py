"""Laws of the simulator by name: each module of this folder but `law` is one law, found by its file name.

A law is a mechanism that some published idea needs and the default world lacks. It is off until
`simulation.laws` names it, and with no law on the log is the default one, byte for byte.

A module defines `Config` (a frozen dataclass of its settings) and `Law` (see `rosa_ray.simulation.laws.law`).
Adding a law is adding one file.
"""

from types import ModuleType

from rosa_ray.settings import Folder

_LAWS = Folder(__name__, __path__, "law")


def law_names() -> list[str]:
    """Names of the laws of this folder.

    >>> "chains" in law_names()
    True
    """
    return _LAWS.names()


def config_class(name: str) -> type:
    """The frozen dataclass of a law's settings.

    Raises:
        SettingError: there is no law of that name.
    """
    return _LAWS.config_class(name)


def law_module(name: str) -> ModuleType:
    """The module of a law.

    Raises:
        SettingError: there is no law of that name.
    """
    return _LAWS.module(name)
