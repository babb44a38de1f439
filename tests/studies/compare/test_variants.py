from dataclasses import asdict, replace

import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.models import LossConfig, config_class, ranker_names, ranker_settings
from rosa_ray.studies.compare.variants import ablation_variants, compare_variants, weight_variants

ROSA = ranker_settings("rosa", {"width": 32, "window": 20})


def test_baselines_share_the_settings_they_have_in_common_with_the_champion() -> None:
    models = tuple(name for name in ranker_names() if name != "rosa")
    variants = compare_variants(models, ROSA, LossConfig(beta=2.0))
    assert [variant.name for variant in variants] == [*models, "rosa"]
    for variant in variants:
        built = variant.model.settings
        assert type(built) is config_class(variant.model.name)
        assert (built.width, built.window, built.hidden) == (32, 20, ROSA.settings.hidden)
        assert variant.loss == LossConfig(beta=2.0)


def test_an_ablation_changes_one_thing() -> None:
    whole, *others, _ = ablation_variants(ROSA, LossConfig())
    assert len(others) >= 6
    for variant in others:
        settings = {name for name, value in variant.plain_settings().items() if value != whole.plain_settings()[name]}
        weights = {name for name, value in asdict(variant.loss).items() if value != asdict(whole.loss)[name]}
        assert len(settings | weights) == 1, variant.name


def test_the_last_ablation_gives_din_the_exact_match_that_it_lacks_as_a_baseline() -> None:
    given = ablation_variants(ROSA, LossConfig())[-1]
    afresh = [one.name for one in ablation_variants(ROSA, LossConfig(), pretrained=True) if not one.pretrain]
    assert afresh == ["no_pretraining"]
    baseline = compare_variants(("din",), ROSA, LossConfig())[0]
    assert given.model.name == baseline.model.name == "din"
    assert given.model.settings == replace(baseline.model.settings, exact_match=True)
    assert not baseline.model.settings.exact_match
    assert {**baseline.plain_settings(), "exact_match": True} == given.plain_settings()


def test_only_rosa_has_parts_to_take_away() -> None:
    with pytest.raises(ConfigError, match=r"model.name is 'din'"):
        ablation_variants(ranker_settings("din", {}), LossConfig())


def test_weights_differ_and_names_are_unique() -> None:
    variants = weight_variants(ROSA, LossConfig())
    assert len({variant.name for variant in variants}) == len({repr(variant.loss) for variant in variants}) == 8
