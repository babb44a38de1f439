"""Pieces of Markdown: tables, code, anchors, and docstrings turned into paragraphs."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A Markdown table; line breaks and bars inside cells are taken care of.

    >>> print(table(["a", "b"], [["1", "x|y"]]))
    | a | b |
    | --- | --- |
    | 1 | x\|y |
    """
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: Any) -> str:
    """Inline code, or nothing for an empty text."""
    return f"`{value}`" if str(value) else ""


def choices(values: Iterable[Any]) -> str:
    """Several values as inline code.

    >>> choices(["a", "b"])
    '`a`, `b`'
    """
    return ", ".join(code(value) for value in values)


def anchor(name: str) -> str:
    """An invisible place to link to."""
    return f'<a id="{name}"></a>'


def summary(documented: Any) -> str:
    """First line of a docstring, with RST-free Markdown in it."""
    return (inspect.getdoc(documented) or "").split("\n\n")[0].replace("\n", " ")


def description(documented: Any) -> str:
    """A docstring without its sections, doctests and fences: what it says in prose."""
    text = inspect.getdoc(documented) or ""
    text = re.split(r"\n(?:Attributes|Args|Raises|Returns|Yields):\n|\n>>> |\n```", text)[0]
    return text.strip()


def attribute_docs(documented: Any) -> dict[str, str]:
    """What the `Attributes:` section of a docstring says of each name.

    >>> class Box:
    ...     '''A box.
    ...
    ...     Attributes:
    ...         width: of the box,
    ...             in metres.
    ...         depth, height: the same.
    ...     '''
    >>> attribute_docs(Box)["width"], attribute_docs(Box)["height"]
    ('of the box, in metres.', 'the same.')
    """
    found = re.search(r"^Attributes:\n((?:[ ]{4}.*\n?|\n(?=[ ]{4}))*)", inspect.getdoc(documented) or "", re.M)
    entries: dict[str, str] = {}
    names: list[str] = []
    for line in found[1].splitlines() if found else []:
        start = re.match(r"^ {4}([\w, ]+): (.*)", line)
        if start:
            names = start[1].split(", ")
            entries |= dict.fromkeys(names, start[2])
        else:
            entries |= {name: f"{entries[name]} {line.strip()}".strip() for name in names}
    return entries


def field_docs(cls: type) -> dict[str, str]:
    """What stands below each field of a class, as `epochs: int = 10` followed by a string.

    A field without one takes what the `Attributes:` section of the class says.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    below = {
        field.target.id: inspect.cleandoc(text.value.value).replace("\n", " ")
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
    return attribute_docs(cls) | below


def sentence(text: str) -> str:
    """Text that begins with a capital letter and ends with a full stop.

    >>> sentence("of the box")
    'Of the box.'
    """
    text = text.strip()
    first = text[:1].upper() if text[:1].isascii() else text[:1]
    return first + text[1:] + ("." if text and text[-1] not in ".!?" else "")


def _cell(value: str) -> str:
    return re.sub(r"\s*\n\s*", " ", value).replace("|", "\\|")
