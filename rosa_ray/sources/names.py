"""Names of a file's columns: found exactly, or else ignoring case and surrounding spaces."""

from collections import Counter
from collections.abc import Iterable, Sequence


def find_columns(names: Sequence[str], wanted: Iterable[str]) -> dict[str, str]:
    """Return {wanted name: file column} of the columns that are there.

    A name that two columns fit equally well is not found.

    >>> find_columns(["User_ID ", "ts", "TS"], ["user_id", "ts", "price", "Ts"])
    {'user_id': 'User_ID ', 'ts': 'ts'}
    """
    plain = Counter(map(_plain, names))
    by_plain = {_plain(name): name for name in names if plain[_plain(name)] == 1}
    found = {name: name if name in names else by_plain.get(_plain(name)) for name in wanted}
    return {name: column for name, column in found.items() if column is not None}


def distinct(names: Sequence[str]) -> list[str]:
    """Append its place to every name that is there twice, so that no file column hides another.

    >>> distinct(["a", "b", "a"])
    ['a (column 1)', 'b', 'a (column 3)']
    """
    count = Counter(names)
    return [name if count[name] == 1 else f"{name} (column {at})" for at, name in enumerate(names, 1)]


def _plain(name: str) -> str:
    return name.strip().casefold()
