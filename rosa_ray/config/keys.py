"""Dotted keys of configuration dataclasses, and what a mistyped key probably meant."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints


def dotted_keys(leaf: type, prefix: str = "") -> Iterator[str]:
    """Yield every settable key of a dataclass, nested ones after their parent.

    >>> from dataclasses import make_dataclass
    >>> Adam = make_dataclass("Adam", [("rate", float)])
    >>> list(dotted_keys(make_dataclass("Training", [("epochs", int), ("adam", Adam | None)]), "training."))
    ['training.epochs', 'training.adam', 'training.adam.rate']
    """
    hints = get_type_hints(leaf)
    for field in fields(leaf):
        if not field.init:
            continue
        yield prefix + field.name
        for nested in _dataclasses_in(hints[field.name]):
            yield from dotted_keys(nested, f"{prefix}{field.name}.")


def suggest(key: str, known: list[str]) -> str:
    """Say what would be right instead of an unknown key: a close sibling, the same name elsewhere, or the choices.

    >>> suggest("training.epoch", ["seed", "training.epochs", "training.batch"])
    "did you mean 'training.epochs'?"
    >>> suggest("epochs", ["seed", "training.epochs"])
    "did you mean 'training.epochs'?"
    >>> suggest("training.xyz", ["training.epochs", "training.batch"])
    'known keys here are batch, epochs'
    """
    parent, _, name = key.rpartition(".")
    siblings = {k.rpartition(".")[2]: k for k in known if k.rpartition(".")[0] == parent}
    close = difflib.get_close_matches(name, siblings, n=1)
    elsewhere = [k for k in known if k.rpartition(".")[2] == name]
    guess = (
        siblings[close[0]]
        if close
        else next(iter(elsewhere or difflib.get_close_matches(key, known, n=1, cutoff=0.85)), None)
    )
    return f"did you mean '{guess}'?" if guess else f"known keys here are {', '.join(sorted(siblings)) or 'none'}"


def holds(data: Any, path: tuple[str | int, ...]) -> bool:
    """Tell whether nested plain data has something at `path`.

    >>> holds({"a": {"b": [5]}}, ("a", "b", 0)), holds({"a": 1}, ("a", "b"))
    (True, False)
    """
    for part in path:
        inside = part in data if isinstance(data, Mapping) else isinstance(data, list) and part in range(len(data))
        if not inside:
            return False
        data = data[part]
    return True


def _dataclasses_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
    for argument in get_args(hint):
        yield from _dataclasses_in(argument)
