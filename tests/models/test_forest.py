"""Trees by LightGBM's C interface: the numbers of its Python package, its errors, and one line where it is missing."""

import copy
import ctypes
import importlib.util
import pickle

import numpy as np
import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.models import forest
from rosa_ray.models.forest import Forest
from rosa_ray.training.boosting import lightgbm

PARAMS = {"objective": "binary", "num_leaves": 15, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1, "seed": 1}


def grown() -> tuple[str, np.ndarray, np.ndarray]:
    """LightGBM's text of thirty trees, a matrix with holes, and the raw scores that its Python package gives."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(500, 6)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    label = np.nan_to_num(values[:, 0]) + rng.normal(size=500) > 0
    booster = lightgbm().train(PARAMS, lightgbm().Dataset(values, label, params=PARAMS), 30)
    return booster.model_to_string(), values, booster.predict(values, raw_score=True)


def test_scores_are_those_of_the_package_to_the_last_bit() -> None:
    text, values, expected = grown()
    trees = Forest(text)
    assert trees.rounds == 30
    assert trees.raw_score(values).tobytes() == expected.tobytes()
    # Any memory order, and any part of the rows.
    assert trees.raw_score(np.asfortranarray(values)).tobytes() == expected.tobytes()
    assert trees.raw_score(values[100:103]).tobytes() == expected[100:103].tobytes()
    assert trees.raw_score(values[:0]).shape == (0,)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda trees: pickle.loads(pickle.dumps(trees))])
def test_a_copy_scores_the_same_and_outlives_the_first(again) -> None:  # type: ignore[no-untyped-def]
    text, values, expected = grown()
    trees = Forest(text)
    other = again(trees)
    del trees
    assert other.raw_score(values).tobytes() == expected.tobytes()


def test_what_does_not_fit_is_an_error() -> None:
    text, values, _ = grown()
    with pytest.raises(ValueError, match="LightGBM: "):
        Forest("no model")
    with pytest.raises(ValueError, match="LightGBM: The number of features in data"):
        Forest(text).raw_score(values[:, :4])


@pytest.mark.parametrize("missing", ["package", "library"])
def test_a_library_that_cannot_be_loaded_is_an_error_in_one_line(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise OSError("libgomp.so.1: cannot open shared object file")

    forest.library.cache_clear()
    if missing == "package":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    else:
        monkeypatch.setattr(ctypes, "CDLL", fail)
    with pytest.raises(ConfigError, match=r"install lightgbm and libgomp1, or set model\.boosted=false"):
        lightgbm()
    monkeypatch.undo()
    forest.library.cache_clear()
    assert forest.library() is forest.library()
