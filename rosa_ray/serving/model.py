"""What a bundle becomes in a replica: fitted features, the catalogue of ads that can be ranked, and the ranker."""

from dataclasses import dataclass
from pathlib import Path

import torch

from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.calibration import Calibration
from rosa_ray.errors import BundleError
from rosa_ray.features import FeatureState
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.inference import load_ranker
from rosa_ray.models.gate import Gate
from rosa_ray.models.rankers.rosa import Ranker


@dataclass(frozen=True)
class ServedModel:
    """A loaded bundle.

    Attributes:
        catalogue: the ads that the bundle brought, and what live records changed of them since.
        context_events: events of a timeline that the last window of states can depend on.
        device: where the ranker lives.
        calibration: what corrects the ranker's raw scores.
        gate: what chooses λ by the rule `learned`; None in a bundle that has none.
    """

    bundle: Bundle
    features: FeatureState
    catalogue: LiveCatalogue
    ranker: Ranker
    device: str
    calibration: Calibration
    gate: Gate | None = None

    @property
    def version(self) -> str:
        return self.bundle.model_version

    @property
    def window(self) -> int:
        return self.ranker.config.window

    @property
    def score_events(self) -> int:
        return self.ranker.score_events

    @property
    def context_events(self) -> int:
        return self.ranker.context_events


def load_feature_state(bundle: Bundle) -> FeatureState:
    """Load the fitted features.

    Raises:
        BundleError: they do not fit this code or the bundle's own manifest.
    """
    state = bundle.features(FeatureState.load)
    if state.fingerprint != bundle.feature_fingerprint:
        raise BundleError(
            f"bundle {bundle.path}: its model was trained on features {bundle.feature_fingerprint}, "
            f"the features inside are {state.fingerprint}; write the bundle again"
        )
    return state


def load_served_ranker(bundle: Bundle, features: FeatureState, device: str) -> Ranker:
    """Rebuild the ranker with its weights, in evaluation mode.

    Raises:
        BundleError: the weights do not fit, or the ranker cannot be served from stored states.
    """
    model = bundle.model
    if model["sizes"] != features.table_sizes:
        raise BundleError(
            f"bundle {bundle.path}: model tables are {model['sizes']}, its features need {features.table_sizes}"
        )
    ranker = load_ranker(model, bundle.weights())
    if not isinstance(ranker, Ranker):
        raise BundleError(f"bundle {bundle.path}: model '{model['name']}' has no encoder states; serve model 'rosa'")
    return ranker.to(device)


def load_model(bundle_path: str | Path) -> ServedModel:
    """Verify a bundle and load all of it, to the GPU where the process has one.

    Raises:
        BundleError: the bundle is missing, damaged, or does not fit this code.
    """
    bundle = open_bundle(bundle_path)
    features = load_feature_state(bundle)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ranker = load_served_ranker(bundle, features, device)
    return ServedModel(bundle, features, LiveCatalogue(bundle.ads), ranker, device, bundle.calibration, bundle.gate)
