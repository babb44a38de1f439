"""MkDocs hook: writes the reference pages from the code, and carries pictures of the benchmarks into the site.

Nothing of the reference is kept in git: a page is made at every build from the code that it describes.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.reference_from_code import config_files, exit_codes, http_api, log_tables, records, run_files, settings, verbs

PAGES: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings.page,
    "reference/verbs.md": verbs.page,
    "reference/configs.md": config_files.page,
    "reference/http.md": http_api.page,
    "reference/records.md": records.page,
    "reference/log-tables.md": log_tables.page,
    "reference/run-files.md": run_files.page,
    "reference/exit-codes.md": exit_codes.page,
}
"""Page below `docs/` -> what writes its Markdown."""

ROOT = Path(__file__).resolve().parent.parent
_TABLE_ROW = re.compile(r"^\|.*$", re.M)
_PICTURE = re.compile(r"\((?:\.\./)+(benchmarks/results/([\w.-]+\.svg))\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the pictures that pages show from `benchmarks/results`."""
    for uri, write in PAGES.items():
        files.append(File.generated(config, uri, content=write()))
    for path in sorted(set(_pictures(files))):
        files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point a picture of the benchmarks, linked as GitHub wants it, to its place in the site; keep intervals whole."""
    up = "../" * page.file.src_uri.count("/")
    pictured = _PICTURE.sub(lambda match: f"({up}pictures/{match[2]})", markdown)
    return _TABLE_ROW.sub(lambda match: match[0].replace(" … ", "\u00a0…\u00a0").replace(" %", "\u00a0%"), pictured)


def _pictures(files: Files) -> Iterator[Path]:
    for file in files.documentation_pages():
        for match in _PICTURE.finditer(file.content_string):
            yield ROOT / match[1]
