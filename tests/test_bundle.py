import json
import shutil
from pathlib import Path

import pytest
import torch

from rosa_ray.bundle import model_versions, open_bundle, pinned, verify_bundle, write_bundle
from rosa_ray.calibration import Calibration, Curve
from rosa_ray.errors import BundleError
from rosa_ray.models.gate import Gate, GateConfig
from rosa_ray.schema import EVENTS

WEIGHTS = {"encoder.weight": torch.arange(12.0).reshape(3, 4), "count": torch.tensor([7])}


def _save_features(directory: Path) -> None:
    (directory / "vocab").mkdir()
    (directory / "vocab" / "items.json").write_text("[1, 2, 3]")


def _write(directory: Path, **changes: object) -> str:
    parts = {
        "weights": WEIGHTS,
        "model": {"ranker": "rosa", "config": {"d": 4}, "sizes": {"items": 3}},
        "features_saver": _save_features,
        "feature_fingerprint": "f00d",
        "metrics": {"auc": 0.8, "cvr_auc": None},
        "config": {"seed": 1, "model": {"d": 4}},
    }
    return write_bundle(directory, **{**parts, **changes}).model_version


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    _write(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_what_is_written_is_read_back(tmp_path):
    (tmp_path / "ads.parquet").write_bytes(b"ads")
    version = _write(tmp_path / "bundle", extra_files={"ads.parquet": tmp_path / "ads.parquet"})
    bundle = open_bundle(tmp_path / "bundle", "f00d")
    assert bundle.model_version == version
    assert bundle.feature_fingerprint == "f00d"
    assert bundle.model["sizes"] == {"items": 3}
    assert bundle.metrics == {"auc": 0.8, "cvr_auc": None}
    assert bundle.config == {"seed": 1, "model": {"d": 4}}
    assert bundle.features(lambda path: json.loads((path / "vocab" / "items.json").read_text())) == [1, 2, 3]
    assert bundle.file("ads.parquet").read_bytes() == b"ads"
    weights = bundle.weights()
    assert weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(weights[name], WEIGHTS[name]) for name in WEIGHTS)


def test_the_calibration_is_read_back_and_decides_the_version(tmp_path):
    plain, calibration = _write(tmp_path / "plain"), Calibration(ctr=Curve((-1.0, 2.0), (-1.5, 2.5)), value_factor=1.1)
    assert _write(tmp_path / "bundle", calibration=calibration) != plain
    assert open_bundle(tmp_path / "bundle").calibration == calibration
    assert "calibration.json" in verify_bundle(tmp_path / "bundle").files


def test_a_bundle_without_calibration_leaves_scores_alone(bundle):
    assert open_bundle(bundle).calibration == Calibration()


def test_a_calibration_that_was_changed_or_cannot_be_read_is_refused(tmp_path, monkeypatch):
    _write(tmp_path / "bundle", calibration=Calibration(value_factor=1.5))
    opened, path = open_bundle(tmp_path / "bundle"), tmp_path / "bundle" / "calibration.json"
    path.write_text(path.read_text().replace("1.5", "9.5"))
    with pytest.raises(BundleError, match=r"'calibration.json' has SHA-256"):
        _ = opened.calibration
    with pytest.raises(BundleError, match=r"'calibration.json' has SHA-256"):
        open_bundle(tmp_path / "bundle")
    monkeypatch.setattr(Calibration, "to_dict", lambda self: {"version": 3})
    _write(tmp_path / "later", calibration=Calibration())
    with pytest.raises(BundleError, match=r"cannot be used: its version is 3, this code reads 1 and 2"):
        _ = open_bundle(tmp_path / "later").calibration


def test_the_gate_is_read_back_and_does_not_decide_the_version(tmp_path, bundle):
    gate = Gate(GateConfig(hidden=2))
    gate.threshold = 0.8
    version = _write(tmp_path / "gated", gate=gate.to_dict() | {"report": {"pairs": 12}})
    assert version == open_bundle(bundle).model_version
    back = open_bundle(tmp_path / "gated").gate
    assert (back.threshold, back.config.hidden) == (0.8, 2)
    assert back.to_dict() == gate.to_dict()
    assert open_bundle(bundle).gate is None


def test_a_gate_that_was_changed_or_cannot_be_read_is_refused(tmp_path):
    _write(tmp_path / "bundle", gate=Gate().to_dict() | {"version": 9})
    with pytest.raises(BundleError, match=r"'gate.json' cannot be used: its version is 9"):
        _ = open_bundle(tmp_path / "bundle").gate
    path = tmp_path / "bundle" / "gate.json"
    path.write_text(path.read_text().replace("0.5", "0.9"))
    with pytest.raises(BundleError, match=r"'gate.json' has SHA-256"):
        open_bundle(tmp_path / "bundle")


