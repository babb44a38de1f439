from collections.abc import Mapping
from typing import Any

import pytest

from rosa_ray.config import load_config
from rosa_ray.errors import ConfigError
from rosa_ray.run_dir import RunDir
from rosa_ray.studies.sweep.config import TuneConfig, default_space
from rosa_ray.studies.sweep.space import Space, nested
from workloads.tune import configured, settle

CONFIG = load_config()


def check(space: Mapping[str, Mapping[str, Any]]) -> None:
    parsed = Space.parse(space)
    parsed.check(settle(CONFIG, RunDir("/nowhere")), configured(CONFIG, space))


def test_the_default_space_fits_the_default_config() -> None:
    check(default_space())


@pytest.mark.parametrize(
    ("key", "spec", "words"),
    [
        ("loss.beta", {"lgo": [0.1, 5]}, "names lgo; give one of uniform, log, integers, choice"),
        ("loss.beta", {"log": [0.1, 5], "uniform": [0, 1]}, "names log and uniform"),
        ("loss.beta", {}, "names no distribution"),
        ("loss.beta", {"log": [0, 5]}, "log starts at 0"),
        ("loss.beta", {"uniform": [5, 1]}, "give two numbers, the lower first"),
        ("loss.beta", {"uniform": [True, 2]}, "give two numbers"),
        ("model.layers", {"integers": [1, 2.5]}, "give two whole numbers"),
        ("model.decay", {"choice": []}, "name at least one value"),
        ("model.decay", {"choice": [True, True]}, "each once"),
    ],
)
def test_a_distribution_that_is_none_is_named(key: str, spec: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Space.parse({key: spec})
    assert f"tune.space '{key}'" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "spec", "words"),
    [
        ("loss.bta", {"uniform": [0, 2]}, "tune.space loss.bta=0: unknown key 'loss.bta'; did you mean 'loss.beta'"),
        ("training.epochs", {"uniform": [1.5, 20]}, "training.epochs"),
        ("training.users_per_batch", {"integers": [0, 16]}, "users_per_batch is 0"),
        ("model.width", {"choice": [64, 33]}, "width is 33; it must be a multiple of model.heads"),
        ("simulation.users", {"integers": [10, 9000]}, "'simulation.users' reaches no trial"),
        ("loss.gamma", {"log": [1.0, 5.0]}, "does not hold the configured 0.5, which is the first trial"),
        ("model.hidden", {"choice": [[64], [32]]}, r"does not hold the configured \[128, 64\]"),
    ],
)
def test_a_space_that_does_not_fit_the_config_is_named(key: str, spec: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check({key: spec})
    assert "\n" not in str(caught.value)


def test_values_go_to_optuna_and_back() -> None:
    space = Space.parse({"model.decay": {"choice": [True, 1]}, "model.hidden": {"choice": [[64], None]}})
    for params in ({"model.decay": 1, "model.hidden": [64]}, {"model.decay": True, "model.hidden": None}):
        back = space.decode(space.encode(params))
        assert back == params
        assert type(back["model.decay"]) is type(params["model.decay"])
    assert nested({"a.b": 1, "a.c.d": 2, "e": 3}) == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metric": "valid_loss"}, "weighs tasks as training does"),
        ({"metric": "auc"}, "it must be one of valid_loss, valid_logloss"),
        ({"objectives": ("roi",)}, "tune.objectives.0 is 'roi'; it must be one of policy_roi, auc"),
        ({"objectives": ("auc",)}, "tune.pick is 'policy_roi'"),
        ({"space": {}}, r"tune.space is \{\}; name at least one key"),
        ({"trials": 0}, "tune.trials is 0"),
    ],
)
def test_settings_that_make_no_sweep_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TuneConfig(**settings)
