"""Bundles on object stores: swapped in by one PUT, and fetched to a local directory before anything is read.

    BUNDLE/files-<digest of the manifest>/…   one version, its manifest among its files; nothing ever overwrites them
    BUNDLE/manifest.json                      written last; names that version by its own digest

A reader sees the version before or the one after, whatever the writer died of. Former versions stay, `KEPT` of them:
each is a bundle of its own. A bundle directory that was copied to an object store as it is can be read too.
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
KEPT = 10
"""Bundles that stay at one place, the current one among them; the oldest go when the next is written."""

VERSION = "files-"


def local_copy(location: str | Path) -> Path:
    """Return a bundle's local directory, fetching it where the location is a URL.

    Copies are kept under the system's temporary directory, one for each manifest, shared by this user's processes.

    Raises:
        BundleError: there is no bundle, or a file of it is missing.
        InputError: the location cannot be reached.
    """
    url = str(location)
    if not is_remote(url):
        path = Path(location)
        return path.resolve() if path.is_symlink() else path
    content = _read_manifest(url)
    copy = _cache() / digest_of(content)
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
    version = f"{VERSION}{digest_of(content)}"
    with writable(url):
        fs, root = fsspec.core.url_to_fs(url)
        for name in [*json.loads(content)["files"], MANIFEST]:
            fs.put_file(str(directory / name), f"{root}/{version}/{name}")
        write_bytes(content, f"{url}/{MANIFEST}")
        kept = {place.rpartition("/")[2] for place in remote_versions(url)[:KEPT]}
        for path in fs.ls(root, detail=False):
            name = PurePosixPath(path).name
            if name.startswith(VERSION) and name not in kept:
                fs.rm(path, recursive=True)


def current_version(url: str) -> str:
    """Return the URL of the version that a remote bundle now names, which nothing ever overwrites.

    A bundle that was copied there as a directory has no versions: it is its own.

    Raises:
        BundleError: there is no bundle.
        InputError: the place cannot be reached.
    """
    digest = digest_of(_read_manifest(url))
    with writable(url, "be read"):
        fs, root = fsspec.core.url_to_fs(url)
        whole = fs.exists(f"{root}/{VERSION}{digest}/{MANIFEST}")
    return f"{url.rstrip('/')}/{VERSION}{digest}" if whole else url


def remote_versions(url: str) -> list[str]:
    """Return the URLs of the versions kept at a URL, newest first.

    Raises:
        InputError: the place cannot be reached.
    """
    with writable(url, "be read"):
        fs, root = fsspec.core.url_to_fs(url)
        fs.invalidate_cache()
        names = [PurePosixPath(path).name for path in fs.ls(root, detail=False)] if fs.exists(root) else []
        found = []
        for name in names:
            manifest = f"{root}/{name}/{MANIFEST}"
            if name.startswith(VERSION) and fs.exists(manifest):
                found.append((created_of(fs.cat_file(manifest)), name))
    current = digest_of(_read_manifest(url)) if found else ""
    ordered = sorted(found, key=lambda one: (one[1] == f"{VERSION}{current}", one), reverse=True)
    return [f"{url.rstrip('/')}/{name}" for _, name in ordered]


def manifest_of(location: str | Path) -> bytes:
    """Return the manifest of a bundle, unread.

    Raises:
        BundleError: there is none.
        InputError: the location cannot be reached.
    """
    if is_remote(str(location)):
        return _read_manifest(str(location))
    path = Path(location) / MANIFEST
    if not path.is_file():
        raise BundleError(f"bundle {location}: no {MANIFEST} there; give the bundle directory of a trained run")
    return path.read_bytes()


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
            version = f"{root}/{VERSION}{digest_of(content)}"
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


def digest_of(manifest: bytes) -> str:
    """Return the name of the version that a manifest describes, 16 hex digits."""
    return hashlib.sha256(manifest).hexdigest()[:16]


def created_of(manifest: bytes) -> str:
    """Return when a bundle was written, ISO 8601; empty where its manifest cannot be read.

    >>> created_of(b'{"created": "2026-01-02T03:04:05+00:00"}'), created_of(b"{")
    ('2026-01-02T03:04:05+00:00', '')
    """
    try:
        return str(json.loads(manifest)["created"])
    except (ValueError, KeyError, TypeError):
        return ""
