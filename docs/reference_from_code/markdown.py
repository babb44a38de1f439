"""Pieces of Markdown: tables, code, anchors, and docstrings turned into paragraphs."""

import inspect
import re
from collections.abc import Iterable, Sequence
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
