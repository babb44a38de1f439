"""What a bundle becomes in a replica: fitted features, the catalogue of ads that can be ranked, and the ranker."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from rosa_ray.bundle import Bundle, open_bundle
from rosa_ray.calibration import Calibration
from rosa_ray.errors import BundleError
from rosa_ray.features import FeatureState
from rosa_ray.features.live_catalogue import LiveCatalogue
from rosa_ray.inference import context_events, load_ranker
from rosa_ray.models import StateRanker, keeps_states
from rosa_ray.models.gate import Gate


@dataclass(frozen=True)
class ServedModel:
    """A loaded bundle.

    Attributes:
        catalogue: the ads that the bundle brought, and what live records changed of them since.
        device: where the ranker lives.
        calibration: what corrects the ranker's raw scores.
        gate: what chooses λ by the rule `learned`; None in a bundle that has none.
    """

    bundle: Bundle
    features: FeatureState
    catalogue: LiveCatalogue
    ranker: nn.Module
    device: str
    calibration: Calibration
    gate: Gate | None = None

    @property
    def version(self) -> str:
        return self.bundle.model_version

    @property
    def name(self) -> str:
        """Of the ranker, such as `rosa`."""
        return str(self.bundle.model["name"])

    @property
    def keeps_states(self) -> bool:
        """Whether ads are scored against states; else the ranker reads the timeline at each request."""
        return keeps_states(self.ranker)

    @property
    def states(self) -> StateRanker:
        """The ranker, whose states can be kept.

        Raises:
            BundleError: it keeps none.
        """
        if not keeps_states(self.ranker):
            raise BundleError(f"bundle {self.bundle.path}: model '{self.name}' keeps no states")
        return self.ranker

    @property
    def window(self) -> int:
        """States of a user that ads are scored against, W; 0 where none are kept."""
        return self.states.window if self.keeps_states else 0

    @property
    def score_events(self) -> int:
        """Events of a timeline that ads are scored against."""
        return self.states.score_events if self.keeps_states else self.timeline_events

    @property
    def context_events(self) -> int:
        """Events of a timeline that a score can depend on."""
        return context_events(self.ranker)

    @property
    def timeline_events(self) -> int:
        """Events of a timeline to read for a request.

        Where the whole of them is scored, that is one more: the gap of the first is the time since the one before.
        """
        return self.context_events + (not self.keeps_states)


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


def load_served_ranker(bundle: Bundle, features: FeatureState, device: str) -> nn.Module:
    """Rebuild the ranker with its weights, in evaluation mode.

    Raises:
        BundleError: the weights do not fit.
    """
    model = bundle.model
    if model["sizes"] != features.table_sizes:
        raise BundleError(
            f"bundle {bundle.path}: model tables are {model['sizes']}, its features need {features.table_sizes}"
        )
    return load_ranker(model, bundle.weights()).to(device)


def load_model(bundle_path: str | Path) -> ServedModel:
    """Verify a bundle and load all of it, to the GPU where the process has one.

    Raises:
        BundleError: the bundle is missing, damaged, or does not fit this code.
    """
    bundle = open_bundle(bundle_path)
    try:
        return _loaded(bundle)
    except BundleError:
        if not bundle.path.is_symlink():
            raise
        # It was a plain directory when it was opened. Training moved it aside meanwhile, and a link took its place.
        return _loaded(open_bundle(bundle_path))


def _loaded(bundle: Bundle) -> ServedModel:
    features = load_feature_state(bundle)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ranker = load_served_ranker(bundle, features, device)
    return ServedModel(bundle, features, LiveCatalogue(bundle.ads), ranker, device, bundle.calibration, bundle.gate)
