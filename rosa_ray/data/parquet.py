"""Parquet files that appear whole or not at all, with page checksums, local or remote."""

import io
import json
import os
import uuid
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from rosa_ray.errors import InputError
from rosa_ray.sources.paths import readable


def write_parquet(table: pa.Table, path: str) -> None:
    """Write a table; readers never see a part of it."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_bytes(sink.getvalue(), path)


def read_parquet(path: str) -> pa.Table:
    """Read a file whole, page checksums verified.

    Raises:
        InputError: it is missing or damaged.
    """
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        return pq.ParquetFile(handle, page_checksum_verification=True).read()


def write_json(document: dict[str, Any], path: str) -> None:
    """Write indented JSON; readers never see a part of it."""
    write_bytes((json.dumps(document, indent=2) + "\n").encode(), path)


def read_json(path: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: it is missing or no JSON.
    """
    with readable(path, "a JSON file"), fsspec.open(path, "rb") as handle:
        document = json.load(handle)
    if not isinstance(document, dict):
        raise InputError(f"{path}: holds a JSON {type(document).__name__}, not an object")
    return document


def write_bytes(content: bytes, path: str) -> None:
    """Put a file in place at once: a rename where the file system has one, one upload elsewhere."""
    fs, target = fsspec.core.url_to_fs(path)
    fs.makedirs(os.path.dirname(target), exist_ok=True)
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(target, content)
        return
    temporary = f"{os.path.dirname(target)}/.{uuid.uuid4().hex}"
    with open(temporary, "wb") as handle:
        handle.write(content)
    os.replace(temporary, target)


def remove_tree(path: str) -> None:
    """Remove a file or directory if it is there."""
    fs, root = fsspec.core.url_to_fs(path)
    fs.invalidate_cache()
    if fs.exists(root):
        fs.rm(root, recursive=True)
