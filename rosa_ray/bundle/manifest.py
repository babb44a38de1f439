"""What a bundle's manifest says, and the check of every file against it. Loads no model and imports no torch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rosa_ray.bundle.cache import discard
from rosa_ray.bundle.remote import MANIFEST, local_copy, manifest_of
from rosa_ray.errors import BundleError
from rosa_ray.storage import is_remote

FORMAT = "rosa-bundle"
FORMAT_VERSION = 1

WEIGHTS = "model.safetensors"
MODEL = "model.json"
FEATURES = "features"
METRICS = "metrics.json"
CONFIG = "config.yaml"
CALIBRATION = "calibration.json"
GATE = "gate.json"
ADS = "ads.parquet"


@dataclass(frozen=True)
class FileEntry:
    """Hash and size of one file of the bundle.

    Attributes:
        sha256: 64 hex digits.
        size: bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says.

    Attributes:
        created: when, ISO 8601, UTC.
        model_version: 16 hex digits over weights, model description, calibration, feature files and fingerprints.
            Bundles of equal version score equally, whatever their metrics, configuration text or date. The gate is not
            in it: it chooses between two scores, and stored states stay good when it is fitted anew.
        feature_fingerprint: of the feature state the model was trained on.
        contract_fingerprints: contract name -> fingerprint.
        versions: Python and package -> version at the time of writing.
        files: path relative to the bundle -> entry.
    """

    created: str
    model_version: str
    feature_fingerprint: str
    contract_fingerprints: dict[str, str]
    versions: dict[str, str]
    files: dict[str, FileEntry]

    def to_json(self) -> str:
        """Return the manifest as JSON, with a hash over itself."""
        body = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        return json.dumps({**body, "manifest_sha256": digest_json(body)}, indent=2, sort_keys=True) + "\n"


def verify_bundle(directory: str | Path) -> Manifest:
    """Check every file of a bundle against its manifest, without loading any. A remote bundle is fetched first.

    Raises:
        BundleError: no bundle, another format version, a damaged manifest, or a file that is missing, truncated,
            changed or not of the bundle; the message names the file with what was expected and what is there.
    """
    return verified_copy(directory)[1]


def verified_copy(directory: str | Path) -> tuple[Path, Manifest]:
    """Check a bundle as `verify_bundle` does and return where it is on this machine, with its manifest.

    The copy of a remote bundle may have been damaged here since it was fetched: then it is fetched once more.
    """
    path = local_copy(directory)
    try:
        return path, _verify(path)
    except BundleError:
        if not is_remote(str(directory)):
            raise
    discard(path)
    path = local_copy(directory)
    return path, _verify(path)


def _verify(path: Path) -> Manifest:
    manifest = read_manifest(path)
    present = list_files(path)
    for name, expected in manifest.files.items():
        if name not in present:
            raise BundleError(f"bundle {path}: file '{name}' is missing; copy the bundle whole or write it again")
        if (path / name).is_symlink():
            raise BundleError(f"bundle {path}: file '{name}' is a link, not a file; write the bundle again")
        require_entry(path, name, expected, describe_file(path / name))
    foreign = sorted(present - set(manifest.files) - {MANIFEST})
    if foreign:
        raise BundleError(
            f"bundle {path}: file '{foreign[0]}' is not in the manifest ({len(foreign)} such files); remove it"
        )
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Return the manifest once its format and its own hash are right, or raise BundleError."""
    return parse_manifest(manifest_of(path), path)


def parse_manifest(content: bytes, place: str | Path) -> Manifest:
    """Return what a manifest's bytes say once format and own hash are right, or raise BundleError naming the place."""
    body = _parse(content, place)
    found = f"{body.get('format')} {body.get('format_version')}"
    if found != f"{FORMAT} {FORMAT_VERSION}":
        raise BundleError(f"bundle {place}: format is '{found}', this code reads '{FORMAT} {FORMAT_VERSION}'")
    expected, actual = body.pop("manifest_sha256", None), digest_json(body)
    if expected != actual:
        raise BundleError(f"bundle {place}: file '{MANIFEST}' has SHA-256 {actual}, expected {expected}")
    del body["format"], body["format_version"]
    return Manifest(**{**body, "files": {name: FileEntry(**entry) for name, entry in body["files"].items()}})


def _parse(content: bytes, place: str | Path) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError as error:
        raise BundleError(f"bundle {place}: file '{MANIFEST}' is damaged, expected JSON: {error}") from error
    if not isinstance(body, dict):
        raise BundleError(f"bundle {place}: file '{MANIFEST}' holds a {type(body).__name__}, expected a JSON object")
    return body


def require_entry(path: Path, name: str, expected: FileEntry, actual: FileEntry) -> None:
    """Raise BundleError when a file's size or hash is not the expected one."""
    if actual.size != expected.size:
        raise BundleError(f"bundle {path}: file '{name}' has {actual.size} bytes, expected {expected.size}")
    if actual.sha256 != expected.sha256:
        raise BundleError(f"bundle {path}: file '{name}' has SHA-256 {actual.sha256}, expected {expected.sha256}")


def describe_file(path: Path) -> FileEntry:
    """Return the hash and size of a file."""
    with path.open("rb") as stream:
        return FileEntry(hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size)


def list_files(path: Path) -> set[str]:
    """Return the relative path of everything under a directory that is not a directory itself."""
    return {entry.relative_to(path).as_posix() for entry in path.rglob("*") if entry.is_symlink() or not entry.is_dir()}


def digest_json(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON-able mapping, whatever the order of its keys.

    >>> digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
