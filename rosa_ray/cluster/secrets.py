"""Secrets: a cluster file is committed and copied to nodes, so nothing in it may be worth stealing."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rosa_ray.cluster.document import ClusterFinding, Document

KNOWN = {
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}"),
    "a password in a URL": re.compile(r"://[^\s/:@$]+:[^\s/@$]+@"),
}
SECRET_NAME = re.compile(r"(passw(or)?d|secret|token|api[_-]?key|access[_-]?key|credentials?)$", re.IGNORECASE)
ASSIGNED = re.compile(
    r"(?P<name>[\w-]*(passw(or)?d|secret|token|api[_-]?key|access[_-]?key))[\"']?\s*[=:]\s*[\"']?(?P<value>[^\s\"';&|]+)",
    re.IGNORECASE,
)
NO_SECRET = re.compile(r"^([~/.$<{]|\w:|(true|false|yes|no|none|null|required|optional|token|disabled|enabled)$)", re.I)
WORD = re.compile(r"(?<![A-Za-z0-9+/_=-])(?<!sha256:)[A-Za-z0-9+/_=-]{32,}")
HEX = re.compile(r"[0-9a-fA-F]+")
HEX_BITS, TEXT_BITS = 3.0, 4.2
"""Bits per character above which a long word looks random; English and paths stay below 4."""

ELSEWHERE = "keep it out of the file: a file_mounts entry, an instance profile or a Kubernetes Secret brings it"


def known_secrets(document: Document) -> Iterator[ClusterFinding]:
    """No text may have the form of a known kind of credential."""
    for place, text in document.texts():
        for what, pattern in KNOWN.items():
            if pattern.search(text):
                yield document.finding(place, f"{what} in the file", ELSEWHERE)


def named_secrets(document: Document) -> Iterator[ClusterFinding]:
    """Nothing that is called a password, token, secret or key may have a value in the file."""
    for place, name, value in _named(document.body, ""):
        if not NO_SECRET.match(value):
            yield document.finding(place, f"a value for {name} in the file", ELSEWHERE)


def _named(value: Any, place: str) -> Iterator[tuple[str, str, str]]:
    """Yield place, name and text of what has the name of a secret: keys, `name`/`value` pairs, assignments in texts."""
    if isinstance(value, dict):
        pair = value.get("name"), value.get("value")
        if isinstance(pair[0], str) and isinstance(pair[1], str) and SECRET_NAME.search(pair[0]):
            yield f"{place}.value", pair[0], pair[1]
        for key, below in value.items():
            inner = f"{place}.{key}".lstrip(".")
            if isinstance(below, str) and SECRET_NAME.search(str(key)):
                yield inner, str(key), below
            else:
                yield from _named(below, inner)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _named(below, f"{place}[{index}]")
    elif isinstance(value, str):
        for match in ASSIGNED.finditer(value):
            yield place, match["name"], match["value"]


def random_texts(document: Document) -> Iterator[ClusterFinding]:
    """No long word may look random: that is what keys and tokens look like."""
    for place, text in document.texts():
        for word in WORD.findall(text):
            if looks_random(word):
                yield document.finding(place, f"'{word[:4]}…' of {len(word)} characters looks like a key", ELSEWHERE)


def looks_random(word: str) -> bool:
    """Whether a word has the look of a key: hexadecimal, or digits in mixed case, with more entropy than text has.

    >>> looks_random("aws/service/canonical/ubuntu/server/24")
    False
    """
    if HEX.fullmatch(word):
        return _bits(word) > HEX_BITS
    mixed = any(map(str.islower, word)) and any(map(str.isupper, word)) and any(map(str.isdigit, word))
    return mixed and _bits(word) > TEXT_BITS


def _bits(word: str) -> float:
    """Return the Shannon entropy of a word's characters, in bits per character."""
    shares = [count / len(word) for count in Counter(word).values()]
    return -sum(share * math.log2(share) for share in shares)
