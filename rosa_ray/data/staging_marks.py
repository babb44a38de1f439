"""Which input files lie in the staging area already: a mark per file, written once all its rows are there.

A file is staged again when it changed (size, times, ETag), or when what decides its rows did: the source's settings,
the contracts, the number of partitions. So a new day costs the reading of that day, and a run that was broken off goes
on after the last whole file.
"""

import hashlib
import os
import pickle
from collections.abc import Iterable, Sequence

import fsspec

from rosa_ray.data.stage_report import OK, FileReport
from rosa_ray.data.staging_area import all_staged_files, file_hash, leftovers
from rosa_ray.schema import BEHAVIORS, CONTRACTS
from rosa_ray.schema.own_columns import OwnColumn, contract_with
from rosa_ray.sources import Source, SourceFile
from rosa_ray.storage import fingerprint, full_path, make_parent, read_json, writable, write_json

FORMAT = 2
"""Of the staged files; a higher one makes every file be staged again."""


def setup_digest(
    source: Source, partitions: int, own: tuple[OwnColumn, ...] = (), behaviors: Sequence[str] = BEHAVIORS
) -> str:
    """Digest of what decides the staged rows of a file beside its content."""
    contracts = {name: contract_with(name, (), behaviors).fingerprint for name in CONTRACTS}
    return hashlib.sha256(pickle.dumps([FORMAT, source, partitions, contracts, own])).hexdigest()


def mark_staged(staging_dir: str, setup: str, file: SourceFile, identity: str, report: FileReport) -> None:
    """Say that all rows of a file are staged; a file that was set aside is not marked, and read again the next time.

    Args:
        identity: fingerprint of the file from before it was read.
    """
    if report.status == OK:
        write_json({"setup": setup, "identity": identity, "report": report.to_dict()}, _mark(staging_dir, file))


def keep_unchanged(staging_dir: str, setup: str, files: Iterable[SourceFile]) -> dict[SourceFile, FileReport]:
    """Create the staging area, and remove from it all but the rows of files that would be staged the same again.

    Returns:
        The reports of those files.

    Raises:
        InputError: the staging area or an input file cannot be reached.
    """
    with writable(staging_dir):
        fs, root = fsspec.core.url_to_fs(staging_dir)
        make_parent(fs, f"{root}/any")
        marks = {full_path(fs, path) for path in fs.find(f"{root}/marks")}
    kept = {}
    for file in files:
        mark = read_json(_mark(staging_dir, file)) if _full_mark(staging_dir, file) in marks else {}
        if mark.get("setup") == setup and mark["identity"] == fingerprint(file.path):
            kept[file] = FileReport.from_dict(mark["report"])
    _remove_others(staging_dir, kept)
    return kept


def _remove_others(staging_dir: str, kept: Iterable[SourceFile]) -> None:
    """Marks first: rows without a mark are removed by the next run, a mark without rows would not be noticed."""
    hashes = {file_hash(file.contract_name, file.name) for file in kept}
    with writable(staging_dir, "be removed"):
        fs, root = fsspec.core.url_to_fs(staging_dir)
        for path in [*fs.find(f"{root}/marks"), *all_staged_files(fs, root)]:
            if os.path.basename(path).removesuffix(".json").split("-")[0] not in hashes:
                fs.rm(path)
        for path in leftovers(fs, root):
            fs.rm(path, recursive=True)


def _mark(staging_dir: str, file: SourceFile) -> str:
    return f"{staging_dir}/marks/{file_hash(file.contract_name, file.name)}.json"


def _full_mark(staging_dir: str, file: SourceFile) -> str:
    fs, path = fsspec.core.url_to_fs(_mark(staging_dir, file))
    return full_path(fs, path)
