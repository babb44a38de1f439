"""The pages that people read, their prose, their links and their code."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])

_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.M | re.S)
_INLINE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
_ABBREVIATION = re.compile(r"\b(et al|e\.g|i\.e|vs|No)\.")


def name_of(page: Path) -> str:
    """How a test names a page."""
    return str(page.relative_to(ROOT))


def sentences(text: str) -> list[str]:
    """Sentences of the prose: without code blocks, tables, headings and HTML.

    >>> sentences("# Title\\n\\nOne, two. [Three](x.md) `a b c`: four\\n\\n| a. | b |\\n")
    ['One, two.', 'Three X: four']
    """
    return [sentence for block in _blocks(_FENCE.sub("\n", text)) for sentence in _split(block)]


def code_of(text: str) -> list[str]:
    """Everything that stands as code: fenced blocks, and inline."""
    inline = [piece.strip("`") for piece in _INLINE.findall(_FENCE.sub("\n", text))]
    return [match[0] for match in _FENCE.finditer(text)] + inline


def links(text: str) -> list[str]:
    """Targets of all links and pictures outside of code."""
    return [target for _, target in _LINK.findall(_INLINE.sub("", _FENCE.sub("\n", text)))]


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs and items of lists, each in one line."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        bare = line.strip()
        ends = not bare or bare.startswith(("|", "#", "!!!", "<"))
        starts = re.match(r"(?:[-*+]|\d+\.) ", bare)
        if ends or starts:
            if block:
                yield " ".join(block)
            block = []
        if not ends:
            block.append(re.sub(r"^(?:[-*+]|\d+\.) ", "", bare))


def _split(block: str) -> list[str]:
    text = _LINK.sub(r"\1", _INLINE.sub("X", block)).replace("**", "").replace("*", "")
    text = _ABBREVIATION.sub(r"\1", text)
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+(?=[^a-z])|(?<=[.!?]\))\s+|:\s*$", text) if part.strip()]
