"""What every page is built of: header, table of contents, sections in order, style sheet inside."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from rosa_ray.errors import InputError
from rosa_ray.report.markup import Child, Markup, tag

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Part = tuple[str, str, Child]
"""A section: its anchor, its title, and what it shows."""


def whole_page(title: str, heading: str, facts: Sequence[str | None], parts: Sequence[Part]) -> str:
    """Return a page that opens offline.

    Args:
        title: for the browser's tab.
        facts: what stands below the heading, side by side; None is left out.
    """
    columns = tag("div", _contents(parts), _main(parts), class_="columns")
    body = tag("body", _header(heading, facts), columns)
    return f"<!DOCTYPE html>\n{tag('html', _head(title), body, lang='en')}\n"


def save_page(page: str, path: Path) -> Path:
    """Write a page; returns the file.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _head(title: str) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(files("rosa_ray.report").joinpath("report.css").read_text(encoding="utf-8"))),
    )


def _header(heading: str, facts: Sequence[str | None]) -> Markup:
    return tag(
        "header",
        tag("p", "ROSA-Rec on Ray", class_="kicker"),
        tag("h1", heading),
        tag("p", " · ".join(fact for fact in facts if fact), class_="facts"),
    )


def _contents(parts: Sequence[Part]) -> Markup:
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in parts]
    return tag("nav", tag("h2", "Contents"), tag("ol", links), aria_label="Contents")


def _main(parts: Sequence[Part]) -> Markup:
    return tag(
        "main", [tag("section", tag("h2", title), shown, id=name, class_="card") for name, title, shown in parts]
    )
