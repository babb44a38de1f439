"""Find and open files, local or remote, with one-line errors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from rosa_ray.errors import InputError
from rosa_ray.sources.protocol import SourceFile
from rosa_ray.storage import explain, storage_errors

_MAGIC = "*?["


def list_files(location: str, contract_name: str) -> list[SourceFile]:
    """List the files of a path, directory or glob, sorted by path.

    In a directory every file counts, at any depth, except those with a part of the path below it that
    begins with `.` or `_`: a foreign file is better named when it is read than passed over.

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


def full_path(fs: fsspec.AbstractFileSystem, path: str) -> str:
    """Return a file system's path as people write it: plain when local, with its protocol when remote."""
    return path if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(path)


def has_subdirectory(location: str, name: str) -> bool:
    """Return whether a local or remote directory holds a directory of that name.

    Raises:
        InputError: the location cannot be reached.
    """
    with readable(location):
        fs, root = fsspec.core.url_to_fs(location)
        return bool(fs.isdir(f"{root.rstrip('/')}/{name}"))


@contextmanager
def open_file(path: str) -> Iterator[BinaryIO]:
    """Open a local or remote file for reading bytes.

    Raises:
        InputError: it is missing or cannot be reached.
    """
    with readable(path):
        handle = fsspec.open(path, "rb").open()
    with handle:
        yield cast(BinaryIO, handle)


@contextmanager
def readable(path: str, form: str = "") -> Iterator[None]:
    """Turn what goes wrong while a file is found, fetched or parsed into one line naming the file.

    Args:
        path: the file, directory or glob.
        form: what the file should be, for the message ("a CSV file"); empty while it is only looked for.

    Raises:
        InputError: the body raised an operating system, Arrow or S3 error.
    """
    try:
        yield
    except FileNotFoundError as error:
        missing = f"{path}: does not exist; give an existing file, directory, glob or s3:// URL"
        raise InputError(explain(path, error) or missing) from error
    except ImportError as error:
        raise InputError(f"{path}: its file system needs a package that is not installed: {_line(error)}") from error
    except (pa.ArrowException, EOFError, ValueError, *storage_errors(path)) as error:
        fault = f"is truncated, damaged or not {form}" if form else "cannot be used"
        raise InputError(explain(path, error) or f"{path}: {fault}: {_line(error)}") from error


def _expand(fs: fsspec.AbstractFileSystem, root: str) -> tuple[list[str], str]:
    if fs.isfile(root):
        return [root], os.path.dirname(root)
    if fs.isdir(root):
        return fs.find(root), root
    if any(character in root for character in _MAGIC):
        fixed = root[: min(root.find(character) for character in _MAGIC if character in root)]
        return [path for path in fs.glob(root) if fs.isfile(path)], os.path.dirname(fixed)
    raise FileNotFoundError(root)


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
