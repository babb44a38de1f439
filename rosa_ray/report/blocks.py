"""What sections are made of: figures with their values, tables, tiles, and the line that stands for a missing part."""

from collections.abc import Sequence

from rosa_ray.report.markup import Child, Markup, tag


def missing(what: str, command: str) -> Markup:
    """Return the line of a section whose input is not there.

    Args:
        what: subject and verb of the sentence, such as "Test metrics are".
        command: what to run to get it.
    """
    return tag("p", f"{what} not there yet. Run ", tag("code", command), ".", class_="missing")


def figure(title: str, chart: Child, note: Child = None, values: Child = None) -> Markup:
    """Return a chart under a title that says what it shows, its values folded away below."""
    return tag(
        "figure",
        tag("figcaption", tag("h3", title), tag("p", note) if note else None),
        chart,
        fold("Values", values) if values else None,
    )


def figures(*parts: Child) -> Markup:
    """Return figures side by side, as many as fit."""
    return tag("div", parts, class_="figures")


def fold(label: str, content: Child) -> Markup:
    """Return content that opens on demand."""
    return tag("details", tag("summary", label), content)


def table(
    title: str, head: Sequence[Child], rows: Sequence[Sequence[Child]], words: Sequence[int] = (), class_: str = ""
) -> Markup:
    """Return a table in a box of its own, which scrolls where it is too wide.

    Args:
        title: what it lists, for screen readers.
        rows: cells; the first of each row names it.
        words: columns of text, aligned left; the others hold numbers.
    """
    left = {0, *words}
    top = tag("tr", [tag("th", cell, scope="col", class_=_side(at, left)) for at, cell in enumerate(head)])
    body = [tag("tr", [_cell(at, cell, left) for at, cell in enumerate(row)]) for row in rows]
    content = tag("table", tag("thead", top), tag("tbody", body), class_=class_ or None)
    return tag("div", content, class_="scroll", role="region", aria_label=title, tabindex=0)


def _cell(at: int, cell: Child, left: set[int]) -> Markup:
    if at == 0:
        return tag("th", cell, scope="row", class_="word")
    return tag("td", cell, class_=_side(at, left))


def _side(at: int, left: set[int]) -> str | None:
    return "word" if at in left else None


def tiles(entries: Sequence[tuple[str, str, str]]) -> Markup:
    """Return headline figures: name, value, and what to compare it with."""
    return tag("dl", [_tile(*entry) for entry in entries], class_="tiles")


def _tile(name: str, value: str, note: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value, class_="value"), tag("dd", note, class_="note"))


def heat(title: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[tuple[float, str]]]]) -> Markup:
    """Return a table whose cells are shaded by value: one colour above zero, another below, deeper further away."""
    most = max((abs(value) for _, cells in rows for value, _ in cells), default=0) or 1
    body = [(name, [_shaded(value / most, words) for value, words in cells]) for name, cells in rows]
    top = tag("tr", [tag("th", cell, scope="col") for cell in head])
    lines = [tag("tr", tag("th", name, scope="row", class_="word"), cells) for name, cells in body]
    content = tag("table", tag("thead", top), tag("tbody", lines), class_="heat")
    return tag("div", content, class_="scroll", role="region", aria_label=title, tabindex=0)


def _shaded(share: float, words: str) -> Markup:
    return tag("td", words, class_="up" if share >= 0 else "down", style=f"--v:{round(70 * abs(share))}%")
