"""What a mistyped key probably meant, and whether nested data has a key."""

import difflib
from collections.abc import Mapping
from typing import Any

from rosa_ray.settings.bounds import KeyPath


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


def holds(data: Any, path: KeyPath) -> bool:
    """Tell whether nested plain data has something at `path`; a position may be the key of a mapping, as in `--set`.

    >>> holds({"a": {"b": [5]}}, ("a", "b", 0)), holds({"a": {"0": 5}}, ("a", 0)), holds({"a": 1}, ("a", "b"))
    (True, True, False)
    """
    for part in path:
        if isinstance(data, Mapping) and (part in data or str(part) in data):
            data = data[part] if part in data else data[str(part)]
        elif isinstance(data, list) and part in range(len(data)):
            data = data[int(part)]
        else:
            return False
    return True
