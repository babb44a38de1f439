"""Files of a run, on disks or on `s3://`: retries, errors of one line, and writes that are whole or absent.

What is atomic, and by what:

- One file: a rename on a disk; on S3 one PUT, or a multipart upload, which no reader sees before it is completed.
- Many files of one job (user rows, a log): each is whole; `spec.json` or `log.json`, written last, says that all are.
- A checkpoint: Ray Train lists it in its snapshot only once every rank has uploaded its part.
- A bundle: its files go to a place of their own, then one rename of a link, or one PUT of `manifest.json`, swaps it in.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     write_bytes(b"whole", f"{folder}/below/file")
...     exists(f"{folder}/below/file"), exists(f"{folder}/other")
(True, False)
"""

from rosa_ray.storage.faults import explain, storage_errors
from rosa_ray.storage.files import (
    absolute,
    arrow_filesystem,
    exists,
    fingerprint,
    full_path,
    is_remote,
    make_parent,
    open_file,
    readable,
    remove_tree,
    writable,
    write_bytes,
    write_file,
)
from rosa_ray.storage.s3 import use_defaults
from rosa_ray.storage.tables import read_json, read_parquet, write_json, write_parquet, write_row_groups

__all__ = [
    "absolute",
    "arrow_filesystem",
    "exists",
    "explain",
    "fingerprint",
    "full_path",
    "is_remote",
    "make_parent",
    "open_file",
    "read_json",
    "read_parquet",
    "readable",
    "remove_tree",
    "storage_errors",
    "writable",
    "write_bytes",
    "write_file",
    "write_json",
    "write_parquet",
    "write_row_groups",
]

use_defaults()
