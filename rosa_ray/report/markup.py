"""HTML and SVG as nested calls: escaped, and balanced, by construction."""

from collections.abc import Iterable
from typing import TypeAlias

from markupsafe import Markup, escape

__all__ = ["Child", "Markup", "join", "tag"]

Child: TypeAlias = "str | Markup | Iterable[Child] | None"
VOID = frozenset({"meta", "br", "col"})


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """Return one element.

    Args:
        children: text, which is escaped, elements, lists of either; None is left out.
        attributes: `class_` and `for_` lose the underscore, inner underscores become hyphens. None and False are left
            out, True stands alone.

    >>> print(tag("p", "1 < 2 ", tag("b", "yes"), class_="note", aria_label='"'))
    <p class="note" aria-label="&#34;">1 &lt; 2 <b>yes</b></p>
    """
    opening = f"<{name}{''.join(_attributes(attributes))}>"
    return Markup(opening) if name in VOID else Markup(f"{opening}{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Return children one after another.

    >>> print(join(["a & b", [tag("i"), None]]))
    a &amp; b<i></i>
    """
    if children is None:
        return Markup("")
    if isinstance(children, str):
        return escape(children)
    return Markup("").join(join(child) for child in children)


def _attributes(attributes: dict[str, object]) -> Iterable[str]:
    for name, value in attributes.items():
        written = name.rstrip("_").replace("_", "-")
        if value is True:
            yield f" {written}"
        elif value is not None and value is not False:
            yield f' {written}="{escape(str(value))}"'
