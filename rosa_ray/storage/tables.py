"""Parquet and JSON files that appear whole or not at all, Parquet with page checksums, local or remote."""

import io
import json
import tempfile
from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from rosa_ray.errors import InputError
from rosa_ray.storage.files import readable, write_bytes, write_file


def write_parquet(table: pa.Table, path: str) -> None:
    """Write a table; readers never see a part of it."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_bytes(sink.getvalue(), path)


def write_row_groups(tables: Iterator[pa.Table], schema: pa.Schema, path: str) -> None:
    """Write tables one after another, a row group each, in the memory of the largest; readers never see a part."""
    with tempfile.NamedTemporaryFile() as file:
        with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
            for table in tables:
                writer.write_table(table, row_group_size=max(table.num_rows, 1))
        file.flush()
        write_file(file.name, path)


def read_parquet(path: str, columns: list[str] | None = None) -> pa.Table:
    """Read a file, page checksums verified.

    Args:
        columns: the ones to read; None for all.

    Raises:
        InputError: it is missing or damaged.
    """
    with readable(path, "a Parquet file"), fsspec.open(path, "rb") as handle:
        return pq.ParquetFile(handle, page_checksum_verification=True).read(columns)


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
