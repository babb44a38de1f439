"""The model bundle: one directory that holds all a server needs to score, and a manifest that proves it intact.

    manifest.json       format, model version, feature and contract fingerprints, SHA-256 and size of every other file
    model.safetensors   weights
    model.json          ranker name, its configuration and table sizes
    features/           what `FeatureState.save` wrote: vocabularies and scalers
    calibration.json    what corrects the raw scores; without it they stand as they are
    gate.json           what chooses between stored and fresh scores, and the report of its fit; may be missing
    metrics.json        test metrics of this model
    config.yaml         the resolved configuration of the run
    ads.parquet         the catalogue that the model was trained with
    …                   extra files named by the writer

Neither safetensors nor torch notices a flipped bit, so hashes are checked before anything is loaded.
"""

from rosa_ray.bundle.manifest import ADS, FORMAT, FORMAT_VERSION, GATE, FileEntry, Manifest, verify_bundle
from rosa_ray.bundle.reader import Bundle, open_bundle
from rosa_ray.bundle.remote import MANIFEST
from rosa_ray.bundle.versions import home_of, model_of, model_versions, pinned
from rosa_ray.bundle.writer import write_bundle

__all__ = [
    "ADS",
    "FORMAT",
    "FORMAT_VERSION",
    "GATE",
    "MANIFEST",
    "Bundle",
    "FileEntry",
    "Manifest",
    "home_of",
    "model_of",
    "model_versions",
    "open_bundle",
    "pinned",
    "verify_bundle",
    "write_bundle",
]