def test_manifest_names_contracts_versions_and_every_file(bundle):
    manifest = verify_bundle(bundle)
    assert manifest.contract_fingerprints["events"] == EVENTS.fingerprint
    assert manifest.versions["torch"].startswith("2.")
    assert set(manifest.files) == {
        "config.yaml",
        "features/vocab/items.json",
        "metrics.json",
        "model.json",
        "model.safetensors",
    }
    assert manifest.files["features/vocab/items.json"].size == 9


def test_the_version_follows_what_decides_scores_only(tmp_path):
    version = _write(tmp_path / "a")
    assert _write(tmp_path / "b", metrics={"auc": 0.7}, config={}) == version
    assert _write(tmp_path / "c", weights={**WEIGHTS, "count": torch.tensor([8])}) != version
    assert _write(tmp_path / "d", model={"ranker": "din"}) != version
    assert _write(tmp_path / "e", feature_fingerprint="beef") != version
    assert _write(tmp_path / "f", features_saver=lambda path: None) != version


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.json", "features/vocab/items.json", "metrics.json", "config.yaml"]
)
def test_a_flipped_bit_anywhere_is_named_with_both_hashes(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[-2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"file '{name}' has SHA-256 [0-9a-f]{{64}}, expected [0-9a-f]{{64}}"):
        open_bundle(bundle)


def test_a_truncated_file_is_named_with_both_sizes(bundle):
    size = (bundle / "model.safetensors").stat().st_size
    (bundle / "model.safetensors").write_bytes((bundle / "model.safetensors").read_bytes()[:-10])
    with pytest.raises(BundleError, match=f"'model.safetensors' has {size - 10} bytes, expected {size}"):
        verify_bundle(bundle)


def test_a_missing_file_is_named(bundle):
    (bundle / "features" / "vocab" / "items.json").unlink()
    with pytest.raises(BundleError, match=r"file 'features/vocab/items.json' is missing"):
        verify_bundle(bundle)


def test_a_foreign_file_is_named(bundle):
    (bundle / "features" / "old.json").write_text("{}")
    with pytest.raises(BundleError, match=r"file 'features/old.json' is not in the manifest"):
        verify_bundle(bundle)


def test_another_format_version_is_refused(bundle):
    body = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**body, "format_version": 9}))
    with pytest.raises(BundleError, match="format is 'rosa-bundle 9', this code reads 'rosa-bundle 1'"):
        verify_bundle(bundle)


def test_an_edited_manifest_is_refused(bundle):
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text.replace("f00d", "beef"))
    with pytest.raises(BundleError, match=r"file 'manifest.json' has SHA-256"):
        open_bundle(bundle, "beef")


@pytest.mark.parametrize(
    ("content", "message"), [(b"{", "damaged, expected JSON"), (b"[]", "holds a list"), (b"\xff", "damaged")]
)
def test_a_manifest_that_is_no_object_is_refused(bundle, content, message):
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        verify_bundle(bundle)


def test_no_bundle_is_said_so(tmp_path):
    with pytest.raises(BundleError, match=r"no manifest.json there; give the bundle directory"):
        open_bundle(tmp_path / "nowhere")


def test_other_features_are_refused(bundle):
    with pytest.raises(BundleError, match="was trained on features f00d, this code computes beef"):
        open_bundle(bundle, "beef")


def test_a_change_after_opening_is_still_noticed(bundle):
    opened = open_bundle(bundle)
    content = bytearray((bundle / "model.safetensors").read_bytes())
    content[-1] ^= 4
    (bundle / "model.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match=r"'model.safetensors' has SHA-256"):
        opened.weights()
    (bundle / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="is gone since the bundle was opened"):
        opened.weights()
    with pytest.raises(BundleError, match=r"has no 'ads.parquet'; it holds config.yaml"):
        opened.file("ads.parquet")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"w": torch.tensor([1.0, float("nan")])}}, r"weights 'w' hold NaN or infinity \(1 of 1"),
        ({"metrics": {"auc": float("nan")}}, "metrics.json cannot be written as JSON"),
        ({"model": {"d": object()}}, "model.json cannot be written as JSON"),
        ({"config": {"d": object()}}, "config.yaml cannot be written as YAML"),
        ({"extra_files": {"ads.parquet": "/nowhere/ads.parquet"}}, "extra file 'ads.parquet': /nowhere"),
        ({"extra_files": {"model.json": __file__}}, "extra file 'model.json': needs a plain name"),
        ({"extra_files": {"../x": __file__}}, r"extra file '../x': needs a plain name"),
    ],
)
def test_a_refused_write_leaves_the_former_bundle_and_no_litter(bundle, changes, message):
    before = verify_bundle(bundle)
    with pytest.raises(BundleError, match=message):
        _write(bundle, **changes)
    assert verify_bundle(bundle) == before
    assert sorted(entry.name for entry in bundle.parent.iterdir()) == ["bundle", "bundles"]


