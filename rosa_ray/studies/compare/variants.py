"""What a study sets side by side: baselines, ROSA-Rec with one part taken away, more and less data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rosa_ray.errors import ConfigError
from rosa_ray.models import LossConfig, config_class, ranker_names
from rosa_ray.settings import Tagged
from rosa_ray.settings.plain import to_plain
from rosa_ray.studies.trees.config import RATES, TREES, TreesConfig

MODEL_LABELS = {
    "wide_deep": "Wide & Deep",
    "deepfm": "DeepFM",
    "din": "DIN",
    "sasrec": "SASRec",
    "rosa": "ROSA-Rec",
}

DIN_EXACT_MATCH, NO_ENCODER = "din_exact_match", "no_encoder"

ALL_TREES = {
    TREES: ("Boosted trees", TreesConfig()),
    "trees_transitions": ("Boosted trees with transitions", TreesConfig(transitions=True)),
    "trees_all_counts": (
        "Boosted trees with all counts of others",
        TreesConfig(transitions=True, within_category=True, prices=True),
    ),
}
"""Label and settings of boosted trees, by what they are told."""

STRONG = (DIN_EXACT_MATCH, *ALL_TREES)
"""Baselines without an encoder that know which events have the ad's item and category."""


def baseline_names() -> list[str]:
    """What `study.models` can name: every ranker, and the strong baselines.

    >>> {"din", "din_exact_match", "trees"} <= set(baseline_names())
    True
    """
    return sorted({*ranker_names(), *STRONG})


@dataclass(frozen=True)
class Variant:
    """One row of a comparison.

    Attributes:
        name: unique in its study; names its files.
        label: for people.
        model: the ranker and its settings.
        loss: task weights.
        training: settings of training that differ from the study's.
        not_shared: settings of a baseline that the configured model lacks; they stay at their defaults.
        learning_rates: to choose from instead of the study's, of a model whose rates are of another kind.
        pretrain: whether it starts from events, where the study and the model do.
    """

    name: str
    label: str
    model: Tagged
    loss: LossConfig
    training: Mapping[str, Any] = field(default_factory=dict)
    not_shared: tuple[str, ...] = ()
    learning_rates: tuple[float, ...] = ()
    pretrain: bool = True

    def plain_settings(self) -> dict[str, Any]:
        """The model's settings as plain values, but for those that are not shared."""
        plain = to_plain(self.model.settings)
        return {name: value for name, value in plain.items() if name not in self.not_shared}


def compare_variants(models: tuple[str, ...], champion: Tagged, loss: LossConfig) -> list[Variant]:
    """The baselines and the configured model. Baselines share every setting that they have in common with it.

    >>> from rosa_ray.models import ranker_settings
    >>> [variant.name for variant in compare_variants(("din",), ranker_settings("rosa", {"width": 32}), LossConfig())]
    ['din', 'rosa']
    """
    baselines = [_baseline(name, champion, loss) for name in models if name != champion.name]
    return [*baselines, _variant(champion, loss)]


