"""Opens a bundle: verify first, load after."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import yaml

from rosa_ray.bundle.manifest import (
    ADS,
    CALIBRATION,
    CONFIG,
    FEATURES,
    GATE,
    METRICS,
    MODEL,
    WEIGHTS,
    FileEntry,
    Manifest,
    require_entry,
    verified_copy,
)
from rosa_ray.calibration import Calibration
from rosa_ray.errors import BundleError, ContractError, InputError
from rosa_ray.schema import contracts
from rosa_ray.storage import read_parquet

if TYPE_CHECKING:
    import torch

    from rosa_ray.models.gate import Gate

_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. Its loaders read files that had the right hash when the bundle was opened.

    Attributes:
        path: the local directory, of a remote bundle the copy that was fetched.
        location: what was opened, a directory or a URL; other machines open it by that.
    """

    path: Path
    manifest: Manifest
    location: str

    @property
    def model_version(self) -> str:
        """Content hash of all that decides scores, 16 hex digits."""
        return self.manifest.model_version

    @property
    def feature_fingerprint(self) -> str:
        """Fingerprint of the feature state the model was trained on."""
        return self.manifest.feature_fingerprint

    @property
    def model(self) -> dict[str, Any]:
        """Ranker name, configuration and table sizes, as given to `write_bundle`."""
        model: dict[str, Any] = json.loads(self._verified(MODEL))
        return model

    @property
    def calibration(self) -> Calibration:
        """What corrects the raw scores; the identity in a bundle that has none.

        Raises:
            BundleError: the file is not of the format this code reads.
        """
        if CALIBRATION not in self.manifest.files:
            return Calibration()
        try:
            return Calibration.from_dict(json.loads(self._verified(CALIBRATION)))
        except ValueError as error:
            raise BundleError(f"bundle {self.path}: file '{CALIBRATION}' cannot be used: {error}") from error

    @property
    def gate(self) -> "Gate | None":
        """What chooses λ by the rule `learned`; None in a bundle that has none.

        Raises:
            BundleError: the file is not of the format this code reads.
        """
        from rosa_ray.models.gate import Gate

        if GATE not in self.manifest.files:
            return None
        try:
            return Gate.from_dict(json.loads(self._verified(GATE)))
        except ValueError as error:
            raise BundleError(f"bundle {self.path}: file '{GATE}' cannot be used: {error}") from error

    @property
    def metrics(self) -> dict[str, Any]:
        """Test metrics, as given to `write_bundle`."""
        metrics: dict[str, Any] = json.loads(self._verified(METRICS))
        return metrics

    @property
    def config(self) -> dict[str, Any]:
        """Resolved configuration of the run."""
        config: dict[str, Any] = yaml.safe_load(self._verified(CONFIG))
        return config

    def weights(self, device: str = "cpu") -> "dict[str, torch.Tensor]":
        """Return the tensors by name. The bytes that are loaded are the bytes that are hashed.

        Raises:
            BundleError: the file changed since the bundle was opened, it is no safetensors, or a weight is not finite.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(self._verified(WEIGHTS))
        except SafetensorError as error:
            raise BundleError(f"bundle {self.path}: file '{WEIGHTS}' cannot be read: {error}; train again") from error
        if broken := [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]:
            raise BundleError(f"bundle {self.path}: weights '{broken[0]}' hold NaN or infinity; train again")
        return {name: tensor.to(device) for name, tensor in tensors.items()}

    def features(self, load: Callable[[Path], _Loaded]) -> _Loaded:
        """Return what `load` (such as `FeatureState.load`) makes of the `features/` directory."""
        return load(self.path / FEATURES)

    @property
    def ads(self) -> pa.Table:
        """The catalogue that the model was trained with: rows of the ads contract, one per version of an ad.

        Raises:
            BundleError: there are no ads, or they break the ads contract, or an ad begins twice at one moment.
        """
        path = self.file(ADS)
        try:
            table = read_parquet(str(path))
            if lacking := contracts.ADS.lacking(table.column_names):
                raise ContractError(f"column '{lacking[0]}' is missing")
            ads, violations = contracts.ADS.check(contracts.ADS.without_absent(table), str(path))
        except (ContractError, InputError) as error:
            raise BundleError(f"bundle {self.path}: ads cannot be read: {error}") from error
        if violations or not ads.num_rows:
            raise BundleError(f"bundle {self.path}: {violations[0] if violations else f'{ADS} holds no ads'}")
        if ads.group_by(["ad_id", "valid_from"]).aggregate([]).num_rows < ads.num_rows:
            raise BundleError(f"bundle {self.path}: {ADS} names an ad twice; rows of one ad must differ in valid_from")
        return ads

    def file(self, name: str) -> Path:
        """Return the path of one file of the bundle, such as `ads.parquet`.

        Raises:
            BundleError: the bundle has no such file.
        """
        if name not in self.manifest.files:
            raise BundleError(f"bundle {self.path}: has no '{name}'; it holds {', '.join(sorted(self.manifest.files))}")
        return self.path / name

    def _verified(self, name: str) -> bytes:
        path = self.file(name)
        if not path.is_file():
            raise BundleError(f"bundle {self.path}: file '{name}' is gone since the bundle was opened; open it again")
        content = path.read_bytes()
        actual = FileEntry(hashlib.sha256(content).hexdigest(), len(content))
        require_entry(self.path, name, self.manifest.files[name], actual)
        return content


def open_bundle(directory: str | Path, expected_feature_fingerprint: str | None = None) -> Bundle:
    """Verify a bundle and return it with its loaders.

    Args:
        directory: of the bundle, or its URL.
        expected_feature_fingerprint: of the features this code computes; None skips the comparison.

    Raises:
        BundleError: as `verify_bundle`, or the model was trained on other features.
    """
    try:
        path, manifest = verified_copy(directory)
    except BundleError:
        if not Path(directory).is_symlink():
            raise
        path, manifest = verified_copy(directory)  # a bundle of before there were links, which became one meanwhile
    if expected_feature_fingerprint not in (None, manifest.feature_fingerprint):
        raise BundleError(
            f"bundle {directory}: model {manifest.model_version} was trained on features "
            f"{manifest.feature_fingerprint}, this code computes {expected_feature_fingerprint}; "
            "serve it with the code it was built by, or train again"
        )
    return Bundle(path, manifest, str(directory))
