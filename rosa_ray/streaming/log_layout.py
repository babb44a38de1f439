"""What lies where the records of a log are expected: partitions, plain files, or neither."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rosa_ray.errors import ConfigError, InputError
from rosa_ray.records.log import segments_of
from rosa_ray.storage import is_remote

PLAIN_SUFFIXES = (".jsonl", ".ndjson")
"""Of files with one record a line."""

EXPECTED = (
    "expected are files such as events.jsonl with one record a line, or a directory a partition "
    "such as 0/00000000000000000000.jsonl"
)
_FIRST_LINE_BYTES = 65_536
_SHOWN = 3


def partitions_of(root: Path) -> dict[int, Path]:
    """Directories `0`, `1`, ... below a log's, by number, but those that hold plain files only."""
    found = {int(path.name): path for path in root.glob("*") if path.name.isdigit() and path.is_dir()}
    return {number: path for number, path in found.items() if segments_of(path) or not any(_plain_below(path))}


def plain_files(root: Path) -> list[Path]:
    """Files of JSON lines at a path: the file itself, or those below the directory that are no segments of a partition.

    Names that begin with `.` or `_` are passed over, below `root`.
    """
    if root.is_file():
        return [root]
    return sorted(path for path in _plain_below(root) if not _is_segment(path, root))


def first_line(path: Path, complete: bool) -> bytes | None:
    """The first line of a file, of a long one its beginning; None while it is not there as a whole.

    Args:
        complete: the file is written to its end, so that a line without a break is whole too.
    """
    with path.open("rb") as handle:
        line = handle.readline(_FIRST_LINE_BYTES)
    whole = line.endswith(b"\n") or len(line) == _FIRST_LINE_BYTES or (line and (complete or is_json(line)))
    return line.removesuffix(b"\n") if whole else None


def is_json(text: bytes) -> bool:
    """Tell a whole JSON value from the beginning of an object, which is none."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def require_files(files: Sequence[str]) -> list[str]:
    """Check files that were given by name; of a directory, take the files of JSON lines below it.

    Raises:
        InputError: one is missing, or holds no JSON lines.
    """
    found: list[str] = []
    for name in files:
        path = Path(name)
        if not path.exists():
            raise InputError(f"{name}: no such file; give files with one JSON record a line")
        if path.is_file() and path.suffix in (".gz", ".bz2", ".zst", ".xz", ".lz4"):
            raise InputError(f"{name}: is compressed; unpack it first")
        below = [str(each) for each in plain_files(path)]
        if not below:
            raise InputError(f"{name}: holds no records; {EXPECTED}; {_found(path)}")
        found += below
    return found


def require_local(path: str) -> None:
    """Refuse a log on an object store, which can neither be appended to nor followed.

    Raises:
        ConfigError: the path is a URL.
    """
    if is_remote(path):
        raise ConfigError(
            f"stream.path is '{path}', but a log needs a local disk; give an absolute path, or stream.kind=kafka"
        )


def require_layout(root: Path, until_end: bool) -> bool:
    """Check that records are where they are expected.

    Args:
        until_end: nothing is waited for. Else a directory that is missing or empty may be filled later.

    Returns:
        Whether there are any partitions or files yet.

    Raises:
        InputError: there are none, but something else.
    """
    if partitions_of(root) or plain_files(root):
        return True
    present = root.is_dir() and any(_visible(root))
    if until_end or present or (root.exists() and not root.is_dir()):
        raise InputError(f"stream.path {root}: holds no records; {EXPECTED}; {_found(root)}")
    return False


def _found(root: Path) -> str:
    if not root.exists():
        return "there is no such directory"
    names = sorted(path.name + "/" * path.is_dir() for path in _visible(root))
    if not names:
        return "found nothing"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"found {', '.join(names[:_SHOWN])}{more}"


def _visible(root: Path) -> Iterator[Path]:
    return (path for path in root.glob("*") if not path.name.startswith((".", "_")) and path.name != "lock")


def _plain_below(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        hidden = any(part.startswith((".", "_")) for part in path.relative_to(root).parts)
        if path.suffix in PLAIN_SUFFIXES and not hidden and path.is_file():
            yield path


def _is_segment(path: Path, root: Path) -> bool:
    return path.parent.parent == root and path.parent.name.isdigit() and path.stem.isdigit()
