"""Find the layers of a configuration: code < profile < YAML file < `--set`."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from rosa_ray.errors import ConfigError
from rosa_ray.settings.compose import compose
from rosa_ray.settings.layers import Layer, file_layer, override_layer, renamed

Root = TypeVar("Root")


def load(
    root: type[Root],
    path: Path | None = None,
    overrides: Iterable[str] = (),
    profiles: Path | None = None,
    former_names: Mapping[str, str] | None = None,
) -> Root:
    """Load a root config.

    Where there are profiles, the key `profile`, in the file or by `--set`, lays the one it names under both.

    Args:
        root: the root dataclass.
        path: YAML file; None for the defaults of the code.
        overrides: `a.b=value` each, as given to `--set`.
        profiles: directory of the profiles, a YAML file each.
        former_names: keys that settings once had -> those of today; both are read.

    Raises:
        InputError: the file is missing or unreadable.
        ConfigError: a key or value is wrong; one line that names the place, the key, the value and what is right.
    """
    layers = [file_layer(path)] if path else []
    layers += [override_layer(override) for override in overrides]
    layers = _with_profile(layers, profiles) if profiles else layers
    return compose(root, [renamed(layer, former_names or {}) for layer in layers])


def profile_names(profiles: Path) -> list[str]:
    """Names that `profile:` accepts, each a file of the directory."""
    return sorted(path.stem for path in profiles.glob("*.yaml"))


def _with_profile(layers: list[Layer], profiles: Path) -> list[Layer]:
    named = [layer for layer in layers if layer.data.get("profile") is not None]
    below = [_profile_layer(named[-1], profiles)] if named else []
    return below + [Layer(layer.where, {k: v for k, v in layer.data.items() if k != "profile"}) for layer in layers]


def _profile_layer(layer: Layer, profiles: Path) -> Layer:
    name, names = layer.data["profile"], profile_names(profiles)
    if name not in names:
        close = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known profiles are {', '.join(names)}"
        raise ConfigError(f"{layer.where}: profile is '{name}'; {hint}")
    return file_layer(profiles / f"{name}.yaml")
