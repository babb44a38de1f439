"""Find the files of a source, local or remote, with one-line errors."""

import os

import fsspec

from rosa_ray.errors import InputError
from rosa_ray.sources.protocol import SourceFile
from rosa_ray.storage import full_path, readable

_MAGIC = "*?["


def find_files(location: str, contract_name: str) -> list[SourceFile]:
    """List the files of a path, directory or glob, sorted by path.

    In a directory every file counts, at any depth. Files and folders that begin with `.` or `_` are passed over, no
    others: a foreign file is named when it is read.

    Raises:
        InputError: nothing is there, or it cannot be reached.
    """
    with readable(location):
        fs, root = fsspec.core.url_to_fs(location)
        paths, base = _expand(fs, root)
    files = [
        SourceFile(full_path(fs, path), contract_name, name)
        for path, name in sorted((path, path[len(base) :].lstrip("/")) for path in paths)
        if not any(part.startswith((".", "_")) for part in name.split("/")) and not path.endswith("/")
    ]
    if not files:
        raise InputError(f"{location}: no {contract_name} file is there; give a file, a directory with files or a glob")
    return files


def has_subdirectory(location: str, name: str) -> bool:
    """Return whether a local or remote directory holds a directory of that name.

    Raises:
        InputError: the location cannot be reached.
    """
    with readable(location):
        fs, root = fsspec.core.url_to_fs(location)
        return bool(fs.isdir(f"{root.rstrip('/')}/{name}"))


def _expand(fs: fsspec.AbstractFileSystem, root: str) -> tuple[list[str], str]:
    if fs.isfile(root):
        return [root], os.path.dirname(root)
    if fs.isdir(root):
        return fs.find(root), root
    if any(character in root for character in _MAGIC):
        fixed = root[: min(root.find(character) for character in _MAGIC if character in root)]
        return [path for path in fs.glob(root) if fs.isfile(path)], os.path.dirname(fixed)
    raise FileNotFoundError(root)
