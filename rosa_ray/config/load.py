"""Find the layers of a run's configuration: code < profile < YAML file < `--set`."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rosa_ray.config.compose import compose
from rosa_ray.config.layers import Layer, file_layer, override_layer
from rosa_ray.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Root = TypeVar("Root", bound="DataclassInstance")
PROFILES = Path(__file__).with_name("profiles")


def profile_names() -> list[str]:
    """Names that `profile:` accepts, each a file of `rosa_ray/config/profiles`."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def load(root: type[Root], path: Path | None = None, overrides: Iterable[str] = ()) -> Root:
    """Load a root config.

    The key `profile`, in the file or by `--set`, lays a named profile under both.

    Args:
        root: the root dataclass, `RunConfig` but for tests.
        path: YAML file; None for the defaults of the code.
        overrides: `a.b=value` each, as given to `--set`.

    Raises:
        InputError: the file is missing or unreadable.
        ConfigError: a key or value is wrong; one line that names the place, the key, the value and what is right.
    """
    layers = [file_layer(path)] if path else []
    layers += [override_layer(override) for override in overrides]
    named = [layer for layer in layers if layer.data.get("profile") is not None]
    if named:
        layers.insert(0, _profile_layer(named[-1]))
    settings = [Layer(layer.where, {k: v for k, v in layer.data.items() if k != "profile"}) for layer in layers]
    return compose(root, settings)


def _profile_layer(layer: Layer) -> Layer:
    name = layer.data["profile"]
    if name not in profile_names():
        close = difflib.get_close_matches(str(name), profile_names(), n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known profiles are {', '.join(profile_names())}"
        raise ConfigError(f"{layer.where}: profile is '{name}'; {hint}")
    return file_layer(PROFILES / f"{name}.yaml")
