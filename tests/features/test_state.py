"""The fingerprint and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.errors import BundleError, InputError
from rosa_ray.features import FeatureState, FitSums, encode_users
from rosa_ray.features.own import ColumnConfig
from tests.synthetic import BOUNDS, CONFIG, user_rows, user_rows_of


@pytest.fixture
def state() -> FeatureState:
    return FeatureState.fit([FitSums.of(user_rows(), BOUNDS.valid_us)], CONFIG)


def test_a_saved_state_encodes_the_same(state: FeatureState, tmp_path: Path) -> None:
    state.save(tmp_path)
    loaded = FeatureState.load(tmp_path)
    assert loaded.fingerprint == state.fingerprint
    keyed = replace(state, user_key_id="00112233")
    keyed.save(tmp_path / "keyed")
    assert FeatureState.load(tmp_path / "keyed").user_key_id == "00112233"
    before, after = encode_users(user_rows(), state), encode_users(user_rows(), loaded)
    np.testing.assert_array_equal(before.dense, after.dense)
    np.testing.assert_array_equal(before.events["item"], after.events["item"])


@pytest.mark.parametrize(
    "change",
    [
        {"config": replace(CONFIG, bucket_minutes=30)},
        {"config": replace(CONFIG, views=("user_events",))},
        {"dense_mean": np.zeros(3)},
        {"user_key_id": "00112233"},
    ],
)
def test_the_fingerprint_changes_with_what_decides_a_feature(state: FeatureState, change: dict) -> None:
    assert replace(state, **change).fingerprint != state.fingerprint


def test_features_of_another_code_are_refused(state: FeatureState, tmp_path: Path) -> None:
    state.save(tmp_path)
    path = tmp_path / "features.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "version": 99}))
    with pytest.raises(BundleError, match="version 99"):
        FeatureState.load(tmp_path)
    path.write_text(json.dumps({**document, "fingerprint": "0" * 16}))
    with pytest.raises(BundleError, match="fingerprint"):
        FeatureState.load(tmp_path)
    path.write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        FeatureState.load(tmp_path)


def test_no_training_data_is_an_error_that_says_so() -> None:
    with pytest.raises(InputError, match="no user rows"):
        FeatureState.fit([], CONFIG)
    rows = user_rows()
    rows.impressions["click"][:] = 0
    with pytest.raises(InputError, match="clicks"):
        FeatureState.fit([FitSums.of(rows, BOUNDS.valid_us)], CONFIG)


def test_declared_columns_that_an_earlier_version_read_otherwise_are_refused_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, columns={"request.place": ColumnConfig()})
    rows = user_rows_of(config, {"request.place": pa.array(["top"] * 400)})
    for name, of_rows, settings in (("plain", user_rows(), CONFIG), ("declared", rows, config)):
        with monkeypatch.context() as before:
            before.setattr("rosa_ray.features.state.FIELDS_VERSION", 1)
            FeatureState.fit([FitSums.of(of_rows, BOUNDS.valid_us, settings)], settings).save(tmp_path / name)
    assert FeatureState.load(tmp_path / "plain").config == CONFIG
    with pytest.raises(BundleError, match="preprocess and train again with this version"):
        FeatureState.load(tmp_path / "declared")