def ablation_variants(champion: Tagged, loss: LossConfig, pretrained: bool = False) -> list[Variant]:
    """The configured model, the same with one part less, one more or without encoder, and strong baselines.

    Args:
        pretrained: whether the model starts from events; then one starts afresh.

    Raises:
        ConfigError: the model has no such parts.
    """
    if champion.name != "rosa":
        raise ConfigError(f"model.name is '{champion.name}'; `rosa ablate` takes parts away from 'rosa'")
    switches: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "no_behavior_bias": ("without behaviour bias", {"behavior_bias": False}, {}),
        "no_decay": ("without time decay", {"decay": False}, {}),
        "no_cross_attention": ("without cross-attention", {"cross_attention": False}, {}),
        "no_exact_match": ("without exact match", {"exact_match": False}, {}),
        "no_roi_loss": ("without ROI loss", {}, {"gamma": 0.0}),
        "no_high_value": ("without high-value weights", {}, {"kappa": 0.0}),
        "no_shared_tables": ("without shared tables", {"shared_tables": False}, {}),
        "no_next_event": ("without next-event task", {}, {"next_event": 0.0}),
        NO_ENCODER: (
            "without encoder",
            {"encoder": False, "cross_attention": False, "foresight": False},
            {"next_event": 0.0},
        ),
    }
    switches |= {
        _name_of_switch(champion, part): (f"{_given(champion, part)} {label}", _turned(champion, part), {})
        for part, label in (
            ("transitions", "all that is counted of others"),
            *(
                (("within_category", "likeness within the category"), ("prices", "usual prices"))
                if champion.settings.transitions
                else ()
            ),
            ("boosted", "boosted trees"),
            ("foresight", "foresight"),
            ("field_attention", "attention to fields"),
        )
    }
    return [
        _variant(champion, loss),
        *(
            Variant(
                name, label, _changed(champion, parts), replace(loss, **weights), pretrain=parts.get("encoder", True)
            )
            for name, (label, parts, weights) in switches.items()
        ),
        *([Variant("no_pretraining", "without pre-training", champion, loss, pretrain=False)] if pretrained else []),
        *(_baseline(name, champion, loss) for name in STRONG),
    ]


def weight_variants(champion: Tagged, loss: LossConfig) -> list[Variant]:
    """The configured model under other task weights, fixed and learned: which win on AUC, and which on ROI?"""
    choices: dict[str, tuple[str, dict[str, Any]]] = {
        champion.name: (MODEL_LABELS.get(champion.name, champion.name), {}),
        "ctr_only": ("clicks only (α)", {"beta": 0.0, "gamma": 0.0, "value": 0.0}),
        "ctr_cvr": ("clicks and conversions (α, β)", {"gamma": 0.0}),
        "cvr_heavy": ("conversions heavy (β = 5)", {"beta": 5.0}),
        "roi_heavy": ("ROI heavy (γ = 5)", {"gamma": 5.0}),
        "high_value": ("high-value weights (κ = 1)", {"kappa": 1.0}),
        "uncertainty": ("learned: uncertainty", {"balance": "uncertainty"}),
        "gradnorm": ("learned: GradNorm", {"balance": "gradnorm"}),
    }
    return [Variant(name, label, champion, replace(loss, **weights)) for name, (label, weights) in choices.items()]


def curve_variants(
    models: tuple[str, ...], champion: Tagged, loss: LossConfig, shares: tuple[float, ...], epochs: int
) -> list[Variant]:
    """The baselines and the configured model trained on shares of the users, and the model wider, deeper and longer.

    Args:
        shares: each above 0 to 1; the whole is added.
        epochs: with a patience of as many, training goes on to the last one.

    >>> from rosa_ray.models import ranker_settings
    >>> rosa = ranker_settings("rosa", {"width": 8})
    >>> [variant.name for variant in curve_variants(("din",), rosa, LossConfig(), (0.5,), 9)]
    ['din', 'din-share0.5', 'rosa', 'rosa-share0.5', 'rosa-wider', 'rosa-deeper', 'rosa-longer']
    """
    whole = compare_variants(models, champion, loss)
    found = [_on_share(variant, share) for variant in whole for share in sorted({*shares, 1.0}, reverse=True)]
    grown: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "wider": ("twice as wide", _times(champion.settings, ("width", "hidden"), 2), {}),
        "deeper": ("twice as deep", _times(champion.settings, ("layers",), 2), {}),
        "longer": ("without early stopping", {}, {"patience": epochs}),
    }
    name_of, label_of = whole[-1].name, whole[-1].label
    return found + [
        Variant(f"{name_of}-{name}", f"{label_of}, {label}", _changed(champion, parts), loss, training)
        for name, (label, parts, training) in grown.items()
        if parts or training
    ]


