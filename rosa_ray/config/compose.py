"""Plain data becomes a frozen root config: each section is checked against the dataclass its component owns.

The root is a dataclass too. A field that is itself a dataclass is a section; a `Tagged` field is a section whose
`name` picks the dataclass; anything else is a plain setting. Types are strict: `"3"` is not an integer.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model
from pydantic_core import ErrorDetails, to_jsonable_python

from rosa_ray.config.keys import dotted_keys, holds, suggest
from rosa_ray.config.layers import Layer, merge, origin
from rosa_ray.config.text import to_yaml
from rosa_ray.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Root = TypeVar("Root", bound="DataclassInstance")
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Tagged:
    """A section whose name picks the dataclass of its settings."""

    name: str
    settings: Any


def tagged(default: str, class_of: Callable[[str], type]) -> Any:
    """Declare a `Tagged` field of a root config.

    Args:
        default: the name used when the section gives none.
        class_of: the settings dataclass of a name; raises ConfigError for an unknown one.
    """
    return field(
        default_factory=lambda: Tagged(default, class_of(default)()),
        metadata={"class_of": class_of, "default": default},
    )


def compose(root: type[Root], layers: Sequence[Layer]) -> Root:
    """Merge the layers over the defaults of the code and build the root config.

    Args:
        root: a frozen dataclass of sections and plain settings.
        layers: weakest first.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or does not fit; names where it was set.
    """
    layers = list(layers)
    data = merge(layers, [entry.name for entry in fields(root) if _is_tagged(entry)])
    hints = get_type_hints(root)
    names = {entry.name: _tag(entry, data, layers) for entry in fields(root) if _is_tagged(entry)}
    types = {e.name: e.metadata["class_of"](names[e.name]) if _is_tagged(e) else hints[e.name] for e in fields(root)}
    known = [key for name, kind in types.items() for key in (name, *_keys_below(name, kind))]
    known += [f"{name}.name" for name in names]
    for name in data:
        if name not in types:
            raise ConfigError(f"{origin(layers, (name,))}: unknown key '{name}'; {suggest(name, known)}")
    data |= {e.name: {} for e in fields(root) if e.name not in data and e.default is e.default_factory is MISSING}
    built = {name: _build(name, types[name], data[name], layers, known) for name in data}
    return root(**{name: Tagged(names[name], value) if name in names else value for name, value in built.items()})


def to_plain(config: Any) -> dict[str, Any]:
    """Turn a root config into plain data that `compose` accepts as a layer."""
    plain = {}
    for entry in fields(config):
        value = getattr(config, entry.name)
        if isinstance(value, Tagged):
            plain[entry.name] = {"name": value.name, **to_jsonable_python(value.settings)}
        else:
            plain[entry.name] = to_jsonable_python(value)
    return plain


def dump(config: Any) -> str:
    """Write the whole resolved config as YAML; loading it gives the same config."""
    return to_yaml(to_plain(config))


def _is_tagged(entry: Field[Any]) -> bool:
    return "class_of" in entry.metadata


def _tag(entry: Field[Any], data: dict[str, Any], layers: list[Layer]) -> str:
    """Take the `name` out of a tagged section, so that only its settings are left."""
    section = data.get(entry.name) or {}
    if not isinstance(section, dict):
        raise ConfigError(
            f"{origin(layers, (entry.name,))}: {entry.name} is {section!r}; write {entry.name}: {{name: ...}}"
        )
    settings = dict(section)
    name = settings.pop("name", entry.metadata["default"])
    try:
        entry.metadata["class_of"](name)
    except ConfigError as error:
        raise ConfigError(f"{origin(layers, (entry.name, 'name'))}: {error}") from error
    if entry.name in data:
        data[entry.name] = settings
    return str(name)


def _keys_below(name: str, kind: type) -> Iterator[str]:
    return dotted_keys(kind, f"{name}.") if is_dataclass(kind) else iter(())


def _build(name: str, kind: type, value: Any, layers: list[Layer], known: list[str]) -> Any:
    if value is None and is_dataclass(kind):
        value = {}  # a section whose keys are all commented out
    holder = create_model("Holder", __config__=_STRICT, value=(kind, ...))
    try:
        return holder.model_validate_json(json.dumps({"value": value})).value  # type: ignore[attr-defined]
    except ValidationError as error:
        problems = error.errors()
        more = f" (and {len(problems) - 1} more in {name})" if len(problems) > 1 else ""
        raise ConfigError(_explain(problems[0], name, value, layers, known) + more) from error
    except ConfigError as error:  # raised by the leaf; it may begin with the key it is about
        key, _, _ = str(error).partition(" ")
        where = origin(layers, tuple(key.split(".")) if key in known else (name,))
        raise ConfigError(f"{where}: {error}" if key in known else f"{where}: {name}: {error}") from error


def _explain(problem: ErrorDetails, name: str, value: Any, layers: list[Layer], known: list[str]) -> str:
    path: tuple[str | int, ...] = (name,)
    for part in problem["loc"][1:]:  # the first is the holder's field; a union's branches are in no data
        if problem["type"] == "missing" or holds({name: value}, (*path, part)):
            path = (*path, part)
    key = ".".join(map(str, path))
    where = origin(layers, path)
    if problem["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown key '{key}'; {suggest(key, known)}"
    if problem["type"] == "missing":
        return f"{where}: {key} is missing"
    reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("an object", "a mapping")
    if isinstance(problem["input"], dict) and problem["type"] == "value_error":
        return f"{where}: {key}: {reason}"
    return f"{where}: {key} is {json.dumps(problem['input'], ensure_ascii=False)}: it {reason}"
