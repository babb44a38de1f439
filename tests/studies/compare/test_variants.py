from dataclasses import asdict

import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.models import LossConfig, config_class, ranker_names
from rosa_ray.studies.compare.variants import ablation_variants, compare_variants, weight_variants

SETTINGS = asdict(config_class("rosa")(width=32, window=20))


def test_baselines_share_the_settings_they_have_in_common_with_the_champion() -> None:
    models = tuple(name for name in ranker_names() if name != "rosa")
    variants = compare_variants(models, "rosa", SETTINGS, LossConfig(beta=2.0))
    assert [variant.name for variant in variants] == [*models, "rosa"]
    for variant in variants:
        built = config_class(variant.model)(**variant.settings)
        assert (built.width, built.window, built.hidden) == (32, 20, SETTINGS["hidden"])
        assert variant.loss == LossConfig(beta=2.0)


def test_an_ablation_changes_one_thing() -> None:
    whole, *others, _ = ablation_variants("rosa", SETTINGS, LossConfig())
    assert len(others) >= 6
    for variant in others:
        settings = {name for name in SETTINGS if variant.settings[name] != SETTINGS[name]}
        weights = {name for name, value in asdict(variant.loss).items() if value != asdict(whole.loss)[name]}
        assert len(settings | weights) == 1, variant.name


def test_the_last_ablation_gives_din_the_exact_match_that_it_lacks_as_a_baseline() -> None:
    given = ablation_variants("rosa", SETTINGS, LossConfig())[-1]
    baseline = compare_variants(("din",), "rosa", SETTINGS, LossConfig())[0]
    assert given.model == baseline.model == "din"
    assert config_class("din")(**given.settings).exact_match
    assert not config_class("din")(**baseline.settings).exact_match
    assert {**baseline.settings, "exact_match": True} == given.settings


def test_only_rosa_has_parts_to_take_away() -> None:
    with pytest.raises(ConfigError, match=r"model.name is 'din'"):
        ablation_variants("din", {}, LossConfig())


def test_weights_differ_and_names_are_unique() -> None:
    variants = weight_variants("rosa", SETTINGS, LossConfig())
    assert len({variant.name for variant in variants}) == len({repr(variant.loss) for variant in variants}) == 8
