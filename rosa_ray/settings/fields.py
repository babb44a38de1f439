"""The idiom of settings: a frozen dataclass whose every field says its type, bounds, default and meaning once.

    @section("training")
    class TrainingConfig:
        \"\"\"How a ranker is fitted.\"\"\"

        epochs: Annotated[int, Ge(1)] = 10
        \"\"\"Passes over the training period, at most.\"\"\"

Bounds hold whoever builds the dataclass. A check of several fields together stands in its `__post_init__`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, TypeVar, dataclass_transform, get_type_hints

from rosa_ray.errors import ConfigError
from rosa_ray.settings.bounds import Check, KeyPath, check_of
from rosa_ray.settings.secrets import redact

Settings = TypeVar("Settings")


class SettingError(ConfigError):
    """One setting does not fit.

    Attributes:
        path: of the setting, below the section that refused it.
        problem: the rest of the sentence after the key.
    """

    def __init__(self, section: str, path: KeyPath, problem: str) -> None:
        super().__init__(section, path, problem)
        self.section, self.path, self.problem = section, path, problem

    def __str__(self) -> str:
        return f"{dotted(self.section, *self.path)} {self.problem}"


@dataclass(frozen=True)
class Tagged:
    """Settings whose name picks their dataclass, `{name: ..., other keys: ...}` in a config."""

    name: str
    settings: Any


@dataclass(frozen=True)
class Choice:
    """How a field of `Tagged` settings finds their dataclass.

    Attributes:
        class_of: the settings dataclass of a name; raises ConfigError for an unknown one.
        default: the name where none is given; None where one must be.
        names: the names there are.
    """

    class_of: Callable[[str], type]
    default: str | None = None
    names: Callable[[], Iterable[str]] = tuple


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def section(name: str) -> Callable[[type[Settings]], type[Settings]]:
    """Make a class a frozen dataclass that refuses values outside the bounds of its fields.

    Args:
        name: dotted key of these settings in a config, for messages; empty for a root config.

    >>> from typing import Annotated
    >>> from annotated_types import Ge
    >>> @section("training")
    ... class TrainingConfig:
    ...     epochs: Annotated[int, Ge(1)] = 10
    >>> TrainingConfig(epochs=0)
    Traceback (most recent call last):
    rosa_ray.settings.fields.SettingError: training.epochs is 0; it must be at least 1
    """

    def decorate(cls: type[Settings]) -> type[Settings]:
        check_together: Callable[[Any], None] = cls.__dict__.get("__post_init__", lambda config: None)

        def __post_init__(config: Any) -> None:
            check_bounds(config)
            check_together(config)

        cls.__settings_section__ = name  # type: ignore[attr-defined]
        cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
        cls.__repr__ = _show  # type: ignore[method-assign]
        return dataclass(frozen=True)(cls)

    return decorate


def tagged(default: str, class_of: Callable[[str], type], names: Callable[[], Iterable[str]] = tuple) -> Any:
    """Declare a field of `Tagged` settings.

    Args:
        default: the name used when none is given.
        class_of: the settings dataclass of a name; raises ConfigError for an unknown one. See `by_name`.
        names: the names there are, for the reference of settings.
    """
    choice = Choice(class_of, default, names)
    return field(default_factory=lambda: Tagged(default, class_of(default)()), metadata={"choice": choice})


def tagged_each(
    class_of: Callable[[str], type], default: tuple[Tagged, ...] = (), names: Callable[[], Iterable[str]] = tuple
) -> Any:
    """Declare a field of many `Tagged` settings, `tuple[Tagged, ...]`; each names its own dataclass.

    Args:
        class_of: as of `tagged`.
        default: used where the config gives none.
        names: as of `tagged`.
    """
    return field(default=default, metadata={"choice": Choice(class_of, None, names)})


def by_name(classes: Mapping[str, type]) -> Callable[[str], type]:
    """Return the `class_of` of a fixed choice of dataclasses."""

    def class_of(name: str) -> type:
        if name not in classes:
            raise SettingError("", (), f"is {in_line(name)}; it must be one of {', '.join(classes)}")
        return classes[name]

    return class_of


def wrong(config: Any, name: str, right: str) -> SettingError:
    """Return the error of a field that does not go with the others.

    Args:
        config: the settings dataclass that refuses.
        name: of its field.
        right: what the value must be, in words that end a sentence.
    """
    return SettingError(section_of(config), (name,), f"is {in_line(redact(getattr(config, name), name))}; {right}")


def check_bounds(config: Any) -> None:
    """Refuse a settings dataclass with a value outside its bounds.

    Raises:
        SettingError: names the key, the value and what it must be.
    """
    kind: Any = type(config)
    for name, check in _checks_of(kind).items():
        found = check(getattr(config, name), (name,))
        if found:
            shown = in_line(redact(found.value, str(found.path[-1])))
            raise SettingError(section_of(config), found.path, f"is {shown}; it must {found.must}")


def _show(config: Any) -> str:
    """What `repr` says of settings: as that of a dataclass, with secrets hidden."""
    values = ((entry.name, getattr(config, entry.name)) for entry in fields(config) if entry.repr)
    return f"{type(config).__qualname__}({', '.join(f'{name}={redact(value, name)!r}' for name, value in values)})"


@cache
def _checks_of(cls: Any) -> dict[str, Check]:
    return {entry.name: check_of(hints_of(cls)[entry.name]) for entry in fields(cls)}


def section_of(config: Any) -> str:
    """Return the dotted key that a settings dataclass, or an instance of one, was declared with."""
    return str(getattr(config, "__settings_section__", ""))


@cache
def hints_of(cls: Any) -> dict[str, Any]:
    """Return the annotations of a dataclass with their bounds."""
    return get_type_hints(cls, include_extras=True)


def dotted(*path: str | int) -> str:
    """Join a path to a key.

    >>> dotted("", "policy", 0, "name")
    'policy.0.name'
    """
    return ".".join(str(part) for part in path if part != "")


def in_line(value: Any) -> str:
    """Write a value as a message has it.

    >>> in_line("fp8"), in_line((1, 2)), in_line(None), in_line(0.5)
    ("'fp8'", '[1, 2]', 'null', '0.5')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"'{value}'" if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)
