"""Bundles on object stores: swapped in by one PUT, and fetched to a local directory before anything is read.

    BUNDLE/files-<digest of the manifest>/…   the files of one version; nothing ever overwrites them
    BUNDLE/manifest.json                      written last; names that version by its own digest

A reader sees the version before or the one after, whatever the writer died of. The version before the current one
stays for those who read its manifest just before; older ones are removed. A bundle directory that was copied to an
object store as it is can be read too.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

import fsspec

from rosa_ray.bundle.cache import discard, mark_used, prune
from rosa_ray.errors import BundleError
from rosa_ray.storage import is_remote, writable, write_bytes

MANIFEST = "manifest.json"

_VERSION = "files-"


def local_copy(location: str | Path) -> Path:
    """Return a bundle's local directory, fetching it where the location is a URL.

    Copies are kept under the system's temporary directory, one for each manifest, shared by this user's processes.

    Raises:
        BundleError: there is no bundle, or a file of it is missing.
        InputError: the location cannot be reached.
    """
    url = str(location)
    if not is_remote(url):
        return Path(location)
    content = _read_manifest(url)
    copy = _cache() / _digest(content)
    if not (copy / MANIFEST).is_file():
        _fetch(url, content, copy)
        prune(copy.parent)
    mark_used(copy)
    return copy


def publish(directory: Path, url: str) -> None:
    """Upload a complete local bundle and make it the current version at a URL.

    Raises:
        InputError: the place cannot be reached or written.
    """
    content = (directory / MANIFEST).read_bytes()
    with writable(url):
        fs, root = fsspec.core.url_to_fs(url)
        former = fs.cat_file(f"{root}/{MANIFEST}") if fs.exists(f"{root}/{MANIFEST}") else b""
        for name in json.loads(content)["files"]:
            fs.put_file(str(directory / name), f"{root}/{_VERSION}{_digest(content)}/{name}")
        write_bytes(content, f"{url}/{MANIFEST}")
        kept = {f"{_VERSION}{_digest(manifest)}" for manifest in (content, former)}
        for path in fs.ls(root, detail=False):
            name = PurePosixPath(path).name
            if name.startswith(_VERSION) and name not in kept:
                fs.rm(path, recursive=True)


def _read_manifest(url: str) -> bytes:
    with writable(url, "be read"):
        fs, root = fsspec.core.url_to_fs(url)
        if not fs.exists(f"{root}/{MANIFEST}"):
            raise BundleError(f"bundle {url}: no {MANIFEST} there; give the bundle directory of a trained run")
        return bytes(fs.cat_file(f"{root}/{MANIFEST}"))


def _fetch(url: str, content: bytes, copy: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=copy.parent))
    try:
        with writable(url, "be read"):
            fs, root = fsspec.core.url_to_fs(url)
            version = f"{root}/{_VERSION}{_digest(content)}"
            base = version if fs.exists(version) else root
            for name in _file_names(url, content):
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                try:
                    fs.get_file(f"{base}/{name}", str(draft / name))
                except FileNotFoundError as error:
                    raise BundleError(f"bundle {url}: file '{name}' is missing; write the bundle again") from error
        (draft / MANIFEST).write_bytes(content)
        if not (copy / MANIFEST).is_file():
            discard(copy)
        if not copy.exists():
            draft.rename(copy)
    except OSError:
        if not (copy / MANIFEST).is_file():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _file_names(url: str, content: bytes) -> list[str]:
    try:
        names = list(json.loads(content)["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"bundle {url}: file '{MANIFEST}' is damaged; write the bundle again") from error
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BundleError(f"bundle {url}: file '{MANIFEST}' names '{name}', which lies outside the bundle")
    return names


def _cache() -> Path:
    folder = Path(tempfile.gettempdir()) / f"rosa-bundles-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise BundleError(f"{folder}: belongs to another user; set TMPDIR to a directory of your own")
    return folder


def _digest(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()[:16]
