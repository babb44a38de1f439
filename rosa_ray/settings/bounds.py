"""Bounds of a setting, written in its annotation: does a value hold them, and how are they said."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt, MaxLen, MinLen

KeyPath = tuple[str | int, ...]
"""Where something lies in nested data: names of keys and places in lists."""


@dataclass(frozen=True)
class OneOf:
    """Bound of a setting that names an entry of a registry, which is asked anew for every value."""

    names: Callable[[], Collection[str]]


@dataclass(frozen=True)
class Distinct:
    """Bound of a list that names nothing twice."""


@dataclass(frozen=True)
class Misfit:
    """A value outside its bounds: where below the setting it lies, what it is, and what it must be."""

    path: KeyPath
    value: Any
    must: str


Check = Callable[[Any, KeyPath], Misfit | None]
"""Takes a value and where it lies; returns what is wrong with it, None when nothing is."""


def misfit(hint: Any, value: Any) -> Misfit | None:
    """Return the first part of a value that does not hold the bounds of its annotation; None when all do.

    >>> misfit(Annotated[int, Ge(1)] | None, 0)
    Misfit(path=(), value=0, must='be at least 1, or null')
    >>> misfit(tuple[Annotated[float, Gt(0), Le(1)], ...], (0.5, 2.0))
    Misfit(path=(1,), value=2.0, must='be above 0, up to 1')
    """
    return check_of(hint)(value, ())


def check_of(hint: Any) -> Check:
    """Read the bounds of an annotation once, for many values."""
    kind = without_bounds(hint)
    if is_union(kind):
        return _union_check(hint)
    if element_hints(kind):
        return _elements_check(hint)
    tests = [_test(bound) for bound in bounds_of(hint)]
    tests += [partial(_admits, kind)] if get_origin(kind) is Literal else []

    def check(value: Any, path: KeyPath) -> Misfit | None:
        return None if all(test(value) for test in tests) else Misfit(path, value, in_words(hint))

    return check


def _union_check(hint: Any) -> Check:
    """Of the branches that admit a value by its type, one must hold; another type is refused where all say a bound."""
    branches = [(branch, check_of(branch)) for branch in get_args(without_bounds(hint))]

    def check(value: Any, path: KeyPath) -> Misfit | None:
        found = [branch_check(value, path) for branch, branch_check in branches if _admits(branch, value)]
        if None in found or not in_words(hint):
            return None
        inside = next((wrong for wrong in found if wrong and wrong.path != path), None)
        return inside or Misfit(path, value, in_words(hint))

    return check


def _elements_check(hint: Any) -> Check:
    """A list or a mapping must be one, hold its own bounds, and so must each of its elements."""
    kind = without_bounds(hint)
    types: Any = (list, tuple) if is_list(kind) else (Mapping,)
    bounds = [(_test(bound), _count_in_words(bound, kind)) for bound in bounds_of(hint)]
    element_check = check_of(element_hints(kind)[0])

    def check(value: Any, path: KeyPath) -> Misfit | None:
        if not isinstance(value, types):
            return Misfit(path, value, "be a list" if is_list(kind) else "be a mapping")
        broken = next((words for test, words in bounds if not test(value)), None)
        if broken:
            return Misfit(path, value, broken)
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        return next((wrong for at, part in parts if (wrong := element_check(part, (*path, at)))), None)

    return check


def in_words(hint: Any) -> str:
    """Say what a value must do or be; empty where anything of its type will do.

    >>> in_words(Annotated[float, Ge(0), Lt(1)] | None)
    'be from 0 to below 1, or null'
    >>> in_words(Annotated[tuple[int, ...], MinLen(1), Distinct()])
    'name at least one and name each once'
    >>> in_words(bool | Literal["auto"])
    'be true or false, or auto'
    """
    kind = without_bounds(hint)
    if is_union(kind):
        branches = [in_words(branch).removeprefix("be ") for branch in get_args(kind)]
        return f"be {', or '.join(branches)}" if all(branches) else ""
    if get_origin(kind) is Literal:
        choices = ", ".join(str(choice) or "''" for choice in get_args(kind))
        return f"be one of {choices}" if len(get_args(kind)) > 1 else f"be {choices}"
    if kind in (bool, NoneType):
        return "be true or false" if kind is bool else "be null"
    bounds = bounds_of(hint)
    said = [_range_in_words(bounds), *(_count_in_words(bound, kind) for bound in bounds)]
    each = [in_words(inner) for inner in element_hints(kind)]
    said += [f"each {words.removeprefix('be ')}" for words in each if words.startswith("be ")]
    return " and ".join(words for words in said if words)


def bounds_of(hint: Any) -> list[Any]:
    """Return the bounds that stand at the top of an annotation."""
    if get_origin(hint) is not Annotated:
        return []
    single = [[*entry] if isinstance(entry, GroupedMetadata) else [entry] for entry in hint.__metadata__]
    return [bound for entry in single for bound in entry if isinstance(bound, tuple(_TESTS))]


def without_bounds(hint: Any) -> Any:
    """Return the type below the bounds.

    >>> without_bounds(Annotated[int, Ge(1)])
    <class 'int'>
    """
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def is_union(kind: Any) -> bool:
    """Tell whether a type is one of several."""
    return get_origin(kind) in (Union, UnionType)


def element_hints(kind: Any) -> tuple[Any, ...]:
    """Return the annotation of the elements of a list or of the values of a mapping; none for other types.

    >>> element_hints(tuple[int, ...]), element_hints(dict[str, float]), element_hints(int)
    ((<class 'int'>,), (<class 'float'>,), ())
    """
    if is_list(kind):
        return get_args(kind)[:1]
    return get_args(kind)[1:] if is_mapping(kind) else ()


def is_list(kind: Any) -> bool:
    """Tell whether a type is a list of like elements, `tuple[X, ...]` or `list[X]`."""
    return get_origin(kind) in (tuple, list, Sequence)


def is_mapping(kind: Any) -> bool:
    """Tell whether a type is `dict[str, X]` or `Mapping[str, X]`."""
    return get_origin(kind) in (dict, Mapping)


_TESTS: dict[type, Callable[[Any, Any], bool]] = {
    Ge: lambda bound, value: value >= bound.ge,
    Gt: lambda bound, value: value > bound.gt,
    Le: lambda bound, value: value <= bound.le,
    Lt: lambda bound, value: value < bound.lt,
    MinLen: lambda bound, value: len(value) >= bound.min_length,
    MaxLen: lambda bound, value: len(value) <= bound.max_length,
    OneOf: lambda bound, value: value in bound.names(),
    Distinct: lambda bound, value: len(set(value)) == len(value),
}


def _test(bound: Any) -> Callable[[Any], bool]:
    """Whether a value holds a bound; a value of another type, given to the dataclass itself, does not."""
    holds = _TESTS[type(bound)]

    def test(value: Any) -> bool:
        try:
            return holds(bound, value)
        except TypeError:
            return False

    return test


def _admits(hint: Any, value: Any) -> bool:
    """Whether a value is of a type that a union, or a list of choices, names; other types are taken on trust."""
    kind = without_bounds(hint)
    if get_origin(kind) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(kind))
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str, NoneType) else True


def _range_in_words(bounds: list[Any]) -> str:
    """From the lower and the upper limit of a number, where there are any."""
    low = next((bound for bound in bounds if isinstance(bound, Ge | Gt)), None)
    high = next((bound for bound in bounds if isinstance(bound, Le | Lt)), None)
    match low, high:
        case Ge(), None:
            return f"be at least {low.ge}" if low.ge else "be 0 or more"
        case Gt(), None:
            return f"be above {low.gt}"
        case None, Le():
            return f"be at most {high.le}"
        case None, Lt():
            return f"be below {high.lt}"
        case Ge(), Le():
            return f"be from {low.ge} to {high.le}"
        case Ge(), Lt():
            return f"be from {low.ge} to below {high.lt}"
        case Gt(), Le():
            return f"be above {low.gt}, up to {high.le}"
        case Gt(), Lt():
            return f"be above {low.gt} and below {high.lt}"
    return ""


def _count_in_words(bound: Any, kind: Any) -> str:
    match bound:
        case MinLen() if kind is str:
            return "not be empty"
        case MinLen():
            return f"name at least {'one' if bound.min_length == 1 else bound.min_length}"
        case MaxLen():
            return f"name at most {bound.max_length}"
        case Distinct():
            return "name each once"
        case OneOf():
            return f"be one of {', '.join(bound.names())}"
    return ""
