"""Other bundles of the same run: what a training of the next day would write."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from rosa_ray.bundle import GATE, open_bundle, write_bundle
from rosa_ray.bundle.manifest import CALIBRATION, CONFIG, FEATURES, METRICS, MODEL, WEIGHTS
from rosa_ray.features import FeatureState

_WRITTEN = {CALIBRATION, CONFIG, GATE, METRICS, MODEL, WEIGHTS}


def refit(source: Path, target: Path, seed: int, other_fit: bool = False) -> str:
    """Write the bundle of a model that was trained again; returns its version.

    Args:
        other_fit: the features too were fitted anew, on other data, so that their fingerprint is another.
    """
    bundle = open_bundle(source)
    state = bundle.features(FeatureState.load)
    if other_fit:
        state = _fitted_again(state, seed)
    draw = np.random.default_rng(seed)
    weights = {
        name: one * (1 + 0.01 * float(draw.random())) if one.is_floating_point() else one
        for name, one in bundle.weights().items()
    }
    with tempfile.TemporaryDirectory() as folder:
        extra = {}
        for name in bundle.manifest.files:
            if name not in _WRITTEN and not name.startswith(f"{FEATURES}/"):
                extra[name] = Path(shutil.copy(bundle.file(name), folder))
        manifest = write_bundle(
            target,
            weights=weights,
            model=bundle.model,
            features_saver=state.save,
            feature_fingerprint=state.fingerprint,
            metrics=bundle.metrics,
            config=bundle.config,
            calibration=bundle.calibration if CALIBRATION in bundle.manifest.files else None,
            gate=None if bundle.gate is None else bundle.gate.to_dict(),
            extra_files=extra,
        )
    return manifest.model_version


def _fitted_again(state: FeatureState, seed: int) -> FeatureState:
    """What the features learned of slightly other data."""
    return replace(state, dense_mean=state.dense_mean + 1e-3 * (seed + 1))