def test_a_crash_while_writing_leaves_no_half_bundle(tmp_path):
    def crash(directory: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        _write(tmp_path / "bundle", features_saver=crash)
    assert list(tmp_path.iterdir()) == []


def test_a_new_bundle_replaces_the_former_whole(bundle):
    version = _write(bundle, features_saver=lambda path: (path / "new.json").write_text("{}"))
    assert verify_bundle(bundle).model_version == version
    assert "features/vocab/items.json" not in verify_bundle(bundle).files
    assert sorted(entry.name for entry in bundle.parent.iterdir()) == ["bundle", "bundles"]


def test_a_bundle_that_was_opened_stays_as_it_was_when_the_next_is_written(bundle):
    former, place = open_bundle(bundle), pinned(bundle)
    later = _write(bundle, weights={"encoder.weight": torch.zeros(3, 4)})
    assert former.model_version != later
    assert torch.equal(former.weights()["encoder.weight"], WEIGHTS["encoder.weight"])
    assert verify_bundle(place) == former.manifest
    assert model_versions(bundle) == {pinned(bundle): later, place: former.model_version}


def test_ten_bundles_are_kept_and_a_model_is_found_among_them(bundle):
    versions = [_write(bundle, weights={"w": torch.tensor([float(value)])}) for value in range(12)]
    assert list(model_versions(bundle).values()) == versions[:1:-1]
    assert len([*bundle.with_name("bundles").iterdir()]) == 10
    assert open_bundle(pinned(bundle, versions[4])).model_version == versions[4]
    with pytest.raises(BundleError, match=rf"no bundle of model {versions[0]} is kept there; it has {versions[11]}, "):
        pinned(bundle, versions[0])


def test_the_link_holds_when_the_run_is_moved(bundle, tmp_path):
    version = verify_bundle(bundle).model_version
    (tmp_path / "moved").mkdir()
    for name in ("bundle", "bundles"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert verify_bundle(tmp_path / "moved" / "bundle").model_version == version


def test_a_directory_from_before_there_were_links_is_kept(tmp_path):
    version = _write(tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "elsewhere", tmp_path / "bundle")
    later = _write(tmp_path / "bundle", weights={"w": torch.tensor([1.0])})
    assert list(model_versions(tmp_path / "bundle").values()) == [later, version]


def test_a_damaged_former_bundle_is_left_out_and_a_damaged_current_one_is_said(bundle):
    former = Path(pinned(bundle))
    version = _write(bundle, weights={"w": torch.tensor([1.0])})
    (former / "manifest.json").write_text("{")
    assert list(model_versions(bundle).values()) == [version]
    (bundle / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="damaged, expected JSON"):
        model_versions(bundle)


def test_a_link_inside_of_a_bundle_is_refused(bundle, tmp_path):
    (tmp_path / "metrics.json").write_bytes((bundle / "metrics.json").read_bytes())
    (bundle / "metrics.json").unlink()
    (bundle / "metrics.json").symlink_to(tmp_path / "metrics.json")
    with pytest.raises(BundleError, match=r"file 'metrics.json' is a link, not a file"):
        verify_bundle(bundle)


def test_weights_that_are_not_finite_are_refused_when_read(tmp_path, monkeypatch):
    from safetensors.torch import save

    monkeypatch.setattr("rosa_ray.bundle.writer._serialise_weights", lambda weights: save(dict(weights)))
    _write(tmp_path / "bundle", weights={"w": torch.tensor([1.0, float("nan")])})
    with pytest.raises(BundleError, match="weights 'w' hold NaN or infinity"):
        open_bundle(tmp_path / "bundle").weights()


def test_tied_weights_are_written(tmp_path):
    table = torch.ones(2, 2)
    _write(tmp_path / "bundle", weights={"ad.table": table, "history.table": table, "view": table.T[:1]})
    weights = open_bundle(tmp_path / "bundle").weights()
    assert torch.equal(weights["ad.table"], weights["history.table"])
    assert weights["view"].shape == (1, 2)
