"""Every setting of a run: type, default, bounds and meaning, from the dataclasses that own them."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from docs.reference_from_code.markdown import anchor, choices, code, description, field_docs, sentence
from rosa_ray.config import RunConfig
from rosa_ray.models.rankers import config_class, ranker_names

_INTRODUCTION = """# Settings

A run is described by one YAML file. Each section below is a section of it:

```yaml
run_dir: runs/shop
training: {epochs: 3, workers: 4}
model: {name: rosa, width: 128}
```

`--set training.epochs=3` overrides one setting of the file. A setting that nobody gives has its default.
`rosa config FILE` prints all of them as they are resolved.
A key that does not exist, or a value that does not fit, ends the command with [exit code](exit-codes.md) 2.
"""

_BOUNDS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "min_length": "at least {} of them",
    "max_length": "at most {} of them",
    "multiple_of": "a multiple of {}",
}


def page() -> str:
    """The page as Markdown."""
    root = [entry for entry in _entries(RunConfig, "") if not is_dataclass(entry.type) and entry.name != "model"]
    lines = [_INTRODUCTION, "## The run itself", "", *_definitions(root)]
    for entry in _entries(RunConfig, ""):
        if entry.name == "model":
            lines += _models()
        elif is_dataclass(entry.type):
            lines += _section(entry.name, entry.type)
    return "\n".join(lines)


class _Entry:
    """One setting: where it stands, what it may be, and what it means."""

    def __init__(self, field: Field[Any], hint: Any, doc: str, prefix: str) -> None:
        self.name, self.key = field.name, prefix + field.name
        self.type, self.metadata = _unwrap(hint)
        self.doc = doc
        self.default = field.default if field.default_factory is MISSING else field.default_factory()

    def facts(self) -> str:
        """Type, bounds and default in one line."""
        bounds = [text.format(_plain(value)) for value, text in _bounds(self.metadata)]
        default = [] if self.default is MISSING else [_default(self.default)]
        return "; ".join([", ".join([type_name(self.type), *bounds]), *default])


def _entries(leaf: type, prefix: str) -> list[_Entry]:
    hints, docs = get_type_hints(leaf, include_extras=True), field_docs(leaf)
    return [_Entry(field, hints[field.name], docs.get(field.name, ""), prefix) for field in fields(leaf) if field.init]


def _section(name: str, leaf: Any, title: str = "", note: str = "") -> list[str]:
    lines = [f"## {title or name}", "", description(leaf), *(["", note] if note else []), ""]
    return [*lines, *_definitions(_flat(_entries(leaf, f"{name}.")), model=title)]


def _models() -> list[str]:
    lines = [
        "## model",
        "",
        f"`name` picks the ranker: {choices(ranker_names())}. The other keys are settings of that ranker.",
        "",
    ]
    for name in sorted(ranker_names(), key=lambda name: name != "rosa"):
        lines += _section("model", config_class(name), title=f"model, name: {name}")
    return lines


def _flat(entries: list[_Entry]) -> Iterator[_Entry]:
    """Settings of sections inside a section come after it."""
    for entry in entries:
        if is_dataclass(entry.type):
            yield from _flat(_entries(entry.type, f"{entry.key}."))
        else:
            yield entry


def _definitions(entries: Any, model: str = "") -> list[str]:
    lines = []
    for entry in entries:
        place = f"{model.rpartition(' ')[2]}.{entry.name}" if model else entry.key
        lines += [f"{anchor(place)}{code(entry.key)}", "", f":   *{entry.facts()}*", ""]
        lines += [f"    {sentence(entry.doc)}", ""] if entry.doc else []
    return lines


def type_name(hint: Any) -> str:
    """A type in the words of YAML.

    >>> type_name(int | None), type_name(tuple[str, ...])
    ('integer or null', 'list of text')
    """
    hint, _ = _unwrap(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {choices(arguments)}"
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(argument) for argument in arguments)
    if origin in (tuple, list):
        return f"list of {type_name(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {type_name(arguments[0])} to {type_name(arguments[1])}"
    return _NAMES.get(hint, getattr(hint, "__name__", str(hint)))


_NAMES = {int: "integer", float: "number", str: "text", bool: "`true` or `false`", type(None): "null", Any: "anything"}


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its annotations, and these: also those of the one alternative beside null."""
    if get_origin(hint) is Annotated:
        inner, metadata = _unwrap(hint.__origin__)
        return inner, (*hint.__metadata__, *metadata)
    if get_origin(hint) in (Union, types.UnionType):
        return hint, tuple(each for argument in get_args(hint) for each in _unwrap(argument)[1])
    return hint, ()


def _default(value: Any) -> str:
    return "default empty" if value == "" else f"default {code(_plain(value))}"


def _bounds(metadata: tuple[Any, ...]) -> Iterator[tuple[Any, str]]:
    for each in metadata:
        for name, text in _BOUNDS.items():
            if getattr(each, name, None) is not None:
                yield getattr(each, name), text


def _plain(value: Any) -> str:
    """A value as YAML writes it in one line.

    >>> _plain(5e-4), _plain(("a", "b")), _plain(None)
    ('0.0005', '[a, b]', 'null')
    """
    plain = list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
    return yaml.safe_dump(_listed(plain), default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()


def _listed(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_listed(each) for each in value]
    return {key: _listed(each) for key, each in value.items()} if isinstance(value, dict) else value