def curve_pairs(variants: list[Variant], champion: str) -> list[tuple[str, str]]:
    """What a learning curve sets against what: models trained on the same users, and the model against itself grown.

    >>> from rosa_ray.models import ranker_settings
    >>> variants = curve_variants(("din",), ranker_settings("rosa", {}), LossConfig(), (0.5,), 9)
    >>> curve_pairs(variants, "rosa")[:3]
    [('rosa', 'din'), ('rosa-share0.5', 'din-share0.5'), ('rosa-wider', 'rosa')]
    """
    mine = {_share(variant): variant for variant in variants if line_of(variant.name) == champion}
    grown = [
        variant for variant in variants if variant.name.startswith(f"{champion}-") and variant not in mine.values()
    ]
    others = [variant for variant in variants if variant not in (*mine.values(), *grown)]
    pairs = [(mine[_share(variant)].name, variant.name) for variant in others]
    return pairs + [(variant.name, champion) for variant in grown]


def line_of(name: str) -> str:
    """Name of the variant that a variant of a learning curve is on fewer users.

    >>> line_of("din-share0.5"), line_of("rosa-wider")
    ('din', 'rosa-wider')
    """
    return name.partition("-share")[0]


def _share(variant: Variant) -> float:
    return float(variant.training.get("user_share", 1.0))


def _on_share(variant: Variant, share: float) -> Variant:
    if share == 1:
        return variant
    name, label = f"{variant.name}-share{share:g}", f"{variant.label}, {share:.3g} of the users"
    return replace(variant, name=name, label=label, training={"user_share": share})


def _times(settings: Any, names: tuple[str, ...], factor: int) -> dict[str, Any]:
    found = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
    return {
        name: tuple(factor * part for part in value) if isinstance(value, tuple) else factor * value
        for name, value in found.items()
    }


def _variant(model: Tagged, loss: LossConfig) -> Variant:
    return Variant(model.name, MODEL_LABELS.get(model.name, model.name), model, loss)


def _changed(model: Tagged, parts: Mapping[str, Any]) -> Tagged:
    return replace(model, settings=replace(model.settings, **parts))


def _turned(champion: Tagged, part: str) -> dict[str, Any]:
    """A part that is on turned off, or on where it is off."""
    return {part: not getattr(champion.settings, part)}


def _given(champion: Tagged, part: str) -> str:
    return "without" if getattr(champion.settings, part) else "with"


def _name_of_switch(champion: Tagged, part: str) -> str:
    return f"no_{part}" if getattr(champion.settings, part) else part


def _baseline(name: str, champion: Tagged, loss: LossConfig) -> Variant:
    """A baseline by the name that `study.models` has for it."""
    if name in ALL_TREES:
        return _trees(name, loss)
    return (
        _given_exact_match(_ranker("din", champion, loss)) if name == DIN_EXACT_MATCH else _ranker(name, champion, loss)
    )


def _trees(name: str, loss: LossConfig) -> Variant:
    """Boosted trees; of the configured model's settings they share none."""
    label, settings = ALL_TREES[name]
    return Variant(name, label, Tagged(TREES, settings), loss, learning_rates=RATES)


def _ranker(name: str, champion: Tagged, loss: LossConfig) -> Variant:
    """A ranker with all that it shares with the model; counting exact matches is the model's own part."""
    own, plain = config_class(name), vars(champion.settings)
    shared = {entry.name for entry in fields(own)} & set(plain) - {"exact_match"}
    model = Tagged(name, own(**{setting: plain[setting] for setting in shared}))
    return replace(_variant(model, loss), not_shared=tuple(sorted({entry.name for entry in fields(own)} - shared)))


def _given_exact_match(din: Variant) -> Variant:
    not_shared = tuple(name for name in din.not_shared if name != "exact_match")
    model = _changed(din.model, {"exact_match": True})
    return replace(din, name=DIN_EXACT_MATCH, label="DIN with exact match", model=model, not_shared=not_shared)
