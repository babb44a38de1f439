"""What a study sets side by side: the baselines of the paper, ROSA-Rec with one part taken away, more and less data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rosa_ray.errors import ConfigError
from rosa_ray.models import LossConfig, config_class

LABELS = {
    "wide_deep": "Wide & Deep",
    "deepfm": "DeepFM",
    "din": "DIN",
    "sasrec": "SASRec",
    "rosa": "ROSA-Rec",
}


@dataclass(frozen=True)
class Variant:
    """One row of a comparison.

    Attributes:
        name: unique in its study; names its files.
        label: for people.
        model, settings: ranker and its settings.
        loss: task weights.
        training: settings of training that differ from the study's.
    """

    name: str
    label: str
    model: str
    settings: Mapping[str, Any]
    loss: LossConfig
    training: Mapping[str, Any] = field(default_factory=dict)


def compare_variants(
    models: tuple[str, ...], champion: str, settings: Mapping[str, Any], loss: LossConfig
) -> list[Variant]:
    """The baselines and the configured model. Baselines share every setting that they have in common with it.

    >>> [variant.name for variant in compare_variants(("din",), "rosa", {"width": 32}, LossConfig())]
    ['din', 'rosa']
    """
    baselines = [
        Variant(name, LABELS.get(name, name), name, _shared(name, settings), loss)
        for name in models
        if name != champion
    ]
    return [*baselines, Variant(champion, LABELS.get(champion, champion), champion, settings, loss)]


def ablation_variants(champion: str, settings: Mapping[str, Any], loss: LossConfig) -> list[Variant]:
    """The configured model, the same with one part taken away at a time, and DIN given its exact match.

    Raises:
        ConfigError: the model has no such parts.
    """
    if champion != "rosa":
        raise ConfigError(f"model.name is '{champion}'; `rosa ablate` takes parts away from 'rosa'")
    switches: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "no_behavior_bias": ("without behaviour bias", {"behavior_bias": False}, {}),
        "no_decay": ("without time decay", {"decay": False}, {}),
        "no_cross_attention": ("without cross-attention", {"cross_attention": False}, {}),
        "no_exact_match": ("without exact match", {"exact_match": False}, {}),
        "no_roi_loss": ("without ROI loss", {}, {"gamma": 0.0}),
        "no_high_value": ("without high-value weights", {}, {"kappa": 0.0}),
        "no_shared_tables": ("without shared tables", {"shared_tables": False}, {}),
        "no_next_event": ("without next-event task", {}, {"next_event": 0.0}),
    }
    whole = Variant(champion, LABELS[champion], champion, settings, loss)
    given = {**_shared("din", settings), "exact_match": True}
    return [
        whole,
        *(
            Variant(name, label, champion, {**settings, **parts}, replace(loss, **weights))
            for name, (label, parts, weights) in switches.items()
        ),
        Variant("din_exact_match", "DIN with exact match", "din", given, loss),
    ]


def weight_variants(champion: str, settings: Mapping[str, Any], loss: LossConfig) -> list[Variant]:
    """The configured model under other task weights, fixed and learned: which win on AUC, and which on ROI?"""
    choices: dict[str, tuple[str, dict[str, Any]]] = {
        champion: (LABELS.get(champion, champion), {}),
        "ctr_only": ("clicks only (α)", {"beta": 0.0, "gamma": 0.0, "value": 0.0}),
        "ctr_cvr": ("clicks and conversions (α, β)", {"gamma": 0.0}),
        "cvr_heavy": ("conversions heavy (β = 5)", {"beta": 5.0}),
        "roi_heavy": ("ROI heavy (γ = 5)", {"gamma": 5.0}),
        "high_value": ("high-value weights (κ = 1)", {"kappa": 1.0}),
        "uncertainty": ("learned: uncertainty", {"balance": "uncertainty"}),
        "gradnorm": ("learned: GradNorm", {"balance": "gradnorm"}),
    }
    return [
        Variant(name, label, champion, settings, replace(loss, **weights)) for name, (label, weights) in choices.items()
    ]


def curve_variants(
    models: tuple[str, ...],
    champion: str,
    settings: Mapping[str, Any],
    loss: LossConfig,
    shares: tuple[float, ...],
    epochs: int,
) -> list[Variant]:
    """The baselines and the configured model trained on shares of the users, and the model wider, deeper and longer.

    Args:
        shares: each above 0 to 1; the whole is added.
        epochs: with a patience of as many, training goes on to the last one.

    >>> names = [variant.name for variant in curve_variants(("din",), "rosa", {"width": 8}, LossConfig(), (0.5,), 9)]
    >>> names
    ['din', 'din-share0.5', 'rosa', 'rosa-share0.5', 'rosa-wider', 'rosa-longer']
    """
    whole = compare_variants(models, champion, settings, loss)
    found = [_on_share(variant, share) for variant in whole for share in sorted({*shares, 1.0}, reverse=True)]
    grown: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "wider": ("twice as wide", _times(settings, ("width", "hidden"), 2), {}),
        "deeper": ("twice as deep", _times(settings, ("layers",), 2), {}),
        "longer": ("without early stopping", {}, {"patience": epochs}),
    }
    model = whole[-1]
    return found + [
        Variant(f"{champion}-{name}", f"{model.label}, {label}", champion, {**settings, **parts}, loss, training)
        for name, (label, parts, training) in grown.items()
        if parts or training
    ]


def curve_pairs(variants: list[Variant], champion: str) -> list[tuple[str, str]]:
    """What a learning curve sets against what: models trained on the same users, and the model against itself grown.

    >>> variants = curve_variants(("din",), "rosa", {"width": 8}, LossConfig(), (0.5,), 9)
    >>> curve_pairs(variants, "rosa")
    [('rosa', 'din'), ('rosa-share0.5', 'din-share0.5'), ('rosa-wider', 'rosa'), ('rosa-longer', 'rosa')]
    """
    mine = {_share(variant): variant for variant in variants if _is_point(variant, champion)}
    pairs = [(mine[_share(variant)].name, variant.name) for variant in variants if variant.model != champion]
    grown = [variant for variant in variants if variant.model == champion and variant not in mine.values()]
    return pairs + [(variant.name, champion) for variant in grown]


def _share(variant: Variant) -> float:
    return float(variant.training.get("user_share", 1.0))


def _is_point(variant: Variant, champion: str) -> bool:
    return variant.name == champion or (variant.model == champion and "user_share" in variant.training)


def _on_share(variant: Variant, share: float) -> Variant:
    if share == 1:
        return variant
    name, label = f"{variant.name}-share{share:g}", f"{variant.label}, {share:.3g} of the users"
    return replace(variant, name=name, label=label, training={"user_share": share})


def _times(settings: Mapping[str, Any], names: tuple[str, ...], factor: int) -> dict[str, Any]:
    found = {name: settings[name] for name in names if name in settings}
    return {
        name: tuple(factor * part for part in value) if isinstance(value, (tuple, list)) else factor * value
        for name, value in found.items()
    }


def _shared(model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a baseline has in common with the model; counting exact matches is the model's own part."""
    known = {entry.name for entry in fields(config_class(model))} - {"exact_match"}
    return {name: value for name, value in settings.items() if name in known}
