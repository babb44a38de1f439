"""A bundle on S3: a reader sees the version before or the one after, whatever the writer died of."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from rosa_ray.bundle import cache, model_versions, open_bundle, pinned, verify_bundle, write_bundle
from rosa_ray.errors import BundleError

URL = "s3://runs/demo/bundle"


@pytest.fixture(autouse=True)
def own_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def write(value: float, place: str | Path = URL) -> str:
    def save(folder: Path) -> None:
        (folder / "vocab").mkdir()
        (folder / "vocab" / "items.json").write_text("[1]")

    manifest = write_bundle(
        place,
        weights={"w": torch.full((3,), value)},
        model={"name": "rosa"},
        features_saver=save,
        feature_fingerprint="f00d",
        metrics={"auc": value},
        config={"seed": 1},
    )
    return manifest.model_version


def test_what_is_written_is_read_back_and_replaced_by_one_put(s3: Any) -> None:
    versions = [write(value) for value in (1.0, 2.0, 3.0)]
    bundle = open_bundle(URL, "f00d")
    assert bundle.model_version == versions[-1]
    assert bundle.weights()["w"].tolist() == [3.0, 3.0, 3.0]
    assert bundle.location == URL
    assert bundle.path.is_dir()
    assert bundle.features(lambda folder: (folder / "vocab" / "items.json").read_text()) == "[1]"


def test_former_versions_stay_until_there_are_ten_others(s3: Any) -> None:
    versions = [write(float(value)) for value in range(12)]
    kept = model_versions(URL)
    assert list(kept.values()) == versions[:1:-1]
    assert len([path for path in s3.ls("runs/demo/bundle") if "/files-" in path]) == 10
    assert pinned(URL) == next(iter(kept))
    assert pinned(URL, versions[5]).startswith(f"{URL}/files-")
    bundle = open_bundle(pinned(URL, versions[5]))
    assert (bundle.model_version, bundle.weights()["w"].tolist()) == (versions[5], [5.0] * 3)
    with pytest.raises(BundleError, match=rf"no bundle of model {versions[0]} is kept there; it has {versions[11]}, "):
        pinned(URL, versions[0])


def test_what_is_pinned_stays_when_the_next_is_written(s3: Any) -> None:
    former = write(1.0)
    place = pinned(URL)
    later = write(2.0)
    assert verify_bundle(place).model_version == former
    assert verify_bundle(URL).model_version == later


def test_a_writer_that_dies_half_way_leaves_the_former_version(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    former = write(1.0)
    monkeypatch.setattr("rosa_ray.bundle.remote.write_bytes", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(2.0)
    assert open_bundle(URL).model_version == former


def test_a_reader_of_the_version_before_still_finds_its_files(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    former = write(1.0)
    manifest = s3.cat_file("runs/demo/bundle/manifest.json")
    write(2.0)
    monkeypatch.setattr("rosa_ray.bundle.remote._read_manifest", lambda _: manifest)
    assert open_bundle(URL).model_version == former


def test_a_local_bundle_copied_there_as_it_is(s3: Any, tmp_path: Path) -> None:
    version = write(4.0, tmp_path / "local")
    s3.put(str(tmp_path / "local"), "runs/copied/bundle", recursive=True)
    assert open_bundle("s3://runs/copied/bundle").model_version == version


@pytest.mark.parametrize("damage", ["truncated", "removed", "no manifest", "foreign", "empty"])
def test_a_copy_that_was_damaged_here_is_fetched_again(s3: Any, tmp_path: Path, damage: str) -> None:
    version = write(6.0, "s3://runs/healed")
    copy = open_bundle("s3://runs/healed").path
    match damage:
        case "truncated":
            (copy / "model.safetensors").write_bytes(b"half")
        case "removed":
            (copy / "features" / "vocab" / "items.json").unlink()
        case "no manifest":
            (copy / "manifest.json").unlink()
        case "foreign":
            (copy / "other").touch()
        case "empty":
            shutil.rmtree(copy)
            copy.mkdir()
    bundle = open_bundle("s3://runs/healed")
    assert (bundle.model_version, bundle.path) == (version, copy)
    assert bundle.weights()["w"].tolist() == [6.0, 6.0, 6.0]
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_copies_that_nobody_opens_go_but_for_the_last_few(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        write(float(number), f"s3://runs/many{number}")
        open_bundle(f"s3://runs/many{number}")
    (folder,) = tmp_path.glob("rosa-bundles-*")
    (folder / ".draft-broken").mkdir()
    assert len([*folder.iterdir()]) == 9
    tomorrow_s = time.time() + cache.UNUSED_S + 60
    kept = open_bundle("s3://runs/many0").path
    os.utime(kept, (tomorrow_s, tomorrow_s))
    cache.prune(folder, tomorrow_s)
    assert len([*folder.iterdir()]) == cache.COPIES
    assert open_bundle("s3://runs/many0").path == kept
    assert open_bundle("s3://runs/many1").weights()["w"].tolist() == [1.0] * 3


def test_what_is_damaged_or_missing_is_said(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"s3://runs/none: no manifest\.json there; give the bundle directory"):
        open_bundle("s3://runs/none")
    write(5.0, "s3://runs/broken")
    (weights,) = s3.glob("runs/broken/files-*/model.safetensors")
    s3.pipe_file(weights, s3.cat_file(weights)[:-1] + b"?")
    with pytest.raises(BundleError, match=r"'model\.safetensors' has SHA-256"):
        verify_bundle("s3://runs/broken")
    shutil.rmtree(next(tmp_path.glob("rosa-bundles-*")))
    s3.rm_file(weights)
    with pytest.raises(BundleError, match=r"s3://runs/broken: file 'model\.safetensors' is missing; write"):
        verify_bundle("s3://runs/broken")
    s3.pipe_file("runs/wicked/manifest.json", b'{"files": {"../../outside": {}}}')
    with pytest.raises(BundleError, match="lies outside the bundle"):
        open_bundle("s3://runs/wicked")
