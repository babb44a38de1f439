"""Calibration anew: the model stays, and its probabilities follow the newest validation period.

Levels move from day to day, sooner than what users like does. Training takes hours, scoring one period seconds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rosa_ray.bundle import Bundle, Manifest, open_bundle, write_bundle
from rosa_ray.bundle.manifest import CALIBRATION, CONFIG, FEATURES, GATE, METRICS, MODEL, WEIGHTS
from rosa_ray.calibration import Calibration, CalibrationConfig, CalibrationSums, Curve, HeadSums, fit_calibration
from rosa_ray.calibration.curve import sigmoid
from rosa_ray.calibration.fit import level_error
from rosa_ray.data.user_rows import read_feature_state
from rosa_ray.errors import BundleError, InputError
from rosa_ray.evaluation.calibrating import sum_validation, with_returns
from rosa_ray.features import FeatureState
from rosa_ray.run_dir import DataDir, RunDir
from rosa_ray.storage import absolute

_WRITTEN_ANEW = {CALIBRATION, CONFIG, GATE, METRICS, MODEL, WEIGHTS}


@dataclass(frozen=True)
class Recalibration:
    """What became of a bundle.

    Attributes:
        former, version: of the model, before and after.
        impressions, clicks, conversions: what the calibration was fitted on, as many as the rows stand for.
        pcoc: head, `clicks` or `conversions`, -> predicted over observed with the former calibration, and with the new
            one; heads without a positive are left out.
        level_error: head -> standard error of the log level on a day to come, of few positives and of unequal days.
        fallbacks: parts that nothing could be fitted to, each with the reason.
    """

    former: str
    version: str
    impressions: float
    clicks: float
    conversions: float
    pcoc: dict[str, tuple[float, float]]
    level_error: dict[str, float]
    fallbacks: dict[str, str]


def recalibrate(
    config: CalibrationConfig,
    *,
    data_dir: str,
    run_dir: str,
    actors: int = 1,
    use_gpu: bool | Literal["auto"] = "auto",
) -> Recalibration:
    """Fit the calibration of a run's bundle on preprocessed data, and write the bundle with it.

    Weights, features, gate and catalogue stay. Ray must be initialised where `calibrate` needs it.

    Args:
        data_dir: what preprocessing wrote, of any period, with the features' settings of the bundle.

    Raises:
        BundleError: there is no bundle, or the data has other features.
        InputError: there is no preprocessed data, or its validation period has no impressions.
    """
    layout, place = DataDir(absolute(data_dir)), RunDir(absolute(run_dir))
    bundle = open_bundle(place.bundle)
    state = bundle.features(FeatureState.load)
    if read_feature_state(layout.features).config.definition() != state.config.definition():
        raise BundleError(f"bundle {bundle.location}: {layout.root} has other settings of features; train again")
    sums = sum_validation(bundle.model, bundle.weights(), state, layout, actors, use_gpu)
    if not sums.ctr.total_rows:
        raise InputError(f"{layout.users}: the validation period has no impressions; raise preprocess.valid_fraction")
    model = bundle.model, bundle.weights(), state
    fitted = with_returns(fit_calibration(sums, config), sums, config, model, layout, use_gpu)
    manifest = _write(place.bundle, bundle, state, fitted)
    return Recalibration(
        former=bundle.model_version,
        version=manifest.model_version,
        impressions=sums.ctr.total_rows,
        clicks=sums.ctr.total_positives,
        conversions=sums.cvr.total_positives,
        pcoc=_pcocs(sums, bundle.calibration, fitted),
        level_error={
            name: level_error(head.total_positives, config.day_spread, sums.days)
            for name, head in (("clicks", sums.ctr), ("conversions", sums.cvr))
        },
        fallbacks=dict(fitted.fallbacks),
    )


def pcoc_of(sums: HeadSums, curve: Curve) -> float:
    """Predicted over observed of one head under a curve.

    >>> import numpy as np
    >>> round(pcoc_of(HeadSums().update(np.array([0.5, 0.5]), np.array([1, 0])), Curve()), 9)
    1.0
    """
    x, rows, positives = sums.table()
    return float(rows @ sigmoid(curve.logits(x)) / positives.sum())


def _pcocs(sums: CalibrationSums, former: Calibration, fitted: Calibration) -> dict[str, tuple[float, float]]:
    heads = {"clicks": (sums.ctr, former.ctr, fitted.ctr), "conversions": (sums.cvr, former.cvr, fitted.cvr)}
    return {
        name: (pcoc_of(head, before), pcoc_of(head, after))
        for name, (head, before, after) in heads.items()
        if head.total_positives
    }


def _write(directory: str, bundle: Bundle, state: FeatureState, calibration: Calibration) -> Manifest:
    others: dict[str, str | Path] = {
        name: bundle.file(name)
        for name in bundle.manifest.files
        if name not in _WRITTEN_ANEW and not name.startswith(f"{FEATURES}/")
    }
    return write_bundle(
        directory,
        weights=bundle.weights(),
        model=bundle.model,
        features_saver=state.save,
        feature_fingerprint=state.fingerprint,
        metrics=bundle.metrics,
        config=bundle.config,
        calibration=calibration,
        gate=None if bundle.gate is None else bundle.gate.to_dict(),
        extra_files=others,
    )
