"""The reference of all settings, read from their declarations: type, default, bounds, unit and doc of each."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Unit

from rosa_ray.settings.bounds import element_hints, in_words, is_list, is_union, without_bounds
from rosa_ray.settings.fields import Choice, Tagged, dotted, hints_of
from rosa_ray.settings.places import Place
from rosa_ray.settings.plain import to_plain

UNITS = {
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "minutes": "minutes",
    "hours": "hours",
    "days": "days",
    "bytes": "bytes",
    "mb": "10^6 bytes",
    "gb": "10^9 bytes",
}
"""Last part of a setting's name -> its unit; `annotated_types.Unit` on the field says any other."""

_TYPES = {int: "integer", float: "number", str: "text", bool: "true or false", Path: "path", NoneType: "null"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: dotted, as `--set` takes it; `*` stands for a position or a name.
        name: the `name` of the section under which the setting exists; empty where it always does.
        type: in words.
        default: as YAML has it; empty where a value must be given.
        bounds: what the value must be, in words; empty where anything of its type will do.
        unit: in words; empty where it has none.
        doc: what it means.
    """

    key: str
    name: str
    type: str
    default: str
    bounds: str
    unit: str
    doc: str


def settings_of(cls: Any, prefix: str = "", name: str = "") -> Iterator[Setting]:
    """Yield every setting of a dataclass and of the sections below it, in order.

    Args:
        prefix: key of the dataclass's section.
        name: the `name` that picks the dataclass, where one does.
    """
    docs = field_docs(cls)
    for entry in fields(cls):
        place = Place(hints_of(cls)[entry.name], entry.metadata.get("choice"))
        key, doc = dotted(prefix, entry.name), docs.get(entry.name, "")
        inner = Place(element_hints(place.kind)[0], place.choice) if element_hints(place.kind) else place
        inside = dotted(key, "*") if inner is not place else key
        if inner.kind is Tagged and inner.choice:
            yield from _of_each_name(inner.choice, inside, doc)
        elif is_dataclass(inner.kind):
            yield from settings_of(inner.kind, inside, name)
        else:
            yield _setting(entry, place.hint, key, name, doc)


@cache
def field_docs(cls: Any) -> dict[str, str]:
    """Return the docs of a dataclass's fields: the string that stands below each, on one line.

    Raises:
        OSError: the source of the class is not there.
    """
    found: dict[str, str] = {}
    for base in [base for base in cls.__mro__[::-1] if "__dataclass_fields__" in vars(base)]:
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, below in pairwise(statements):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                found[field.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return found


def _of_each_name(choice: Choice, key: str, doc: str) -> Iterator[Setting]:
    names = list(choice.names())
    default = "" if choice.default is None else json.dumps(choice.default)
    yield Setting(dotted(key, "name"), "", "text", default, f"one of {', '.join(names)}" if names else "", "", doc)
    for name in names:
        yield from settings_of(choice.class_of(name), key, name)


def _setting(entry: Field[Any], hint: Any, key: str, name: str, doc: str) -> Setting:
    default = entry.default if entry.default_factory is MISSING else entry.default_factory()
    return Setting(
        key=key,
        name=name,
        type=_type_in_words(hint),
        default="" if default is MISSING else json.dumps(to_plain(default), ensure_ascii=False),
        bounds="" if without_bounds(hint) is bool else in_words(hint).removeprefix("be "),
        unit=_unit(entry.name, hint),
        doc=doc,
    )


def _type_in_words(hint: Any) -> str:
    kind = without_bounds(hint)
    if is_union(kind):
        return " or ".join(_type_in_words(branch) for branch in get_args(kind))
    if get_origin(kind) is Literal:
        return " or ".join(dict.fromkeys(_TYPES[type(choice)] for choice in get_args(kind)))
    if element_hints(kind):
        return f"{'list' if is_list(kind) else 'mapping'} of {_type_in_words(element_hints(kind)[0])}"
    return _TYPES.get(kind, "anything")


def _unit(name: str, hint: Any) -> str:
    marks = [mark for mark in (hint, *get_args(hint)) if get_origin(mark) is Annotated]
    said = [entry.unit for mark in marks for entry in mark.__metadata__ if isinstance(entry, Unit)]
    return said[0] if said else UNITS.get(name.rpartition("_")[2], "") if "_" in name else ""
