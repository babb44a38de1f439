"""The bundles that one place has named: each lies in a directory of its own, and nothing ever changes one.

    RUN/bundle                   a link to the current bundle, swapped by one rename
    RUN/bundles/<digest>/        the bundles, by the digest of their manifest, the last `KEPT` of them

A service opens what the link names when it is deployed, and stays with it: training may write the next one meanwhile.
On an object store the versions lie below the bundle itself, see `rosa_ray.bundle.remote`.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from rosa_ray.bundle.manifest import parse_manifest
from rosa_ray.bundle.remote import (
    KEPT,
    MANIFEST,
    VERSION,
    created_of,
    current_version,
    digest_of,
    manifest_of,
    remote_versions,
)
from rosa_ray.errors import BundleError
from rosa_ray.storage import is_remote


def keep(draft: Path, target: Path) -> None:
    """Move a complete bundle to a directory of its own and make it the one that `target` names."""
    home = _home(target)
    home.mkdir(exist_ok=True)
    place = home / digest_of((draft / MANIFEST).read_bytes())
    if not place.exists():
        draft.rename(place)
    link = draft.with_suffix(".link")
    link.symlink_to(f"{home.name}/{place.name}")
    if target.is_dir() and not target.is_symlink():
        _keep_former(target, home)
    link.replace(target)
    for old in _kept(target)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def pinned(location: str | Path, model_version: str = "") -> str:
    """Return where a bundle lies that nothing will change: the one that `location` names, or the newest of a model.

    Args:
        location: a bundle, a directory or a URL.
        model_version: of the wanted model; empty takes the current bundle.

    Raises:
        BundleError: there is no bundle, or none of that model.
        InputError: the place cannot be reached.
    """
    if not model_version:
        return _current(location)
    versions = model_versions(location)
    if model_version not in versions.values():
        known = ", ".join(dict.fromkeys(versions.values())) or "none"
        raise BundleError(f"bundle {location}: no bundle of model {model_version} is kept there; it has {known}")
    return next(place for place, model in versions.items() if model == model_version)


def model_versions(location: str | Path) -> dict[str, str]:
    """Return the bundles kept at a place with the versions of their models: the current one first, then by age.

    A kept bundle whose manifest is damaged is left out.

    Raises:
        BundleError: there is no bundle, or the manifest of the current one is damaged.
        InputError: the place cannot be reached.
    """
    current = _current(location)
    versions = {current: model_of(current)}
    for place in _former(location):
        if place not in versions:
            with suppress(BundleError):
                versions[place] = model_of(place)
    return versions


def model_of(place: str) -> str:
    """Return the version of the model in a bundle, by its manifest alone.

    Raises:
        BundleError: there is no bundle, or its manifest is damaged.
        InputError: the place cannot be reached.
    """
    return parse_manifest(manifest_of(place), place).model_version


def home_of(location: str | Path) -> str:
    """Return the directory that a bundle lies in, such as its run; of a kept bundle, that of the one that names it.

    >>> home_of("s3://bucket/run/bundle"), home_of("s3://bucket/run/bundle/files-1a2b")
    ('s3://bucket/run', 's3://bucket/run')
    """
    if is_remote(str(location)):
        above, _, name = str(location).rstrip("/").rpartition("/")
        return above.rpartition("/")[0] if name.startswith(VERSION) else above
    place = Path(location)
    named = place.parent.with_name(place.parent.name.removesuffix("s")) if place.parent.name else place
    return str(place.parent.parent if named != place.parent and named.is_symlink() else place.parent)


def _current(location: str | Path) -> str:
    return current_version(str(location)) if is_remote(str(location)) else str(Path(location).resolve())


def _former(location: str | Path) -> list[str]:
    if is_remote(str(location)):
        return remote_versions(str(location))
    return [str(place.resolve()) for place in _kept(Path(location).absolute())]


def _home(target: Path) -> Path:
    return target.with_name(f"{target.name}s")


def _keep_former(target: Path, home: Path) -> None:
    """A bundle from before there were links: a directory where the link is to be."""
    manifest = target / MANIFEST
    former = home / digest_of(manifest.read_bytes() if manifest.is_file() else b"")
    if former.exists():
        shutil.rmtree(target)
    else:
        target.rename(former)


def _kept(target: Path) -> list[Path]:
    """Bundles beside a link, the current one first, then by age."""
    current = target.resolve()
    places = [manifest.parent for manifest in _home(target).glob(f"*/{MANIFEST}")]
    return sorted(places, key=lambda place: _rank(place, place.resolve() == current), reverse=True)


def _rank(place: Path, is_current: bool) -> tuple[bool, str, str]:
    return is_current, created_of((place / MANIFEST).read_bytes()), place.name
