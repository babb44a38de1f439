"""Bundles that cannot be served are refused with one line."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rosa_ray.bundle import open_bundle, write_bundle
from rosa_ray.errors import BundleError
from rosa_ray.features import FeatureState
from rosa_ray.models.item_vectors import LAST
from rosa_ray.serving.model import load_model
from tests.serving.conftest import World
from tests.synthetic import ads_table


def rewritten(world: World, home: Path, **changes: object) -> Path:
    """The bundle written again with some parts changed."""
    bundle = open_bundle(world.bundle)
    parts = {
        "weights": bundle.weights(),
        "model": bundle.model,
        "features_saver": world.features.save,
        "feature_fingerprint": world.features.fingerprint,
        "metrics": {},
        "config": {},
        "extra_files": {"ads.parquet": bundle.file("ads.parquet")},
    }
    write_bundle(home / "bundle", **(parts | changes))
    return home / "bundle"


def test_a_damaged_file_is_named(world: World, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(world.bundle, tmp_path / "bundle"))
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BundleError, match=r"file 'model.safetensors' has SHA-256"):
        load_model(copy)


def test_features_of_another_fit_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="was trained on features other"):
        load_model(rewritten(world, tmp_path, feature_fingerprint="other"))


def test_tables_of_other_sizes_are_refused(world: World, tmp_path: Path) -> None:
    model = open_bundle(world.bundle).model
    changed = model | {"sizes": model["sizes"] | {"item": 3}}
    with pytest.raises(BundleError, match="its features need"):
        load_model(rewritten(world, tmp_path, model=changed))


def test_missing_or_wrong_ads_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no 'ads.parquet'"):
        load_model(rewritten(world, tmp_path, extra_files={}))
    for name, table in {"empty": ads_table().slice(0, 0), "short": ads_table().drop_columns("bid")}.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
        with pytest.raises(BundleError, match=r"holds no ads|'bid' is missing"):
            load_model(rewritten(world, tmp_path, extra_files={"ads.parquet": tmp_path / f"{name}.parquet"}))


def test_the_loaded_model_is_what_was_written(world: World) -> None:
    model = load_model(world.bundle)
    assert model.version == world.model.version
    assert model.features.fingerprint == FeatureState.load(world.bundle / "features").fingerprint
    assert not model.ranker.training
    assert (model.window, model.context_events) == (4, LAST), "likeness reads further back than states"
    assert len(model.catalogue) == 30
