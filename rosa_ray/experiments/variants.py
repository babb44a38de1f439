"""What a study sets side by side: the baselines of the paper, and ROSA-Rec with one part taken away."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
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
    """

    name: str
    label: str
    model: str
    settings: Mapping[str, Any]
    loss: LossConfig


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


def _shared(model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a baseline has in common with the model; counting exact matches is the model's own part."""
    known = {entry.name for entry in fields(config_class(model))} - {"exact_match"}
    return {name: value for name, value in settings.items() if name in known}
