"""Files that appear whole or not at all, local or remote."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
import pyarrow as pa
import pyarrow.fs
from fsspec.implementations.local import LocalFileSystem

from rosa_ray.errors import InputError, RosaError
from rosa_ray.storage.faults import explain, storage_errors

_WITHOUT_DIRECTORIES = {"s3", "s3a", "gs", "gcs", "az", "abfs"}
"""Object stores: a key needs no directory, and making one might create a bucket."""


def full_path(fs: fsspec.AbstractFileSystem, path: str) -> str:
    """Return a file system's path as people write it: plain when local, with its protocol when remote."""
    return path if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(path)


def is_remote(path: str) -> bool:
    """Whether a path is a URL.

    >>> is_remote("s3://bucket/run"), is_remote("runs/demo")
    (True, False)
    """
    return "://" in path


def absolute(path: str) -> str:
    """A path that means the same to processes with other working directories; a URL as it is.

    >>> absolute("s3://bucket/run")
    's3://bucket/run'
    """
    return path if is_remote(path) else str(Path(path).absolute())


def exists(path: str) -> bool:
    """Whether there is a file or directory.

    Raises:
        InputError: its place cannot be reached.
    """
    with writable(path, "be looked at"):
        fs, root = fsspec.core.url_to_fs(path)
        return bool(fs.exists(root))


def fingerprint(path: str) -> str:
    """Digest of what the file system says about a file (size, times, ETag), to tell whether it has changed.

    Raises:
        InputError: it is missing or cannot be reached.
    """
    with writable(path, "be looked at"):
        fs, root = fsspec.core.url_to_fs(path)
        return str(fs.ukey(root))


def write_bytes(content: bytes, path: str) -> None:
    """Put a file in place at once: a rename where the file system has one, one upload elsewhere.

    Raises:
        InputError: its place is missing, full, read-only or cannot be reached.
    """
    _put_in_place(path, lambda fs, target: fs.pipe_file(target, content), lambda at: at.write_bytes(content))


def write_file(source: str, path: str) -> None:
    """Copy a local file into place at once, whatever its size, as `write_bytes` does.

    Raises:
        InputError: its place is missing, full, read-only or cannot be reached.
    """
    _put_in_place(path, lambda fs, target: fs.put_file(source, target), lambda at: shutil.copyfile(source, at))


def _put_in_place(
    path: str, upload: Callable[[fsspec.AbstractFileSystem, str], object], write: Callable[[Path], object]
) -> None:
    with writable(path):
        fs, target = fsspec.core.url_to_fs(path)
        make_parent(fs, target)
        if not isinstance(fs, LocalFileSystem):
            upload(fs, target)
            return
        temporary = Path(target).with_name(f".{uuid.uuid4().hex}")
        try:
            write(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def make_parent(fs: fsspec.AbstractFileSystem, target: str) -> None:
    """Create the directory of a file where the file system has directories."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    if not protocols & _WITHOUT_DIRECTORIES:
        fs.makedirs(os.path.dirname(target), exist_ok=True)


def remove_tree(path: str) -> None:
    """Remove a file or directory if it is there.

    Raises:
        InputError: it cannot be reached or removed.
    """
    with writable(path, "be removed"):
        fs, root = fsspec.core.url_to_fs(path)
        if fs.exists(root):
            fs.rm(root, recursive=True)


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


@contextmanager
def writable(path: str, action: str = "be written") -> Iterator[None]:
    """Turn what goes wrong while a file is written or removed into one line naming it.

    Raises:
        InputError: the body raised an operating system or S3 error.
    """
    try:
        yield
    except RosaError:
        raise
    except ImportError as error:
        raise InputError(f"{path}: its file system needs a package that is not installed: {error}") from error
    except storage_errors(path) as error:
        reason = getattr(error, "strerror", None) or _line(error)
        raise InputError(explain(path, error) or f"{path}: cannot {action}: {reason}") from error


def arrow_filesystem(url: str) -> tuple[pyarrow.fs.FileSystem | None, str]:
    """The fsspec file system of a URL for Ray Train, which would use Arrow's own S3 client, and the path in it.

    Returns:
        None and the path as it is where it is local.
    """
    if not is_remote(url):
        return None, url
    fs, root = fsspec.core.url_to_fs(url)
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs)), root


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
