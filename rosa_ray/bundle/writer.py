"""Writes a bundle, all of it or nothing."""

import json
import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rosa_ray.bundle.manifest import (
    CALIBRATION,
    CONFIG,
    FEATURES,
    GATE,
    METRICS,
    MODEL,
    WEIGHTS,
    Manifest,
    describe_file,
    digest_json,
    list_files,
)
from rosa_ray.bundle.remote import MANIFEST, publish
from rosa_ray.bundle.versions import keep
from rosa_ray.calibration import Calibration
from rosa_ray.errors import BundleError
from rosa_ray.schema import CONTRACTS
from rosa_ray.settings.secrets import redact
from rosa_ray.storage import is_remote

if TYPE_CHECKING:
    import torch

_RECORDED_PACKAGES = ("rosa-ray", "torch", "ray", "numpy", "pyarrow", "safetensors")


def write_bundle(
    directory: str | Path,
    *,
    weights: "Mapping[str, torch.Tensor]",
    model: Mapping[str, Any],
    features_saver: Callable[[Path], object],
    feature_fingerprint: str,
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
    calibration: Calibration | None = None,
    gate: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, str | Path] | None = None,
) -> Manifest:
    """Write a bundle aside and put it in place at once, so that no reader ever sees half of one.

    The bundle that was there before stays beside it, see `rosa_ray.bundle.versions`.

    Args:
        directory: where the bundle goes, a directory or a URL; it names this bundle from then on.
        weights: tensors by name, finite, on any device.
        model: ranker name, configuration, table sizes: JSON-able, enough to rebuild the module.
        features_saver: writes the feature state into the directory it is given, such as `FeatureState.save`.
        feature_fingerprint: of that feature state; a server refuses a bundle that disagrees with its code.
        metrics: JSON-able, None where undefined.
        config: the resolved configuration of the run, plain values. Its secrets are hidden.
        calibration: of the raw scores; None leaves them as they are.
        gate: `Gate.to_dict` and whatever else is worth keeping of its fit; None writes a bundle without a gate.
        extra_files: name in the bundle -> file to copy.

    Returns:
        The manifest written.

    Raises:
        BundleError: weights are not finite, a mapping is not plain JSON or YAML, or an extra file is missing or takes
            a reserved name. A bundle already there stays as it was.
    """
    with _draft(directory) as draft:
        (draft / FEATURES).mkdir(parents=True)
        (draft / WEIGHTS).write_bytes(_serialise_weights(weights))
        (draft / MODEL).write_text(_json_text(MODEL, model))
        (draft / METRICS).write_text(_json_text(METRICS, metrics))
        (draft / CONFIG).write_text(_yaml_text(config))
        if calibration is not None:
            (draft / CALIBRATION).write_text(_json_text(CALIBRATION, calibration.to_dict()))
        if gate is not None:
            (draft / GATE).write_text(_json_text(GATE, gate))
        features_saver(draft / FEATURES)
        _copy_extra(draft, extra_files or {})
        manifest = _describe(draft, feature_fingerprint)
        (draft / MANIFEST).write_text(manifest.to_json())
        _sync(draft)
        _place(draft, directory)
    return manifest


def _serialise_weights(weights: "Mapping[str, torch.Tensor]") -> bytes:
    from safetensors.torch import save

    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise BundleError(f"weights '{broken[0]}' hold NaN or infinity ({len(broken)} of {len(weights)} tensors do)")
    return save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()})


def _json_text(name: str, content: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(content), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise BundleError(f"{name} cannot be written as JSON: {error}; use plain values, None for undefined") from error


def _yaml_text(config: Mapping[str, Any]) -> str:
    try:
        return yaml.safe_dump(redact(dict(config)), sort_keys=False)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{CONFIG} cannot be written as YAML: {reason}; use plain values") from error


def _copy_extra(draft: Path, extra_files: Mapping[str, str | Path]) -> None:
    reserved = {MANIFEST, WEIGHTS, MODEL, CALIBRATION, GATE, METRICS, CONFIG, FEATURES}
    for name, source in extra_files.items():
        if name in reserved or Path(name).name != name:
            raise BundleError(f"extra file '{name}': needs a plain name other than {', '.join(sorted(reserved))}")
        if not Path(source).is_file():
            raise BundleError(f"extra file '{name}': {source} does not exist")
        shutil.copyfile(source, draft / name)


def _describe(draft: Path, feature_fingerprint: str) -> Manifest:
    files = {name: describe_file(draft / name) for name in sorted(list_files(draft))}
    contracts = {name: contract.fingerprint for name, contract in sorted(CONTRACTS.items())}
    scoring = {
        name: entry.sha256
        for name, entry in files.items()
        if name in (WEIGHTS, MODEL, CALIBRATION) or name.startswith(f"{FEATURES}/")
    }
    return Manifest(
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        model_version=digest_json({"files": scoring, "features": feature_fingerprint})[:16],
        feature_fingerprint=feature_fingerprint,
        contract_fingerprints=contracts,
        versions={"python": platform.python_version()} | {name: _version(name) for name in _RECORDED_PACKAGES},
        files=files,
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _sync(draft: Path) -> None:
    for entry in [*draft.rglob("*"), draft]:
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _draft(directory: str | Path) -> Iterator[Path]:
    """A new directory that can become the bundle: beside its place, or a temporary one for a URL."""
    if is_remote(str(directory)):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    target = Path(directory).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.draft"
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _place(draft: Path, directory: str | Path) -> None:
    if is_remote(str(directory)):
        publish(draft, str(directory).rstrip("/"))
    else:
        keep(draft, Path(directory).absolute())
