"""The page: header, table of contents, sections in order, style sheet inside."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path

from rosa_ray.errors import InputError
from rosa_ray.report.markup import Markup, tag
from rosa_ray.report.run_files import RunFiles, open_run_files
from rosa_ray.report.sections import Section, all_sections

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_report(run_dir: str | Path, out: str | Path | None = None, studies: Sequence[str | Path] = ()) -> Path:
    """Write the page about a run.

    Args:
        run_dir: a local run directory, whole or partial: what is missing is said on the page.
        out: where to write; None is `report.html` in the run directory.
        studies: comparison files that are not in the run directory.

    Returns:
        The file written.

    Raises:
        InputError: this is no run directory, one of its files is damaged, or the page cannot be written.
        BundleError: the bundle is damaged.
    """
    run = open_run_files(run_dir, studies)
    path = Path(out or run.place.report)
    page = render_page(run, datetime.now(UTC).date())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def render_page(run: RunFiles, today: date) -> str:
    """Return the page. The same files and date give the same bytes."""
    sections = all_sections()
    title = f"{run.name}: ROSA-Rec report"
    body = tag("body", _header(run, today), tag("div", _contents(sections), _main(run, sections), class_="columns"))
    return f"<!DOCTYPE html>\n{tag('html', _head(title), body, lang='en')}\n"


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


def _header(run: RunFiles, today: date) -> Markup:
    version = (run.metrics or run.train or {}).get("model_version")
    facts = [f"run {run.name}", f"model {version}" if version else None, f"written {today.isoformat()}"]
    return tag(
        "header",
        tag("p", "ROSA-Rec on Ray", class_="kicker"),
        tag("h1", f"Report of run {run.name}"),
        tag("p", " · ".join(fact for fact in facts[1:] if fact), class_="facts"),
    )


def _contents(sections: Sequence[Section]) -> Markup:
    links = [tag("li", tag("a", section.title, href=f"#{section.name}")) for section in sections]
    return tag("nav", tag("h2", "Contents"), tag("ol", links), aria_label="Contents")


def _main(run: RunFiles, sections: Sequence[Section]) -> Markup:
    return tag(
        "main", [tag("section", tag("h2", one.title), one.render(run), id=one.name, class_="card") for one in sections]
    )
