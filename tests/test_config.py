"""The root config: built-in files load, profiles lie under them, and what is printed loads to the same."""

from pathlib import Path

import pytest

from rosa_ray.config import PROFILES, RunConfig, load_config
from rosa_ray.errors import ConfigError
from rosa_ray.models.rankers import config_class, ranker_names
from rosa_ray.settings import Tagged
from rosa_ray.settings.compose import compose
from rosa_ray.settings.layers import Layer
from rosa_ray.settings.load import profile_names
from rosa_ray.settings.plain import dump
from rosa_ray.settings.text import parse_yaml

FILES = sorted((Path(__file__).parents[1] / "workloads" / "configs").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_built_in_config_is_printed_as_one_that_loads_to_the_same(file: Path) -> None:
    config = load_config(file)
    assert config != RunConfig()
    assert compose(RunConfig, [Layer("printed", parse_yaml(dump(config), "printed"))]) == config


def test_a_profile_lies_under_the_overrides() -> None:
    assert profile_names(PROFILES) == ["laptop", "paper"]
    paper = load_config(overrides=["profile=paper", "model.heads=4"]).model.settings
    assert (paper.width, paper.layers, paper.heads) == (128, 4, 4)


def test_the_former_key_of_the_keep_rate_is_read_as_that_of_today(tmp_path: Path) -> None:
    assert load_config(overrides=["calibration.negative_keep_rate=0.1"]).preprocess.negative_keep_rate == 0.1
    file = tmp_path / "shop.yaml"
    file.write_text("calibration: {negative_keep_rate: 0.1, method: platt}\npreprocess: {partitions: 2}\n")
    config = load_config(file, ["preprocess.negative_keep_rate=0.5"])
    assert (config.preprocess.negative_keep_rate, config.preprocess.partitions) == (0.5, 2)
    assert config.calibration.method == "platt"
    file.write_text("calibration: {negative_keep_rate: 0.1}\npreprocess: {negative_keep_rate: 0.2}\n")
    with pytest.raises(ConfigError, match=r"calibration\.negative_keep_rate is now called preprocess\.negative_keep_"):
        load_config(file)
    with pytest.raises(ConfigError, match=r"preprocess\.negative_keep_rate is 2: it should be|negative_keep_rate is 2"):
        load_config(overrides=["calibration.negative_keep_rate=2"])


@pytest.mark.parametrize("name", ranker_names())
def test_each_ranker_is_picked_by_its_name(name: str) -> None:
    assert load_config(overrides=[f"model.name={name}"]).model == Tagged(name, config_class(name)())
