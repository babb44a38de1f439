"""Parts of one kind by name: each module of a package is one, found by its file name; adding one is adding a file."""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from rosa_ray.settings.fields import SettingError, in_line


class Folder:
    """The modules of one package.

    Args:
        package: its `__name__`.
        path: its `__path__`.
        but: modules of it that are no such part.

    >>> import rosa_ray.simulation.laws as laws
    >>> "chains" in Folder(laws.__name__, laws.__path__, "law").names()
    True
    """

    def __init__(self, package: str, path: Iterable[str], *but: str) -> None:
        self._package, self._path, self._but = package, path, but

    def names(self) -> list[str]:
        """Names of all parts, sorted."""
        return sorted(module.name for module in pkgutil.iter_modules(self._path) if module.name not in self._but)

    def module(self, name: str) -> ModuleType:
        """The module of a part.

        Raises:
            SettingError: there is none of that name.
        """
        if name not in self.names():
            raise SettingError("", (), f"is {in_line(name)}; it must be one of {', '.join(self.names())}")
        return importlib.import_module(f"{self._package}.{name}")

    def config_class(self, name: str) -> type:
        """The frozen dataclass of a part's settings, `Config` of its module.

        Raises:
            SettingError: there is none of that name.
        """
        config: type = self.module(name).Config
        return config
