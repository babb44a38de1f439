from dataclasses import asdict, replace

import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.models import LossConfig, config_class, ranker_names, ranker_settings
from rosa_ray.settings import Tagged
from rosa_ray.studies.compare.variants import (
    STRONG,
    ablation_variants,
    compare_variants,
    curve_pairs,
    curve_variants,
    weight_variants,
)
from rosa_ray.studies.trees.config import TreesConfig

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


def test_an_ablation_changes_one_thing_and_the_last_takes_the_whole_encoder() -> None:
    whole, *others = ablation_variants(ROSA, LossConfig())
    assert len(others) >= 6 + len(STRONG)
    changed = {
        variant.name: {
            *(name for name, value in variant.plain_settings().items() if value != whole.plain_settings()[name]),
            *(name for name, value in asdict(variant.loss).items() if value != asdict(whole.loss)[name]),
        }
        for variant in others[: -len(STRONG)]
    }
    assert changed.pop("no_encoder") == {"encoder", "cross_attention", "next_event"}
    assert {len(names) for names in changed.values()} == {1}


def test_the_strong_baselines_stand_beside_ablations_and_comparisons_alike() -> None:
    compared = compare_variants(STRONG, ROSA, LossConfig())[:-1]
    assert ablation_variants(ROSA, LossConfig())[-len(STRONG) :] == compared
    given, trees, told, all_told = compared
    baseline = compare_variants(("din",), ROSA, LossConfig())[0]
    assert given.model.settings == replace(baseline.model.settings, exact_match=True)
    assert not baseline.model.settings.exact_match
    assert {**baseline.plain_settings(), "exact_match": True} == given.plain_settings()
    assert trees.model == Tagged("trees", TreesConfig(transitions=False))
    assert told.model == Tagged("trees", TreesConfig(transitions=True))
    assert all_told.model == Tagged("trees", TreesConfig(transitions=True, within_category=True, prices=True))
    assert trees.learning_rates == told.learning_rates == all_told.learning_rates
    assert not given.learning_rates


def test_a_model_that_starts_from_events_is_also_set_beside_itself_afresh() -> None:
    afresh = [one.name for one in ablation_variants(ROSA, LossConfig(), pretrained=True) if not one.pretrain]
    assert afresh == ["no_encoder", "no_pretraining"]


def test_a_curve_sets_each_baseline_against_the_model_on_the_same_users() -> None:
    variants = curve_variants(("din_exact_match", "trees"), ROSA, LossConfig(), (0.5,), 9)
    assert curve_pairs(variants, "rosa") == [
        ("rosa", "din_exact_match"),
        ("rosa-share0.5", "din_exact_match-share0.5"),
        ("rosa", "trees"),
        ("rosa-share0.5", "trees-share0.5"),
        ("rosa-wider", "rosa"),
        ("rosa-deeper", "rosa"),
        ("rosa-longer", "rosa"),
    ]
    din = ranker_settings("din", {})
    own = curve_variants(("din_exact_match",), din, LossConfig(), (0.5,), 9)
    assert ("din-share0.5", "din_exact_match-share0.5") in curve_pairs(own, "din")


def test_only_rosa_has_parts_to_take_away() -> None:
    with pytest.raises(ConfigError, match=r"model.name is 'din'"):
        ablation_variants(ranker_settings("din", {}), LossConfig())


def test_weights_differ_and_names_are_unique() -> None:
    variants = weight_variants(ROSA, LossConfig())
    assert len({variant.name for variant in variants}) == len({repr(variant.loss) for variant in variants}) == 8
